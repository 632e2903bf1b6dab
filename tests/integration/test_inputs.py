"""Limits on everything that a client can send, tried over bare sockets: size, depth, count and time."""

import asyncio
import gzip
import json
from contextlib import suppress

import pytest

from services.gateway import protocol
from services.gateway.protocol import MAX_HEADERS, MAX_URL_BYTES, seconds_for
from tests.diffs import fix
from tests.world import Api, World, eventually

SOON_SECONDS = 20.0
BOMB_BYTES = 50 << 20


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    made = await standing.gateway()
    await made.get("/v1/fixes")
    return made


class Raw:
    """A connection that says what it likes."""

    def __init__(self, api: Api, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.key, self._reader, self.writer = api.keys["owner"], reader, writer

    @classmethod
    async def to(cls, api: Api) -> "Raw":
        return cls(api, *await asyncio.open_connection("127.0.0.1", api.client.base_url.port, limit=1 << 20))

    def say(self, text: str | bytes) -> None:
        self.writer.write(text.encode() if isinstance(text, str) else text)

    def begin(self, first: str, *headers: str) -> None:
        self.say("\r\n".join([f"{first} HTTP/1.1", "Host: x", f"Authorization: Bearer {self.key}", *headers, "", ""]))

    async def answer(self) -> tuple[int, str]:
        """Its status and code; the connection's end without a word is (0, "")."""
        try:
            head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), SOON_SECONDS)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return 0, ""
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        body = json.loads(await self._reader.readexactly(length))
        return int(head.split()[1]), body.get("code", "")

    async def everything(self) -> str:
        """All that comes until the connection is closed, which it has to be soon."""
        found = bytearray()
        with suppress(ConnectionResetError):
            while part := await asyncio.wait_for(self._reader.read(1 << 16), SOON_SECONDS):
                found += part
        return found.decode()

    async def closed(self) -> bool:
        try:
            return await asyncio.wait_for(self._reader.read(1), SOON_SECONDS) == b""
        except ConnectionResetError:
            return True


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rules, in a hurry."""
    for name in ("HEADER_SECONDS", "BODY_SECONDS", "STREAMED_SECONDS"):
        monkeypatch.setattr(protocol, name, 0.5)
    monkeypatch.setattr(protocol, "TICK_SECONDS", 0.1)


async def test_an_idle_connection_is_closed_and_one_in_use_is_not(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol.BoundedProtocol, "timeout_keep_alive", property(lambda _: 0.6, lambda *_: None), False)
    raw = await Raw.to(api)
    for _ in range(4):
        await asyncio.sleep(0.3)
        raw.begin("GET /healthz")
        assert (await raw.answer())[0] == 200
    assert await raw.closed()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "said", ["", "G", "GET /v1/fixes HTTP/1.1\r\nHost: x\r\n"], ids=["nothing", "a byte", "a line"]
)
async def test_who_never_ends_its_headers_is_cut_off(api: Api, said: str) -> None:
    raw = await Raw.to(api)
    raw.say(said)
    assert await raw.answer() == (408, "request_timeout")
    assert await raw.closed()


async def test_who_leaves_within_a_body_is_no_failure_of_ours(api: Api) -> None:
    raw = await Raw.to(api)
    raw.begin("POST /v1/fixes", "Content-Type: application/json", "Content-Length: 1000")
    raw.say('{"agent_id": ')
    await raw.writer.drain()
    raw.writer.close()

    async def statuses() -> list[str]:
        metrics = (await api.get("/metrics")).text
        counted = [line for line in metrics.splitlines() if line.startswith("http_requests_total") and "POST" in line]
        return [line.partition('status="')[2][:3] for line in counted]

    assert await eventually(statuses) == ["400"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("path", "first"),
    [("/v1/fixes", "408 Request Timeout"), ("/v1/fixes/bulk", "200 OK"), ("/v1/nowhere", "404 Not Found")],
    ids=["while it is read", "while it is answered", "after it was answered"],
)
async def test_who_drips_a_body_is_cut_off(api: Api, path: str, first: str) -> None:
    raw = await Raw.to(api)
    raw.begin(f"POST {path}", "Content-Type: application/json", "Content-Length: 100000")

    async def drip() -> None:
        while not raw.writer.is_closing():
            raw.say(" ")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    assert first in await raw.everything()
    dripping.cancel()
    assert (await api.get("/v1/fixes")).status_code == 200


@pytest.mark.usefixtures("hasty")
async def test_who_sends_slowly_but_at_a_fair_pace_is_let_finish(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_BYTES_PER_SECOND", 100)
    body = json.dumps(fix()).encode()
    raw = await Raw.to(api)
    raw.begin("POST /v1/fixes", "Content-Type: application/json", f"Content-Length: {len(body)}")
    for at in range(0, len(body), 40):
        raw.say(body[at : at + 40])
        await asyncio.sleep(0.1)
    assert (await raw.answer())[0] == 202


def test_a_stream_of_lines_has_a_pace_of_its_own() -> None:
    assert seconds_for("/v1/fixes/bulk", 0) > seconds_for("/v1/fixes", 0)
    assert seconds_for("/v1/fixes/bulk", 64_000) > 1_000
    assert seconds_for("/v1/fixes", 4 << 20) < 300


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ([f"X-{n}: y" for n in range(MAX_HEADERS)], 431, "headers_too_large"),
        (["X: " + "y" * 40_000], 431, "headers_too_large"),
        (["Content-Encoding: gzip"], 415, "unsupported_media_type"),
        (["Content-Encoding: zstd"], 415, "unsupported_media_type"),
    ],
)
async def test_headers_are_limited_in_number_and_size_and_name_no_coding(
    api: Api, headers: list[str], status: int, code: str
) -> None:
    raw = await Raw.to(api)
    raw.begin("POST /v1/fixes", *headers, "Content-Length: 0")
    assert await raw.answer() == (status, code)
    assert await raw.closed()


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [
        ("1.1", [], 400),
        ("1.1", ["Host: x", "Host: x"], 400),
        ("1.1", ["Host: x"], 200),
        ("1.1", ["Host:"], 200),
        ("1.0", [], 200),
        ("1.0", ["Host: x", "host: y"], 400),
        ("1.1", ["Host: x", "Transfer-Encoding: gzip, chunked"], 400),
        ("1.1", ["Host: x", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], 400),
        ("1.1", ["Host: x", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], 400),
        ("1.1", ["Host: x", "Transfer-Encoding: identity"], 400),
        ("1.1", ["Host: x", "Transfer-Encoding: Chunked "], 200),
    ],
)
async def test_a_head_that_others_may_read_otherwise_is_refused(
    api: Api, version: str, headers: list[str], status: int
) -> None:
    raw = await Raw.to(api)
    body = "0\r\n\r\n" if "encoding" in str(headers).lower() else ""
    raw.say("\r\n".join([f"GET /healthz HTTP/{version}", *headers, "", body]))
    assert await raw.answer() == (status, "invalid_request" if status == 400 else "")
    assert status == 200 or await raw.closed()


async def test_a_url_is_limited_in_length(api: Api) -> None:
    answer = await api.get("/v1/fixes", params={"q": "x" * MAX_URL_BYTES})
    assert (answer.status_code, answer.json()["code"]) == (414, "url_too_long")
    assert (await api.get("/v1/fixes", params={"q": "x" * 200})).status_code == 200


async def test_a_compressed_bomb_is_refused_unread(api: Api) -> None:
    bomb = gzip.compress(b" " * BOMB_BYTES)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = await api.call("POST", "/v1/fixes", content=bomb, headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")


async def test_a_body_is_limited_in_size_also_when_it_does_not_say_its_length(api: Api) -> None:
    raw = await Raw.to(api)
    raw.begin("POST /v1/fixes", "Content-Type: application/json", "Transfer-Encoding: chunked")
    raw.say(b'5\r\n{"q":\r\n')
    for _ in range(5):
        raw.say(b"100000\r\n" + b" " * (1 << 20) + b"\r\n")
    assert await raw.answer() == (413, "too_large")
    said = await api.call("POST", "/v1/fixes", content=b" " * (5 << 20), headers={"Content-Type": "application/json"})
    assert said.status_code == 413


DEEP = 100_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/fixes", "[" * DEEP),
        ("/v1/fixes", '{"agent_id":' * DEEP),
        ("/v1/fixes", '{"agent_id":"a","repository":"r","domains":' + "[" * DEEP),
        ("/v1/fixes", '{"agent_id":"a","repository":"r","features":' + '{"a":' * DEEP),
        ("/v1/fixes", '{"agent_id":"a","repository":"r","signals":' + '{"a":' * DEEP),
        ("/v1/confidence/batch", '{"items":' + "[" * DEEP),
        ("/v1/learnings", '{"unknown":' + "[" * DEEP),
    ],
)
async def test_deep_json_is_refused_like_any_other_that_does_not_fit(api: Api, path: str, body: str) -> None:
    answer = await api.call("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    line = await api.call("POST", "/v1/fixes/bulk", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert json.loads(line.text)["problem"]["code"] == "invalid_request"


@pytest.mark.parametrize(
    "fields",
    [{"domains": ["d"] * 33}, {"learning_ids": ["00000000-0000-0000-0000-000000000000"] * 33}, {"title": "t" * 1001}],
    ids=["domains", "learning_ids", "title"],
)
async def test_counts_and_lengths_are_limited(api: Api, fields: dict[str, object]) -> None:
    answer = await api.post("/v1/fixes", fix(**fields))
    assert (answer.status_code, answer.json()["errors"][0]["field"].split("[")[0]) == (400, next(iter(fields)))


async def test_what_is_not_http_is_answered_with_a_problem(api: Api) -> None:
    raw = await Raw.to(api)
    raw.say("nonsense\r\n\r\n")
    assert await raw.answer() == (400, "invalid_request")
    assert await raw.closed()


PREFLIGHT = {"Origin": "https://console.example.org", "Access-Control-Request-Method": "POST"}


async def test_other_origins_may_read_nothing_unless_they_are_named(api: Api) -> None:
    answer = await api.client.options("/v1/fixes", headers=PREFLIGHT)
    assert answer.status_code == 401
    for found in (answer, await api.get("/v1/fixes", headers={"Origin": PREFLIGHT["Origin"]})):
        assert not [name for name in found.headers if name.startswith("access-control")]


async def test_a_named_origin_may_ask_before_it_has_shown_a_key_and_read_the_answers(standing: World) -> None:
    api = await standing.gateway(cors_origins="https://console.example.org, http://localhost:5173")
    asked = await api.client.options("/v1/fixes", headers=PREFLIGHT)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == PREFLIGHT["Origin"]
    assert "Idempotency-Key" in asked.headers["access-control-allow-headers"]
    read = await api.get("/v1/fixes", headers={"Origin": "http://localhost:5173"})
    assert (read.status_code, read.headers["access-control-allow-origin"]) == (200, "http://localhost:5173")
    assert "Origin" in read.headers["vary"]
    assert "access-control-allow-credentials" not in read.headers
    other = await api.client.options("/v1/fixes", headers=PREFLIGHT | {"Origin": "https://elsewhere.example.org"})
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (401, False)


async def test_the_page_of_the_api_may_run_nothing_and_be_framed_by_nobody(api: Api) -> None:
    page = await api.client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_requests_sent_at_once_are_answered_one_by_one_in_their_order(api: Api) -> None:
    raw = await Raw.to(api)
    raw.begin("GET /v1/fixes")
    raw.say("GET /v1/fixes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer nonsense\r\n\r\n")
    raw.begin("GET /v1/learnings/01890000-0000-7000-8000-000000000000")
    raw.begin("GET /v1/learnings", "Connection: close")
    found = [await raw.answer() for _ in range(4)]
    assert found == [(200, ""), (401, "unauthenticated"), (404, "not_found"), (200, "")]
    assert await raw.closed()
