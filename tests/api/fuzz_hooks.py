"""What schemathesis cannot know of this API by its schema: how to write a diff, and that times lie in the past."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import schemathesis
from hypothesis import strategies as st

from services.gateway.page_queries import Keyset
from services.gateway.paging import decode_cursor, encode_cursor
from services.gateway.problems import ApiError
from services.gateway.routes.stats import After

LINES = st.text("abcxyz_ ()=:", min_size=1, max_size=20)
NAMES = st.from_regex(r"[a-z]{1,8}/[a-z]{1,8}\.(py|ts|go)", fullmatch=True)


def _diff(name: str, old: list[str], new: list[str]) -> str:
    head = f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1,{len(old)} +1,{len(new)} @@\n"
    return head + "".join(f"-{line}\n" for line in old) + "".join(f"+{line}\n" for line in new)


SOME_LINES = st.lists(LINES, min_size=1, max_size=3)
schemathesis.openapi.format("unified-diff", st.builds(_diff, NAMES, SOME_LINES, SOME_LINES))
SOME_LIST = "/"
KEYSETS = st.builds(Keyset, at=st.just(datetime(2026, 1, 1, tzinfo=UTC)), id=st.uuids())
schemathesis.openapi.format("cursor", KEYSETS.map(partial(encode_cursor, SOME_LIST)))
AFTERS = st.builds(After, agent_id=st.text("abcxyz-", min_size=1, max_size=20))
schemathesis.openapi.format("agent-cursor", AFTERS.map(partial(encode_cursor, SOME_LIST)))


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    """A cursor is one of the list that is asked for."""
    cursor = (query or {}).get("cursor")
    for kind in (Keyset, After) if isinstance(cursor, str) else ():
        with suppress(ApiError):
            return query | {"cursor": encode_cursor(context.operation.path, decode_cursor(SOME_LIST, cursor, kind))}
    return query


PAST = st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))
schemathesis.openapi.format("date-time", PAST.map(lambda at: at.isoformat().replace("+00:00", "Z")))


@schemathesis.serializer("application/x-ndjson")
def ndjson(_: schemathesis.SerializationContext, value: object) -> bytes:
    """Lines as they were generated: text, of which the API says what each line holds."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")
