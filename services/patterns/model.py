"""The category model that answers, under its name in the registry."""

from collections.abc import Sequence

import msgspec

from shared.categories.model import Categorization, Change, categorize_all
from shared.categories.model import Model as Numbers
from shared.categories.tokens import read_words
from shared.diffs import Diff


class Model(msgspec.Struct, frozen=True):
    """`version` is null for the file that ships while the registry has no champion."""

    version: str | None
    sha256: str
    numbers: Numbers

    def __call__(self, changes: Sequence[Change]) -> list[Categorization]:
        return categorize_all(self.numbers, changes)


def load(version: str | None, sha256: str, numbers: Numbers) -> Model:
    """Warm: it has answered once, with a title and without."""
    model = Model(version, sha256, numbers)
    nothing = Diff(files=())
    model([Change.of(nothing, read_words(nothing, title)) for title in (None, "nothing")])
    return model
