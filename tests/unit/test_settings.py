"""Settings come from the environment, typed, and say what is wrong with it."""

import pytest

from services.gateway.settings import GatewaySettings
from services.scoring.settings import ScoringSettings
from shared.settings import Settings, SettingsError

URLS = {
    "PRECEDENT_NATS_URL": "nats://u:hidden-1@n:1",
    "PRECEDENT_DATABASE_URL": "postgresql://u:hidden-2@p:2/d",
    "PRECEDENT_REDIS_URL": "redis://:hidden-3@r:3/0",
}


def test_what_is_not_set_has_its_default() -> None:
    settings = Settings.read(URLS)
    assert (settings.nats_url, settings.port, settings.drain_seconds) == (URLS["PRECEDENT_NATS_URL"], 8080, 15.0)


def test_values_have_the_type_of_their_field() -> None:
    settings = GatewaySettings.read(
        URLS | {"PRECEDENT_PORT": "9", "PRECEDENT_STATEMENT_TIMEOUT_SECONDS": "0.5", "PRECEDENT_GATEWAY_REPLICAS": "3"}
    )
    assert (settings.port, settings.statement_timeout_seconds, settings.replicas) == (9, 0.5, 3)


def test_an_empty_variable_is_an_unset_one() -> None:
    assert Settings.read(URLS | {"PRECEDENT_PORT": ""}).port == 8080


@pytest.mark.parametrize("missing", sorted(URLS))
@pytest.mark.parametrize("present", [{}, None])
def test_a_required_variable_that_is_missing_or_empty_is_named(missing: str, present: dict[str, str] | None) -> None:
    environ = {k: v for k, v in URLS.items() if k != missing} | ({missing: ""} if present is None else {})
    with pytest.raises(SettingsError, match=missing):
        Settings.read(environ)


def test_a_variable_that_does_not_parse_is_named_with_what_it_should_hold() -> None:
    with pytest.raises(SettingsError, match=r"PRECEDENT_PORT: 'eighty' is not a int"):
        Settings.read(URLS | {"PRECEDENT_PORT": "eighty"})


def test_settings_that_are_printed_show_no_password() -> None:
    assert "hidden" not in f"{Settings.read(URLS)!r} {Settings.read(URLS)}"


def test_days_are_kept_for_ever_or_counted_but_never_negative() -> None:
    assert ScoringSettings.read(URLS).diff_days == 180
    assert ScoringSettings.read(URLS | {"PRECEDENT_DIFF_DAYS": "0"}).diff_days == 0
    with pytest.raises(SettingsError, match=r"PRECEDENT_DIFF_DAYS: '-1' is not a Days"):
        ScoringSettings.read(URLS | {"PRECEDENT_DIFF_DAYS": "-1"})
