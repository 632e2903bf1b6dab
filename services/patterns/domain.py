"""The pure middle: a diff in, everything that can be said about it alone out. The decisions stand in the siblings."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from services.patterns.embedding import Embedding, place_of
from services.patterns.model import Model
from shared.categories.model import Categorization, Change
from shared.categories.tokens import Words, read_words
from shared.diffs import Diff
from shared.files import language


class Reading(msgspec.Struct, frozen=True):
    """What is read of a change before anything is asked of it. `languages` as an `Examination` has them."""

    change: Change
    embedding: Embedding
    languages: dict[str, int]


class Examination(msgspec.Struct, frozen=True):
    """`languages`: changed files by language; files of no language are not counted."""

    categorization: Categorization
    model_version: str | None
    embedding: Embedding
    languages: dict[str, int]


def examine(diff: Diff, title: str | None, model: Model) -> Examination:
    return examine_all([read(diff, title)], model)[0]


def examine_all(readings: Sequence[Reading], model: Model) -> list[Examination]:
    """Of each, in order."""
    found = model([reading.change for reading in readings])
    return [
        Examination(categorization, model.version, reading.embedding, reading.languages)
        for reading, categorization in zip(readings, found, strict=True)
    ]


def read(diff: Diff, title: str | None) -> Reading:
    words = read_words(diff, title)
    return read_on(diff, words, place_of(diff, words))


def read_on(diff: Diff, words: Words, embedding: Embedding) -> Reading:
    """The rest, for whoever needs the place first."""
    return Reading(Change.of(diff, words), embedding, languages(diff))


def languages(diff: Diff) -> dict[str, int]:
    known = (language(file.path) for file in diff.files)
    return dict(Counter(name for name in known if name))
