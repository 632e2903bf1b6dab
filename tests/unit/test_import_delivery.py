"""Sending fixes to a gateway that is busy, breaks off or refuses: a real HTTP server that keeps what it accepted."""

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner

from cli.bulk import LineAnswer, deliver, slices
from cli.client import Api, ApiError, Unreachable, sentence
from cli.main import main


class Gateway(ThreadingHTTPServer):
    """Knows fixes by `external_id`. `trouble` is what the next requests meet, in order; then all goes well."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.fixes: dict[str, dict[str, Any]] = {}
        self.trouble: list[str] = []
        self.requests: list[tuple[str, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, line: bytes, number: int, trouble: str) -> dict[str, Any]:
        """The answer to one line of a bulk."""
        fix = json.loads(line)
        if not fix.get("agent_id"):
            errors = [{"field": "agent_id", "message": "must not be empty"}]
            problem = {"status": 400, "code": "invalid", "detail": "not a fix", "errors": errors}
            return {"line": number, "id": None, "status": "rejected", "problem": problem}
        if trouble == "full" and number % 2:
            return {"line": number, "id": None, "status": "rejected", "problem": {"status": 503, "code": "log_full"}}
        status = "existing" if fix["external_id"] in self.fixes else "accepted"
        self.fixes[fix["external_id"]] = fix
        return {"line": number, "id": None, "status": status, "problem": None}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        lines = list(self.body())
        self.server.requests.append((self.headers["Authorization"], len(lines)))
        trouble = self.server.trouble.pop(0) if self.server.trouble else ""
        if trouble.isdigit():
            return self.answer(int(trouble), [json.dumps({"status": int(trouble), "code": "busy", "detail": "no"})])
        answers = [json.dumps(self.server.take(line, number, trouble)) for number, line in enumerate(lines, 1)]
        if trouble == "cut":  # everything was taken, half of the answers arrive
            return self.answer(200, answers[: len(answers) // 2], length_of=answers)
        return self.answer(200, answers)

    def body(self) -> Iterator[bytes]:
        """The lines of a chunked body, which come one in a chunk."""
        assert self.headers["Transfer-Encoding"] == "chunked"
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def answer(self, status: int, lines: list[str], length_of: list[str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(sum(len(line) + 1 for line in length_of or lines)))
        self.end_headers()
        self.wfile.write("".join(f"{line}\n" for line in lines).encode())
        self.close_connection = length_of is not None


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def api(gateway: Gateway, pauses: list[float]) -> Iterator[Api]:
    with Api(gateway.url, "a-key", sleep=pauses.append) as client:
        yield client


def lines(count: int) -> list[bytes]:
    return [json.dumps({"agent_id": "claude", "external_id": str(number)}).encode() for number in range(count)]


def statuses(answers: Iterator[LineAnswer]) -> dict[int, str]:
    return {answer.line: answer.status for answer in answers}


def test_a_slice_is_one_request_and_every_line_is_answered(api: Api, gateway: Gateway) -> None:
    assert statuses(deliver(api, lines(1000))) == dict.fromkeys(range(1, 1001), "accepted")
    assert gateway.requests == [("Bearer a-key", 1000)]


def test_sending_again_finds_what_exists(api: Api) -> None:
    list(deliver(api, lines(3)))
    assert list(statuses(deliver(api, lines(4))).values()) == ["existing", "existing", "existing", "accepted"]


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_busy_gateway_is_asked_again_after_the_time_it_names(
    api: Api, gateway: Gateway, pauses: list[float], status: str
) -> None:
    gateway.trouble = [status, status]
    assert list(statuses(deliver(api, lines(2))).values()) == ["accepted", "accepted"]
    assert pauses == [7, 7]


def test_after_a_lost_connection_only_unanswered_lines_are_sent_again(api: Api, gateway: Gateway) -> None:
    gateway.trouble = ["cut"]
    answers = statuses(deliver(api, lines(10)))
    assert answers == dict.fromkeys(range(1, 6), "accepted") | dict.fromkeys(range(6, 11), "existing")
    assert [count for _, count in gateway.requests] == [10, 5]
    assert len(gateway.fixes) == 10


def test_lines_that_the_full_log_turned_away_are_sent_again(api: Api, gateway: Gateway) -> None:
    gateway.trouble = ["full"]
    assert set(statuses(deliver(api, lines(5))).values()) == {"accepted"}
    assert [count for _, count in gateway.requests] == [5, 3]


def test_one_bad_line_spoils_no_other(api: Api) -> None:
    answers = {answer.line: answer for answer in deliver(api, [*lines(1), b'{"agent_id": ""}', *lines(2)[1:]])}
    assert [answers[number].status for number in (1, 2, 3)] == ["accepted", "rejected", "accepted"]
    assert answers[2].problem is not None
    assert answers[2].problem["errors"][0]["field"] == "agent_id"


def test_a_refusal_of_the_whole_is_told_and_not_repeated(api: Api, gateway: Gateway) -> None:
    gateway.trouble = ["403"]
    with pytest.raises(ApiError, match="403 busy: no"):
        list(deliver(api, lines(1)))
    assert len(gateway.requests) == 1


def test_waiting_ends(api: Api, gateway: Gateway, pauses: list[float]) -> None:
    gateway.trouble = ["503"] * 100
    with pytest.raises(Unreachable, match="503"):
        list(deliver(api, lines(1)))
    assert len(pauses) < 10


def test_slices_are_bounded_in_lines_and_in_bytes() -> None:
    assert [len(part) for part in slices([b"x"] * 2500)] == [1000, 1000, 500]
    assert [len(part) for part in slices([b"x" * (6 << 20)] * 5)] == [2, 2, 1]
    assert list(slices([])) == []


@pytest.fixture
def history(tmp_path: Path) -> Path:
    path = tmp_path / "area"
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", "init", "-q", str(path)], check=True)
    for number in range(3):
        (path / "a.py").write_text(f"value = {number}\n")
        subprocess.run(["git", "-C", str(path), "add", "-A"], check=True)
        subprocess.run(["git", "-C", str(path), *who, "commit", "-qm", f"feat: value {number}"], check=True)
    return path


def test_the_command_imports_and_reports(gateway: Gateway, history: Path) -> None:
    argv = ["--url", gateway.url, "--key", "a-key", "import", "git", str(history), "--repository", "acme/area"]
    first, second = CliRunner().invoke(main, argv), CliRunner().invoke(main, argv)
    assert "3 accepted" in first.output
    assert "3 human" in first.output
    assert "3 existing" in second.output
    assert [(fix["title"], fix["repository"], fix["author"]) for fix in gateway.fixes.values()] == [
        (f"feat: value {number}", "acme/area", "Ada") for number in range(3)
    ]


def test_the_command_fails_when_everything_is_refused(gateway: Gateway, history: Path) -> None:
    gateway.take = lambda line, number, trouble: {  # type: ignore[method-assign]
        "line": number,
        "status": "rejected",
        "problem": {"status": 400, "code": "invalid", "detail": "not today"},
    }
    done = CliRunner().invoke(main, ["--url", gateway.url, "--key", "k", "import", "git", str(history)])
    assert done.exit_code == 1
    assert "3 × invalid: not today" in done.output


def test_a_dry_run_sends_nothing(history: Path) -> None:
    done = CliRunner().invoke(main, ["--url", "http://127.0.0.1:9", "import", "git", str(history), "--dry-run"])
    assert done.exit_code == 0
    assert "3 not known yet" in done.output


def test_a_platform_that_is_not_up_is_one_sentence(history: Path) -> None:
    done = CliRunner().invoke(
        main, ["--url", "http://127.0.0.1:9", "--key", "k", "score", "--repository", "a"], input=""
    )
    assert done.exit_code == 1
    assert "does not answer at http://127.0.0.1:9" in done.output


def test_a_problem_is_one_sentence_that_names_the_field_and_repeats_nothing() -> None:
    errors = [{"field": "diff", "message": "no diff found"}, {"field": "title", "message": "too long"}]
    problem = {"title": "Bad Request", "code": "invalid_diff", "detail": "no diff found", "errors": errors}
    assert sentence(problem) == "invalid_diff: no diff found (diff; title: too long)"
    assert sentence({"title": "Bad Gateway"}) == "Bad Gateway"
