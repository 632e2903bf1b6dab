"""What is said when there is no room for the log, and which keys are made."""

from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import NotFoundError, ServerError

from deploy.local import prepare
from deploy.local.prepare import FIRST_KEYS, declare_log, first_keys
from shared.keys import new_key
from shared.settings import SettingsError


class FullServer:
    """JetStream on a disk smaller than what is asked for."""

    async def stream_info(self, _: str) -> None:
        raise NotFoundError

    async def add_stream(self, _: object) -> None:
        raise ServerError(code=500, err_code=10047, description="insufficient storage resources available")


async def test_a_disk_too_small_for_the_log_is_told_with_the_setting_that_helps() -> None:
    server: Any = FullServer()
    with pytest.raises(SettingsError, match="PRECEDENT_LOG_GIB"):
        await declare_log(server, "4")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the keys that were made, in their order."""
    texts: list[str] = []

    async def create(*_: object, **__: object) -> str:
        texts.append(new_key().text)
        return texts[-1]

    monkeypatch.setattr(prepare, "create_key", create)
    return texts


def kept(home: Path) -> list[str]:
    return [(home / name).read_text().strip() for name, *_ in FIRST_KEYS]


async def test_keys_are_made_once_for_our_eyes_only(tmp_path: Path, made: list[str]) -> None:
    for _ in range(2):
        await first_keys("", tmp_path)
    assert kept(tmp_path) == made
    assert len(made) == len(FIRST_KEYS)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\0", b"pk_", b"pk_" + b"0" * 55])
async def test_a_file_that_holds_no_key_gets_one(tmp_path: Path, made: list[str], content: bytes) -> None:
    for name, *_ in FIRST_KEYS:
        (tmp_path / name).write_bytes(content)
    await first_keys("", tmp_path)
    assert kept(tmp_path) == made
