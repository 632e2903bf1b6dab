"""The category model that answers, under its name in the registry."""

import msgspec

from shared.categories.model import Categorization, categorize
from shared.categories.model import Model as Numbers
from shared.categories.tokens import Words, read_words
from shared.diffs import Diff


class Model(msgspec.Struct, frozen=True):
    """`version` is null for the file that ships while the registry has no champion."""

    version: str | None
    sha256: str
    numbers: Numbers

    def __call__(self, diff: Diff, words: Words) -> Categorization:
        return categorize(self.numbers, diff, words)


def load(version: str | None, sha256: str, numbers: Numbers) -> Model:
    """Warm: it has answered once, with a title and without."""
    model = Model(version, sha256, numbers)
    nothing = Diff(files=())
    for title in (None, "nothing"):
        model(nothing, read_words(nothing, title))
    return model
