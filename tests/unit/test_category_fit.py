"""What a deployment's own changes do to the weights that ship."""

import msgspec
import numpy as np

from services.trainer.category_fit import Fit, fitted, scores, softmax
from services.trainer.category_rows import Rows, rows_of
from shared.categories.artefact import shipped
from shared.categories.model import CATEGORIES, categorize
from shared.categories.tokens import read_words
from shared.contracts.fixes import Category
from shared.diffs import Diff, FileChange

KIND = "without_title"


def changed(word: str, number: int) -> Diff:
    lines = (f"    {word}(total_{number}, cached)",), (f"    old(total_{number})",)
    return Diff((FileChange(f"src/m{number}.py", None, "M", *lines, 1, False),))


def read(*told: tuple[Diff, Category]) -> Rows:
    return rows_of((diff, read_words(diff, None), category) for diff, category in told)


def own(rows: int) -> Rows:
    """`gauge` means performance here, `notice` a bug fix."""
    kinds: list[tuple[str, Category]] = [("gauge", "performance"), ("notice", "bug-fix")]
    return read(*((changed(word, n), kind) for n in range(rows // 2) for word, kind in kinds))


def begin() -> Fit:
    return Fit.of(shipped()[1].edges, shipped()[1].without_title)


def gauge(fit: Fit) -> float:
    p = softmax(scores(fit, read((changed("gauge", 9999), "performance")), KIND))
    return float(p[0, CATEGORIES.index("performance")])


def test_the_fit_computes_what_is_served() -> None:
    rows, model = own(20), shipped()[1]
    replace = msgspec.structs.replace
    bare = replace(model, without_title=replace(model.without_title, forest=None))
    for at in range(0, 20, 7):
        diff = changed("gauge" if at % 2 == 0 else "notice", at // 2)
        served = categorize(bare, diff, read_words(diff, None)).probabilities
        assert np.allclose(softmax(scores(begin(), rows, KIND))[at], [served[name] for name in CATEGORIES], atol=1e-5)


def test_the_more_rows_say_it_the_further_the_weights_move() -> None:
    few, many = (gauge(fitted(own(rows), KIND, begin())) for rows in (40, 400))

    assert gauge(begin()) < few < many


def test_the_same_rows_give_the_same_weights() -> None:
    one, again = (fitted(own(60), KIND, begin()) for _ in range(2))

    assert np.array_equal(one.words, again.words)
