"""What happens to every request before routing and after it: who is let in, the trace, the count, the cache, the tag
and the coding of the answer."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any

import msgspec

from services.gateway.admission import Admission
from services.gateway.at_once import Analyses, Fixes, Scores
from services.gateway.cache import Resource
from services.gateway.cached_reads import CachedReads
from services.gateway.exchange import Exchange
from services.gateway.finishing import App, Finisher, captured, finished
from services.gateway.keys import Principal
from services.gateway.problems import MEDIA_TYPE, ApiError, as_api_error, details
from services.gateway.representation import COMMON, Answer
from services.gateway.route_names import RouteNames
from services.gateway.runtime import Runtime
from shared.keys import Scope
from shared.telemetry import span

Way = Callable[[Exchange, Principal], Awaitable[Answer | None]]

# No key needed: probes, metrics and the descriptions of the API.
OPEN = frozenset({"/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/asyncapi.json", "/docs"})

# Without an end, so that nobody can ask for its headers alone.
ENDLESS = "GET /v1/events"

log = logging.getLogger(__name__)


class Edge:
    """An ASGI application around Litestar's. Lifespan passes through untouched."""

    def __init__(self, app: App, runtime: Runtime, names: RouteNames) -> None:
        self.app = app
        self.runtime = runtime
        self._names = names
        self._metrics = runtime.metrics
        self._flags = runtime.flags
        self._reads = CachedReads(runtime.cache, runtime.generations, runtime.flags)
        self._scores = Scores(runtime.predictions, runtime.flags)
        self._analyses = Analyses(runtime.ask)
        self._fixes = Fixes(runtime.intake)
        self._admission = Admission(runtime, self._reads)
        # A span costs as much as a whole answer from the cache: at once only where somebody collects them.
        self._traced = bool(runtime.settings.otlp_endpoint)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and self._names.of("GET", scope["path"]) != ENDLESS:
            # Answered as a GET; the server leaves the body out.
            scope = {**scope, "method": "GET"}
        exchange = Exchange(scope, receive, send)
        exchange.route = self._names.of(exchange.method, exchange.path)
        exchange.asked.compression = self._flags.on("compression")
        try:
            if self._traced:
                with traced(exchange):
                    if not await self._at_once(exchange):
                        await self._serve(exchange)
            elif not await self._at_once(exchange):
                with traced(exchange):
                    await self._serve(exchange)
        finally:
            self._metrics.answered(exchange.route, exchange.method, exchange.status, exchange.seconds)

    async def _at_once(self, exchange: Exchange) -> bool:
        """Answers without routing what the cache, or a list on its way to scoring, can answer, and takes fixes.

        What it leaves, it leaves as it found it, but for the decision of the limiter, which is taken once.
        """
        found = self._way(exchange)
        principal = found and self._admission.known(exchange, found[0])
        if found is None or principal is None:
            return False
        try:
            answer = await found[1](exchange, principal)
        except Exception as error:
            with self._trace(exchange):
                answer = self._failure(exchange, error)
        if answer is not None:
            await exchange.say(answer)
        return answer is not None

    def _way(self, exchange: Exchange) -> tuple[Scope, Way] | None:
        """The scope that it needs, and who answers it."""
        resource = self._reads.resource(exchange)
        if resource is not None:
            return "read", partial(self._read, resource)
        if self._scores.takes(exchange):
            return "read", self._score
        if self._analyses.takes(exchange):
            return "read", partial(self._ahead, self._analyze)
        return ("submit", partial(self._ahead, self._hand_in)) if self._fixes.takes(exchange) else None

    async def _read(self, resource: Resource, exchange: Exchange, principal: Principal) -> Answer | None:
        exchange.resource = resource
        await self._admission.take(exchange, principal, self._reads.keys(resource))
        return None if exchange.refused else self._reads.known(exchange)

    async def _score(self, exchange: Exchange, principal: Principal) -> Answer | None:
        question = await self._scores.question(exchange, principal)
        if question is None:
            return None
        ahead = self._scores.ahead(question) if self._admission.generous else None
        deciding = self._admission.ask(exchange, principal, self._scores.keys(question, ahead))
        if ahead is not None:
            # Nearly always the later one of the two, and whoever waits for it alone is woken once. It is heard below.
            with suppress(ApiError):
                await ahead.reply
        self._admission.decided(exchange, await deciding)
        return None if exchange.refused else await self._scores.answer(exchange, question, ahead)

    async def _ahead(self, way: Way, exchange: Exchange, principal: Principal) -> Answer | None:
        """By a way that begins before the limiter has decided, if it most likely lets in."""
        if not self._admission.generous:
            return None
        with self._trace(exchange):
            try:
                return await way(exchange, principal)
            except Exception as error:
                return self._failure(exchange, error)

    async def _analyze(self, exchange: Exchange, principal: Principal) -> Answer | None:
        deciding = self._admission.ask(exchange, principal, ())
        ahead = await self._analyses.ahead(exchange)
        try:
            self._admission.decided(exchange, await deciding)
            return None if exchange.refused or ahead is None else await self._analyses.answer(exchange, ahead)
        finally:
            if ahead is not None:
                ahead.cancel()

    async def _hand_in(self, exchange: Exchange, principal: Principal) -> Answer | None:
        handed_in = await self._fixes.handed_in(exchange, principal)
        await self._admission.take(exchange, principal, handed_in.keys if handed_in is not None else ())
        if exchange.refused or handed_in is None:
            return None
        return await self._fixes.answer(exchange, handed_in)

    def _failure(self, exchange: Exchange, error: Exception) -> Answer:
        known = as_api_error(error)
        if known.status == 500:
            log.error("%s %s failed", exchange.method, exchange.path, exc_info=error)
        return finished(problem(known), exchange.method, exchange.asked)

    def _trace(self, exchange: Exchange) -> AbstractContextManager[Any]:
        return nullcontext() if self._traced else traced(exchange)

    async def _serve(self, exchange: Exchange) -> None:
        refusal = None if exchange.path in OPEN else await self._admission.refusal(exchange)
        if refusal is not None:
            await exchange.say(finished(problem(refusal), exchange.method, exchange.asked))
        elif exchange.method == "OPTIONS" and (methods := self._methods(exchange.path)):
            await exchange.say(options(methods))
        elif exchange.resource is None:
            finisher = Finisher(exchange.method, exchange.asked, exchange.send)
            await self.app(exchange.scope, exchange.receive, finisher)
        else:
            ask = partial(captured, self.app, exchange.scope, exchange.receive)
            answer = self._reads.known(exchange) or await self._reads.read(exchange, exchange.resource, ask)
            await exchange.say(answer)

    def _methods(self, path: str) -> list[str]:
        """What may be done there; empty for what no route serves."""
        methods = self._names.methods(path)
        with_head = "GET" in methods and self._names.of("GET", path) != ENDLESS
        return sorted([*methods, "HEAD"]) if with_head else methods


def traced(exchange: Exchange) -> AbstractContextManager[Any]:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.asked.items()}
    return span(f"{exchange.method} {exchange.path}", headers)


def problem(error: ApiError) -> Answer:
    headers = [(b"content-type", MEDIA_TYPE.encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return Answer(error.status, headers, msgspec.json.encode(details(error)))


def options(methods: Sequence[str]) -> Answer:
    """The framework knows of one method for each path, whatever else stands there."""
    return Answer(204, [(b"allow", ", ".join([*methods, "OPTIONS"]).encode()), *COMMON], b"")
