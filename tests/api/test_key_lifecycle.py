"""`precedent keys` beside running gateways: created, listed, rotated, revoked, expired."""

import asyncio
import json

import pytest
from click.testing import CliRunner, Result

from cli.main import main
from tests.world import Api, World, eventually

# The promise is a second; the rest is the time that a busy machine takes to ask.
WITHIN_SECONDS = 2.0


@pytest.fixture
async def api(world: World) -> Api:
    return await world.gateway()


@pytest.fixture
async def gateways(world: World) -> list[Api]:
    return [await world.gateway() for _ in range(2)]


class Operator:
    def __init__(self, world: World, *, announces: bool) -> None:
        self._env = {"PRECEDENT_DATABASE_URL": world.servers.database_url(world.database, "control_rw")}
        if announces:
            self._env["PRECEDENT_NATS_URL"] = world.servers.nats_url

    async def keys(self, *arguments: str, fails: bool = False) -> str:
        result: Result = await asyncio.to_thread(CliRunner().invoke, main, ["keys", *arguments], env=self._env)
        assert (result.exit_code != 0) == fails, result.output
        return result.output.strip()

    async def create(self, *arguments: str) -> str:
        return await self.keys("create", "--principal", "ci", *arguments)


def prefix(key: str) -> str:
    return key[3:11]


async def statuses(gateways: list[Api], key: str) -> set[int]:
    header = {"Authorization": f"Bearer {key}"}
    return {(await api.client.get("/v1/models", headers=header)).status_code for api in gateways}


async def until_all_say(status: int, gateways: list[Api], key: str) -> None:
    async def check() -> bool:
        return await statuses(gateways, key) == {status}

    await eventually(check, seconds=WITHIN_SECONDS)


async def refused(api: Api, seconds: float) -> None:
    """Returns once its key is, and fails when that takes longer."""

    async def is_refused() -> bool:
        return (await api.get("/v1/fixes")).status_code == 401

    await eventually(is_refused, seconds)


@pytest.mark.parametrize("announces", [True, False], ids=["over NATS", "without NATS"])
async def test_a_revoked_key_stops_within_a_second_on_every_gateway(
    world: World, gateways: list[Api], announces: bool
) -> None:
    operator = Operator(world, announces=announces)
    key = await operator.create("--scope", "read")
    other = await operator.create("--scope", "read")
    assert await statuses(gateways, key) == {200}
    assert await operator.keys("revoke", prefix(key)) == f"{prefix(key)} is revoked"
    await until_all_say(401, gateways, key)
    assert await statuses(gateways, other) == {200}
    assert "no valid key has the prefix" in await operator.keys("revoke", prefix(key), fails=True)
    assert "no valid key has the prefix" in await operator.keys("rotate", prefix(key), fails=True)


async def test_a_rotated_key_and_its_successor_are_both_good_for_the_overlap(world: World, gateways: list[Api]) -> None:
    operator = Operator(world, announces=True)
    old = await operator.create("--scope", "read", "--agent", "bot-*", "--days", "30")
    new = await operator.keys("rotate", prefix(old))
    assert await statuses(gateways, old) == await statuses(gateways, new) == {200}
    rows = await world.owner.fetch(
        "select prefix, principal, scopes, agents, round(extract(epoch from expires_at - now()) / 3600) as hours "
        "from control.api_keys"
    )
    found = {row["prefix"]: (row["principal"], row["scopes"], row["agents"], int(row["hours"])) for row in rows}
    assert found == {
        prefix(old): ("ci", ["read"], ["bot-*"], 24),
        prefix(new): ("ci", ["read"], ["bot-*"], 30 * 24),
    }
    last = await operator.keys("rotate", prefix(new), "--overlap-hours", "0")
    await until_all_say(401, gateways, new)
    assert await statuses(gateways, last) == await statuses(gateways, old) == {200}


async def test_an_expired_key_is_refused_and_cannot_be_rotated(world: World, gateways: list[Api]) -> None:
    operator = Operator(world, announces=True)
    key = await operator.create("--scope", "read", "--days", "1")
    assert await statuses(gateways, key) == {200}
    await world.owner.execute("update control.api_keys set expires_at = now() - interval '1 minute'")
    await until_all_say(401, gateways, key)
    assert "no valid key" in await operator.keys("rotate", prefix(key), fails=True)


async def test_the_list_shows_every_key_by_its_prefix_and_never_its_text(world: World) -> None:
    operator = Operator(world, announces=False)
    made = [await operator.create("--scope", "read", "--scope", "vote"), await operator.create("--scope", "operate")]
    made.append(await operator.create("--scope", "read", "--days", "3"))
    made.append(await operator.create("--scope", "read", "--days", "3"))
    await operator.keys("revoke", prefix(made[1]))
    await world.owner.execute(
        "update control.api_keys set expires_at = now() - interval '1 day' where prefix = $1", prefix(made[3])
    )
    listed = await operator.keys("list")
    for key, words in zip(made, ("read,vote valid", "operate revoked", "read expires", "read expired"), strict=True):
        [line] = [line for line in listed.splitlines() if line.startswith(prefix(key))]
        assert all(word in line.split() for word in words.split()), line
        assert key not in listed
    stored = json.dumps([dict(row) for row in await world.owner.fetch("select * from control.api_keys")], default=str)
    assert not any(key in stored for key in made)


async def test_a_key_acts_only_for_the_agents_of_its_globs(world: World, gateways: list[Api]) -> None:
    operator = Operator(world, announces=False)
    key = await operator.create("--scope", "submit", "--agent", "bot-*", "--agent", "claude")
    for agent, allowed in (("bot-7", True), ("claude", True), ("claude-2", False), ("Bot-7", False)):
        answer = await gateways[0].client.post(
            "/v1/fixes",
            json={"agent_id": agent, "repository": "a/b", "diff": "no diff"},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert answer.json()["code"] == ("invalid_diff" if allowed else "agent_not_allowed"), agent


async def test_a_revoked_key_stops_within_a_second(api: Api) -> None:
    assert (await api.get("/v1/fixes")).status_code == 200
    await api.world.owner.execute("update control.api_keys set revoked_at = now()")
    await refused(api, seconds=1.5)


async def test_an_expired_key_is_refused(api: Api) -> None:
    await api.get("/v1/fixes")
    await api.world.owner.execute("update control.api_keys set expires_at = now() - interval '1 second'")
    await refused(api, seconds=1.5)


async def test_a_change_of_keys_is_heard_at_once(api: Api) -> None:
    await api.get("/v1/fixes")
    await api.world.owner.execute("update control.api_keys set revoked_at = now()")
    await api.world.nats.publish("keys.changed.v1", b"{}")
    await api.world.nats.flush()
    await refused(api, seconds=0.5)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--principal", "", "--scope", "read"),
        ("create", "--principal", " ", "--scope", "read"),
        ("create", "--principal", "ci", "--scope", "read", "--agent", ""),
        ("create", "--principal", "ci", "--scope", "read", "--days", "99999999"),
        ("rotate", "00000000", "--overlap-hours", "1e300"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words_and_makes_no_key(
    world: World, arguments: tuple[str, ...]
) -> None:
    operator = Operator(world, announces=False)
    before = await operator.keys("list")
    assert "Invalid value for '--" in await operator.keys(*arguments, fails=True)
    assert await operator.keys("list") == before
