"""The gateway's settings."""

from dataclasses import dataclass

from shared.settings import Settings, env


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(Settings):
    # Comma-separated, such as `https://console.example.org`; `*` is every one. Empty: no other origin may read answers.
    cors_origins: str = env("PRECEDENT_CORS_ORIGINS", "")
    replicas: int = env("PRECEDENT_GATEWAY_REPLICAS", 1)
    # A TOML file; see docs/rate-limits.md.
    policies: str = env("PRECEDENT_POLICIES", "")
    # Addresses or networks, separated by commas, whose `X-Forwarded-For` is believed.
    trusted_proxies: str = env("PRECEDENT_TRUSTED_PROXIES", "")
    # Past these, what can wait is refused: how late the event loop wakes up, and events without acknowledgement.
    shed_lag_seconds: float = env("PRECEDENT_SHED_LAG_SECONDS", 0.5)
    shed_publishes: int = env("PRECEDENT_SHED_PUBLISHES", 1000)
