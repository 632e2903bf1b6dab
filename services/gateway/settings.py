"""The gateway's settings."""

from dataclasses import dataclass

from shared.settings import Settings, env


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(Settings):
    replicas: int = env("PRECEDENT_GATEWAY_REPLICAS", 1)
    # A TOML file; see docs/rate-limits.md.
    policies: str = env("PRECEDENT_POLICIES", "")
