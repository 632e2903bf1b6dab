"""What is told of a server that cannot be reached: its host and the reason, and nothing of a password."""

import asyncpg
import nats
import pytest

from deploy.local.reaching import NO_URL, host_of, reaching, reason_of
from shared.settings import SettingsError


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("postgresql://u:secret@db:5433/x", "db:5433"),
        ("postgresql://u:sec@ret@db/x", "db"),
        ("postgresql://u:sec/ret@db/x", "no host"),
        ("postgresql://u:12#34@db/x", "no host"),
        ("postgresql://u:secret@[bad", "no host"),
        ("postgresql:///x?host=/run", "no host"),
        ("nats://secret@n:4222", "n:4222"),
        ("n:4222", "n:4222"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_host_is_told_and_never_a_piece_of_a_password(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (TimeoutError(), "TimeoutError"),
        (ValueError("invalid literal for int() with base 10: 'secret'"), NO_URL),
        (asyncpg.InvalidPasswordError("no such password"), "no such password"),
        (nats.errors.Error("nats: 'Authorization Violation'"), "nats: 'Authorization Violation'"),
    ],
)
def test_the_reason_is_told_in_words(error: Exception, reason: str) -> None:
    assert reason_of(error) == reason
    with pytest.raises(SettingsError, match=r"^PRECEDENT_X \(h:1\): ") as told, reaching("PRECEDENT_X", "x://s@h:1"):
        raise error
    assert str(told.value).endswith(reason)


def test_what_says_what_to_do_is_told_as_it_is() -> None:
    with pytest.raises(SettingsError, match=r"^lower it$"), reaching("PRECEDENT_X", "x://h"):
        raise SettingsError("lower it")


def test_a_mistake_of_ours_is_no_matter_of_the_server() -> None:
    with pytest.raises(asyncpg.PostgresSyntaxError), reaching("PRECEDENT_X", "x://h"):
        raise asyncpg.PostgresSyntaxError("selcet")
