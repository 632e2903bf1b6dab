"""What is said when there is no room for the log."""

from typing import Any

import pytest
from nats.js.errors import NotFoundError, ServerError

from deploy.local.prepare import declare_log
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
