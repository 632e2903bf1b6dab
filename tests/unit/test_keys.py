"""API keys: what is mistyped is told without asking any store; only a hash is kept."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.keys import CHECKSUM_LENGTH, LENGTH, digest, new_key, well_formed

KEY = new_key()


def test_a_new_key_is_well_formed_and_names_itself_by_its_prefix() -> None:
    assert well_formed(KEY.text)
    assert KEY.text.startswith(f"pk_{KEY.prefix}")
    assert len(KEY.text) == LENGTH


def test_what_is_stored_is_the_hash_and_not_the_key() -> None:
    assert KEY.digest == digest(KEY.text) == hashlib.sha256(KEY.text.encode()).digest()
    assert KEY.text.encode() not in KEY.digest


def test_no_two_keys_are_the_same() -> None:
    keys = [new_key() for _ in range(200)]
    assert len({k.digest for k in keys}) == 200


@given(st.integers(0, LENGTH - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_one_wrong_character_anywhere_is_seen(at: int, character: str) -> None:
    mistyped = KEY.text[:at] + character + KEY.text[at + 1 :]
    assert well_formed(mistyped) == (mistyped == KEY.text)


@given(st.integers(0, LENGTH - CHECKSUM_LENGTH - 2))
def test_two_characters_swapped_are_seen(at: int) -> None:
    swapped = KEY.text[:at] + KEY.text[at + 1] + KEY.text[at] + KEY.text[at + 2 :]
    assert well_formed(swapped) == (swapped == KEY.text)


@pytest.mark.parametrize(
    "change",
    [lambda _: "", lambda k: k[:3], lambda k: k[:-1], lambda k: k + "0", lambda k: f" {k}", str.upper],
    ids=["nothing", "start", "shorter", "longer", "shifted", "capitals"],
)
def test_what_was_cut_or_changed_is_no_key(change: Callable[[str], str]) -> None:
    assert not well_formed(change(KEY.text))


@given(st.text(max_size=LENGTH + 5))
def test_any_text_is_answered(text: str) -> None:
    assert not well_formed(text)
