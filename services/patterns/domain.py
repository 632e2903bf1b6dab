"""The pure middle: a diff in, everything that can be said about it alone out. The decisions stand in the siblings."""

from collections import Counter

import msgspec

from services.patterns.embedding import Embedding, place_of
from services.patterns.model import Model
from shared.categories.model import Categorization
from shared.categories.tokens import Words, read_words
from shared.diffs import Diff
from shared.files import language


class Examination(msgspec.Struct, frozen=True):
    """`languages`: changed files by language; files of no language are not counted."""

    categorization: Categorization
    model_version: str | None
    embedding: Embedding
    languages: dict[str, int]


def examine(diff: Diff, title: str | None, model: Model) -> Examination:
    words = read_words(diff, title)
    return told(diff, words, place_of(diff, words), model)


def told(diff: Diff, words: Words, embedding: Embedding, model: Model) -> Examination:
    """The rest, for whoever needs the place first."""
    return Examination(
        categorization=model(diff, words),
        model_version=model.version,
        embedding=embedding,
        languages=languages(diff),
    )


def languages(diff: Diff) -> dict[str, int]:
    known = (language(file.path) for file in diff.files)
    return dict(Counter(name for name in known if name))
