"""New ids sort by time; derived ids follow from their cause alone."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from shared.ids import derived_id, fix_id, new_id

PARTS = st.lists(st.text(max_size=6), min_size=1, max_size=4)


def test_a_new_id_is_laid_out_as_rfc_9562_says() -> None:
    """The example of its appendix A.6, and the ends of each field."""
    assert new_id(0x017F22E279B0, (0xCC3 << 68 | 0x18C4DC0C0C07398F).to_bytes(10, "big")) == UUID(
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    )
    assert new_id(0, bytes(10)) == UUID("00000000-0000-7000-8000-000000000000")
    assert new_id(2**48 - 1, b"\xff" * 10) == UUID("ffffffff-ffff-7fff-bfff-ffffffffffff")


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_a_later_id_is_a_greater_id(ms: int, entropy: bytes, other: bytes) -> None:
    assert new_id(ms, entropy) < new_id(ms + 1, other)


def test_new_ids_differ_and_are_of_now() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {(i.version, i.variant) for i in ids} == {(7, "specified in RFC 4122")}


@given(PARTS, PARTS)
def test_only_the_same_cause_gives_the_same_id(one: list[str], other: list[str]) -> None:
    assert (derived_id(*one) == derived_id(*other)) == (one == other)


def test_a_fix_has_one_id_per_repository_and_name() -> None:
    assert fix_id("a", "b") == fix_id("a", "b")
    assert len({fix_id("a", "b"), fix_id("b", "a"), fix_id("ab", ""), derived_id("a", "b")}) == 4
