"""Probes and metrics: no key, no limit, and the first of them touches nothing."""

from litestar import Response, get
from litestar.di import NamedDependency
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from services.gateway.runtime import Runtime
from services.gateway.views import Health, Readiness, State


@get("/healthz")
async def healthz() -> Health:
    """The process runs and its event loop turns."""
    return Health()


@get("/readyz")
async def readyz(runtime: NamedDependency[Runtime]) -> Response[Readiness]:
    """`503` only while draining or without NATS: fixes are accepted without Postgres and Redis."""
    if runtime.draining.is_set():
        return Response(Readiness(status="draining"), status_code=503)
    checks = await runtime.checks()
    if checks["nats"] != "ok":
        return Response(Readiness(status="unavailable", checks=checks), status_code=503)
    status: State = "ok" if all(state == "ok" for state in checks.values()) else "degraded"
    # The limiter learns it from the next request; what that will find is already known.
    backend = runtime.limiter.backend if checks["redis"] == "ok" else "local"
    return Response(Readiness(status=status, checks=checks, rate_limits=backend))


@get("/metrics", media_type="text/plain")
async def metrics(runtime: NamedDependency[Runtime]) -> Response[bytes]:
    """Prometheus text format."""
    return Response(generate_latest(runtime.registry), headers={"content-type": CONTENT_TYPE_LATEST})
