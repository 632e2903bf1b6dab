import os
import sys
from types import FrameType

import uvicorn

from services.gateway.app import create_app
from services.gateway.protocol import BoundedProtocol
from services.gateway.runtime import SERVICE, Runtime
from services.gateway.settings import GatewaySettings
from shared.settings import SettingsError
from shared.worker import run


def draining_server(runtime: Runtime) -> type[uvicorn.Server]:
    """Litestar's shutdown runs after uvicorn has waited for open connections; waiting callers must be told before."""

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            runtime.drain()
            super().handle_exit(sig, frame)

    return Server


if __name__ == "__main__":
    try:
        settings = GatewaySettings.read(os.environ)
        app = create_app(settings)
    except SettingsError as error:
        sys.exit(f"{SERVICE}: {error}")
    run(SERVICE, settings, app, draining_server(app.runtime), BoundedProtocol)
