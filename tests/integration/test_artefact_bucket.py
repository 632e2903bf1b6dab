"""Model artefacts in the real object store."""

import pytest

from shared import artefacts
from shared.artefacts import Artefact, ArtefactError, Calibration, encode, fetch, store
from shared.topology import MODELS_BUCKET
from shared.trees import Tree, write
from tests.world import World

STUMP = Tree(
    feature=[0], threshold=[2.5], decision=[10], left=[-1], right=[-2], leaf_value=[0.5, -0.5], leaf_count=[9, 4]
)
ARTEFACT = Artefact(
    kind="confidence",
    feature_set="f1",
    features=["files"],
    booster=write([STUMP] * 2000, ["files"]),  # several chunks
    begins_at="zero",
    calibration=Calibration(method="platt", x=[0.0, 1.0], y=[0.1, 0.9]),
)


async def test_what_was_stored_is_fetched_by_its_sha256(world: World) -> None:
    sha256, data = encode(ARTEFACT)
    await store(world.nats.jetstream(), sha256, data)
    assert await fetch(world.nats.jetstream(), sha256) == ARTEFACT


async def test_an_artefact_that_is_not_there_is_said_to_be_missing(world: World) -> None:
    with pytest.raises(ArtefactError, match="no artefact 0123"):
        await fetch(world.nats.jetstream(), "0123")


async def test_an_artefact_that_was_deleted_is_said_to_be_missing(world: World) -> None:
    sha256, data = encode(ARTEFACT)
    await store(world.nats.jetstream(), sha256, data)
    await (await world.nats.jetstream().object_store(MODELS_BUCKET)).delete(sha256)
    with pytest.raises(ArtefactError, match="no artefact"):
        await fetch(world.nats.jetstream(), sha256)


async def test_another_artefact_under_the_name_is_not_taken(world: World) -> None:
    sha256, data = encode(ARTEFACT)
    await store(world.nats.jetstream(), sha256, data.replace(b"0.9", b"0.8"))
    with pytest.raises(ArtefactError, match="sha256"):
        await fetch(world.nats.jetstream(), sha256)


async def test_an_object_that_lost_a_part_of_itself_is_not_waited_for_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "FETCH_SECONDS", 0.5)
    js = world.nats.jetstream()
    sha256, data = encode(ARTEFACT)
    await store(js, sha256, data)
    await js.purge_stream(f"OBJ_{MODELS_BUCKET}", subject=f"$O.{MODELS_BUCKET}.C.>")
    with pytest.raises(ArtefactError, match="not whole"):
        await fetch(js, sha256)
