"""What happens to every request before routing and after it: the key, the limits, the trace, the count, the common
headers."""

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from services.gateway.addresses import client_address, trusted_networks
from services.gateway.keys import Principal
from services.gateway.limit_headers import limit_headers, limited
from services.gateway.problems import MEDIA_TYPE, ApiError, as_api_error, details
from services.gateway.route_names import RouteNames
from services.gateway.runtime import Runtime
from shared.telemetry import span

ASGIScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[ASGIScope]]
Send = Callable[[ASGIScope], Awaitable[None]]
App = Callable[[ASGIScope, Receive, Send], Awaitable[None]]

# No key needed: probes, metrics and the descriptions of the API.
OPEN = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json", "/docs"})
COMMON = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Authorization, Accept-Encoding"),
)

log = logging.getLogger(__name__)


class Edge:
    """An ASGI application around Litestar's. Lifespan passes through untouched."""

    def __init__(self, app: App, runtime: Runtime, names: RouteNames) -> None:
        self.app = app
        self.runtime = runtime
        self._names = names
        self._keys = runtime.keys
        self._policies = runtime.policies
        self._limiter = runtime.limiter
        self._failures = runtime.failures
        self._shedding = runtime.shedding
        self._trusted = trusted_networks(runtime.settings.trusted_proxies)
        self._metrics = runtime.metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def answer(message: ASGIScope) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(h for h in COMMON if h[0] not in present)]
                if verdict := scope.get("verdict"):
                    message["headers"] += limit_headers(verdict)
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            with span(f"{scope['method']} {scope['path']}", headers):
                await self._serve(scope, headers, receive, answer)
        finally:
            route = scope.get("path_template") or "unmatched"
            self._metrics.answered(route, scope["method"], status, time.perf_counter() - started)

    async def _serve(self, scope: ASGIScope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        try:
            if scope["path"] not in OPEN:
                await self._admit(scope, headers)
        except ApiError as error:
            await problem(send, error)
            return
        except Exception as error:
            log.exception("admission failed")
            await problem(send, as_api_error(error))
            return
        await self.app(scope, receive, send)

    async def _admit(self, scope: ASGIScope, headers: dict[str, str]) -> None:
        """Leaves `principal` and `verdict` in the scope. Raises `ApiError` for what is not let in."""
        principal = scope["principal"] = await self._identify(scope, headers)
        route = self._policies.of(self._names.of(scope["method"], scope["path"]))
        self._shedding.check(scope["method"], route.route)
        # Whoever answers without routing names the keys it wants to read here, and gets them with the verdict.
        verdict, _ = await self._limiter.take(principal, route)
        scope["verdict"] = verdict
        if verdict.violated:
            raise limited(verdict.violated, verdict.retry_after)

    async def _identify(self, scope: ASGIScope, headers: dict[str, str]) -> Principal:
        key = headers.get("authorization")
        if self._failures.any_refused and not self._keys.remembers(key):
            self._failures.check(self._address(scope, headers))
        try:
            return await self._keys.authenticate(key)
        except ApiError as error:
            if error.status == 401:
                await self._failures.count(self._address(scope, headers))
            raise

    def _address(self, scope: ASGIScope, headers: dict[str, str]) -> str:
        peer = (scope.get("client") or ("unknown",))[0]
        return client_address(peer, headers.get("x-forwarded-for"), self._trusted)


async def problem(send: Send, error: ApiError) -> None:
    body = msgspec.json.encode(details(error))
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
