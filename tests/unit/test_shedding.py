"""Under load, what can wait is refused first; reads and outcomes go on longest."""

from contextlib import suppress

import pytest

from services.gateway.app import ROUTES
from services.gateway.problems import ApiError
from services.gateway.route_names import names_of
from services.gateway.shedding import CAN_WAIT, LAST, PATIENCE, USUAL, Shedding

NAMES = names_of(ROUTES)
# Not routes yet, or routes of another deployment: a name that is never asked for refuses nothing.
BULKY = [name for name, patience in PATIENCE.items() if patience == CAN_WAIT and name in NAMES]


def admitted(shedding: Shedding) -> set[str]:
    found = set()
    for name in NAMES:
        with suppress(ApiError):
            shedding.check(name.split()[0], name)
            found.add(name)
    return found


def make(*, on: bool = True) -> tuple[Shedding, list[str]]:
    refused: list[str] = []
    return Shedding(0.5, 100, lambda: on, refused.append), refused


@pytest.mark.parametrize(("pressure", "patience"), [(0.9, 0), (1.1, CAN_WAIT), (2.1, USUAL), (4.1, LAST)])
@pytest.mark.parametrize("signal", ["lag", "publishes"])
def test_pressure_takes_first_what_can_wait_and_last_reads_and_outcomes(
    signal: str, pressure: float, patience: float
) -> None:
    shedding, refused = make()
    if signal == "lag":
        shedding.woke(0.5 * pressure)
        shedding.woke(0.5 * pressure)
    else:
        shedding.publishing = round(100 * pressure)
    still = admitted(shedding)
    assert set(BULKY) <= still if patience < CAN_WAIT else not still & set(BULKY)
    assert ("POST /v1/fixes" in still) == (patience < USUAL)
    for last in ("GET /v1/fixes", "GET /v1/fixes/{fix_id}", "POST /v1/outcomes", "POST /v1/fixes/{fix_id}/outcome"):
        assert (last in still) == (patience < LAST), last
    assert set(refused) == set(NAMES) - still


def test_one_long_pause_refuses_nothing() -> None:
    shedding, _ = make()
    shedding.woke(3.0)
    assert admitted(shedding) == set(NAMES)
    shedding.woke(0.0)
    shedding.woke(3.0)
    assert admitted(shedding) == set(NAMES)


def test_the_flag_rolls_it_back() -> None:
    shedding, refused = make(on=False)
    shedding.publishing = 10_000
    assert admitted(shedding) == set(NAMES)
    assert refused == []


def test_what_can_wait_is_named_as_routes_are() -> None:
    assert len(BULKY) >= 3


def test_a_refusal_says_what_it_is_and_when_to_come_back() -> None:
    shedding, _ = make()
    shedding.publishing = 101
    with pytest.raises(ApiError) as raised:
        shedding.check("POST", "POST /v1/fixes/bulk")
    assert (raised.value.status, raised.value.code) == (503, "overloaded")
    assert int(raised.value.headers["Retry-After"]) > 0
