"""The API's own descriptions: for generators of clients, and for people."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.response import Redirect

from services.gateway.descriptions import Descriptions

# The page has a style of its own, no script, and nothing from elsewhere.
PAGE = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
Described = NamedDependency[Descriptions]


@get("/openapi.json")
async def openapi(descriptions: Described) -> Response[bytes]:
    """What this API takes and answers, as OpenAPI 3.1."""
    return Response(descriptions.openapi, media_type="application/vnd.oai.openapi+json")


@get("/asyncapi.json")
async def asyncapi(descriptions: Described) -> Response[bytes]:
    """What the services tell each other, as AsyncAPI 3."""
    return Response(descriptions.asyncapi, media_type="application/vnd.aai.asyncapi+json")


@get("/docs")
async def docs(descriptions: Described) -> Response[bytes]:
    """The API as a page, with what each problem's code means."""
    return Response(descriptions.page, media_type="text/html", headers=PAGE)


@get("/", status_code=307)
async def front() -> Redirect:
    """Whoever opens the address that `make run` prints. No part of the API."""
    return Redirect("/docs", status_code=307)
