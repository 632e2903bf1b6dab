"""Who is let in: the key, the load, the limits. What the cache needs to know is asked in the limiter's own trip."""

import asyncio
import logging

from services.gateway.addresses import client_address, trusted_networks
from services.gateway.cached_reads import CachedReads
from services.gateway.exchange import Exchange
from services.gateway.keys import Principal
from services.gateway.limit_headers import limited
from services.gateway.limiter import Decision
from services.gateway.problems import ApiError, as_api_error
from services.gateway.runtime import Runtime
from shared.keys import Scope

READ: Scope = "read"

log = logging.getLogger(__name__)


class Admission:
    """Leaves `principal` and `verdict` in the scope, and the verdict and what was read with it in the exchange."""

    def __init__(self, runtime: Runtime, reads: CachedReads) -> None:
        self._keys = runtime.keys
        self._policies = runtime.policies
        self._limiter = runtime.limiter
        self._failures = runtime.failures
        self._shedding = runtime.shedding
        self._trusted = trusted_networks(runtime.settings.trusted_proxies)
        self._reads = reads

    def known(self, exchange: Exchange, scope: Scope) -> Principal | None:
        """Who has the scope, of whom that is known without asking anybody; None where the request has to wait."""
        principal = self._keys.remembered(exchange.asked.get(b"authorization"))
        if principal is None or scope not in principal.scopes:
            return None
        if self._shedding.refuses(exchange.method, exchange.route or ""):
            return None
        return principal

    @property
    def generous(self) -> bool:
        """Most likely the next one is let in: what it asks for may be begun before that is known."""
        return not self._limiter.refused_lately

    async def refusal(self, exchange: Exchange) -> ApiError | None:
        """None for who is let in."""
        try:
            if exchange.verdict is None:
                await self._admit(exchange)
        except ApiError as error:
            return error
        except Exception as error:
            log.exception("admission failed")
            return as_api_error(error)
        verdict = exchange.verdict
        return limited(verdict.violated, verdict.retry_after) if verdict is not None and exchange.refused else None

    async def _admit(self, exchange: Exchange) -> None:
        principal = await self._identify(exchange)
        self._shedding.check(exchange.method, exchange.route or "")
        if READ in principal.scopes:
            exchange.resource = self._reads.resource(exchange)
        keys = self._reads.keys(exchange.resource) if exchange.resource is not None else ()
        await self.take(exchange, principal, keys)

    async def take(self, exchange: Exchange, principal: Principal, keys: tuple[str, ...]) -> None:
        self.decided(exchange, await self.ask(exchange, principal, keys))

    def ask(self, exchange: Exchange, principal: Principal, keys: tuple[str, ...]) -> asyncio.Future[Decision]:
        """For whoever has something else to wait for meanwhile; `decided` hears the answer."""
        exchange.scope["principal"] = principal
        policy = self._policies.of(exchange.route)
        return self._limiter.take(principal, policy, keys, exchange.scope.get("price"))

    def decided(self, exchange: Exchange, decision: Decision) -> None:
        exchange.verdict, exchange.found = decision
        exchange.scope["verdict"] = exchange.verdict

    async def _identify(self, exchange: Exchange) -> Principal:
        key = exchange.asked.get(b"authorization", b"").decode("latin-1")
        if self._failures.any_refused and not self._keys.remembers(key):
            self._failures.check(self._address(exchange))
        try:
            return await self._keys.authenticate(key)
        except ApiError as error:
            if error.status == 401:
                await self._failures.count(self._address(exchange))
            raise

    def _address(self, exchange: Exchange) -> str:
        peer = (exchange.scope.get("client") or ("unknown",))[0]
        forwarded = exchange.asked.get(b"x-forwarded-for")
        return client_address(peer, forwarded.decode("latin-1") if forwarded else None, self._trusted)
