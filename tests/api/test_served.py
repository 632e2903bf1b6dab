"""Which filters go together: what the table says is answered, whatever else is refused, and people can read it."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from services.gateway.served import FIXES, LISTS, Served
from tests.world import Api, World

VALUES: dict[str, str] = {
    "status": "open", "collaboration_type": "review", "category": "security",
    "pattern_id": "01a20aec-91e9-7663-af7b-314541511d2e", "since": "2026-01-01T00:00:00Z",
    "until": "2027-01-01T00:00:00Z",
}  # fmt: skip
every_list = pytest.mark.parametrize("served", LISTS, ids=lambda served: served.path)


@pytest.fixture(scope="module")
async def api(standing: World) -> Api:
    return await standing.gateway()


def values(served: Served, names: Any) -> dict[str, str]:
    known = (
        VALUES if "collaborations" in served.path else VALUES | {"status": "failed" if served is FIXES else "active"}
    )
    return {name: known.get(name, "x") for name in names}


@every_list
async def test_each_combination_of_the_table_is_answered(api: Api, served: Served) -> None:
    for combination in served.combinations:
        answer = await api.get(served.path, params=values(served, [*combination, *served.freely]))
        assert answer.status_code == 200, answer.text


@every_list
async def test_another_is_refused_with_the_filter_to_leave_out(api: Api, served: Served) -> None:
    names = sorted(frozenset[str]().union(*served.combinations))
    others = [set(c) for n in (2, 3) for c in combinations(names, n) if frozenset(c) not in served.combinations]
    assert others
    for wanted in others:
        answer = await api.get(served.path, params=values(served, wanted))
        assert (answer.status_code, answer.json()["code"]) == (400, "filters_not_served"), answer.text
        while answer.status_code == 400:
            wanted.remove(answer.json()["errors"][0]["field"])
            answer = await api.get(served.path, params=values(served, wanted))
        assert answer.status_code == 200, answer.text


async def test_with_its_name_a_fix_is_found_by_whatever_else(api: Api) -> None:
    everything = [*frozenset[str]().union(*FIXES.combinations), "external_id"]
    assert (await api.get("/v1/fixes", params=values(FIXES, everything))).status_code == 200


@every_list
def test_the_table_is_written_down(served: Served) -> None:
    text = (Path(__file__).parents[2] / "docs/data.md").read_text()
    _, _, rest = text.partition(f"`GET {served.path}`")
    told = {line.strip("| ") for line in rest.partition("\n\n")[2].partition("\n\n")[0].splitlines()[2:]}
    assert told == {" + ".join(f"`{name}`" for name in sorted(c)) for c in served.combinations}


async def test_the_description_of_the_api_says_which(api: Api) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    for served in LISTS:
        assert served.told() in paths[served.path]["get"]["description"]
