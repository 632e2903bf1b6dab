"""Settings come from the environment alone, read once in `__main__`, typed and with units in their names."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from shared.listening import VARIABLE

S = TypeVar("S", bound="Settings")

POOLERS = ("none", "transaction", "transaction-prepared")


class SettingsError(ValueError):
    """Says which variable is wrong and what it should hold."""


class Days(int):
    """Of keeping something; 0 is for ever."""

    def __new__(cls, text: str | int) -> "Days":
        if int(text) < 0:
            raise ValueError(text)
        return super().__new__(cls, text)


def env(name: str, default: Any = None) -> Any:
    """A field read from the variable `name`; without a default the variable is required, and never printed."""
    if default is None:
        return field(metadata={"env": name}, repr=False)
    return field(default=default, metadata={"env": name})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every process needs to know. URLs may carry passwords, so they are no part of `repr`."""

    nats_url: str = env("PRECEDENT_NATS_URL")
    database_url: str = env("PRECEDENT_DATABASE_URL")
    # `transaction`, or `transaction-prepared` where it knows prepared statements: PgBouncer stands at `database_url`.
    database_pooler: str = env("PRECEDENT_DATABASE_POOLER", "none")
    # Where a session is one, for what holds a lock for long: Postgres itself. Needed with a pooler.
    database_session_url: str = field(default="", metadata={"env": "PRECEDENT_DATABASE_SESSION_URL"}, repr=False)
    redis_url: str = env("PRECEDENT_REDIS_URL")
    port: int = env("PRECEDENT_PORT", 8080)
    host: str = env("PRECEDENT_HOST", "127.0.0.1")
    listen_fd: int = env(VARIABLE, -1)
    log_level: str = env("PRECEDENT_LOG_LEVEL", "INFO")
    log_format: str = env("PRECEDENT_LOG_FORMAT", "json")
    otlp_endpoint: str = env("PRECEDENT_OTLP_ENDPOINT", "")
    pool_size: int = env("PRECEDENT_POOL_SIZE", 8)
    acquire_timeout_seconds: float = env("PRECEDENT_ACQUIRE_TIMEOUT_SECONDS", 10.0)
    statement_timeout_seconds: float = env("PRECEDENT_STATEMENT_TIMEOUT_SECONDS", 30.0)
    # `off`: a deployment without a model of its own is left with the formula.
    default_model: str = env("PRECEDENT_DEFAULT_MODEL", "on")
    drain_seconds: float = env("PRECEDENT_DRAIN_SECONDS", 15.0)

    @classmethod
    def read(cls: type[S], environ: Mapping[str, str]) -> S:
        """Raises `SettingsError` for a variable that is missing, does not parse, or does not go with another."""
        values = {}
        for f in fields(cls):
            name = f.metadata["env"]
            if environ.get(name):
                values[f.name] = _parse(f.type, name, environ[name])
            elif f.default is MISSING:
                raise SettingsError(f"{name}: required, but not set")
        made = cls(**values)
        _check_pooler(made)
        return made


def _check_pooler(settings: Settings) -> None:
    if settings.database_pooler not in POOLERS:
        raise SettingsError(f"PRECEDENT_DATABASE_POOLER: one of {', '.join(POOLERS)}")
    if settings.database_pooler != "none" and not settings.database_session_url:
        raise SettingsError("PRECEDENT_DATABASE_SESSION_URL: required with PRECEDENT_DATABASE_POOLER")


def _parse(kind: Any, name: str, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise SettingsError(f"{name}: {text!r} is not a {kind.__name__}") from None
