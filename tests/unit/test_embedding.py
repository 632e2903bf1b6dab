import numpy as np
import pytest

from services.patterns.domain import examine
from services.patterns.embedding import Embedding, embed, embed_text, embed_words, path_terms, similarity
from shared.diffs import Diff, FileChange
from tests.categories import shipped_categories

CATEGORIES = shipped_categories()


def diff(*changes):
    return Diff(tuple(FileChange(path, None, "M", tuple(added), (), 1, False) for path, added in changes))


SESSION = diff(("src/auth/session.ts", ["const token = readSessionCookie(request)", "return verifySignature(token)"]))
SESSION_TEST = diff(("src/auth/session.test.ts", ["expect(verifySignature(token)).toBe(true)"]))
INVOICE = diff(("billing/invoice.py", ["total = sum(line.amount for line in invoice.lines)"]))


def test_a_vector_has_256_numbers_and_unit_length():
    vector = embed_text(SESSION, "verify the signature")

    assert vector.shape == (256,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


def test_a_change_without_words_is_the_zero_vector_and_is_like_nothing():
    empty = embed(Diff(()), None)

    assert not empty.text.any()
    assert empty.paths == {}
    assert similarity(empty, embed(SESSION, None)) == 0.0


def test_a_change_is_most_like_itself_then_its_test_then_a_stranger():
    here, test, stranger = (embed(each, None) for each in (SESSION, SESSION_TEST, INVOICE))

    assert similarity(here, here) == pytest.approx(1.0)
    assert 1.0 > similarity(here, test) > 0.1 > similarity(here, stranger) >= 0.0


def test_similarity_is_symmetric():
    here, test = embed(SESSION, "a"), embed(SESSION_TEST, "b")

    assert similarity(here, test) == pytest.approx(similarity(test, here))


def test_similarity_does_not_depend_on_the_length_of_a_mean():
    here, other = embed(SESSION, None), embed(SESSION_TEST, None)
    halved = Embedding(other.text / 2, {term: weight / 2 for term, weight in other.paths.items()})

    assert similarity(here, halved) == pytest.approx(similarity(here, other))


def test_a_learning_is_near_the_change_it_speaks_of():
    learning = embed_words("Session cookies", "Always call `verifySignature` before a session token is trusted.")
    nearer, farther = (similarity(Embedding(learning, {}), embed(each, None)) for each in (SESSION, INVOICE))

    assert nearer > farther + 0.2


def test_path_terms_are_the_tree_above_the_file_and_its_stem():
    terms = path_terms(SESSION_TEST)

    assert set(terms) == {"src", "src/auth", "src/auth/session.test.ts", "*session"}
    assert terms["src/auth/session.test.ts"] > terms["src/auth"] > terms["src"]
    assert sum(weight**2 for weight in terms.values()) == pytest.approx(1.0)


def test_path_terms_of_a_sweeping_change_are_limited_to_those_that_most_files_share():
    terms = path_terms(diff(*((f"packages/p{i}/src/index.ts", []) for i in range(500))))

    assert len(terms) == 400
    assert "*index" in terms


def test_an_examination_tells_category_place_and_languages():
    found = examine(diff(("a/b.py", ["x = 1"]), ("a/c.py", ["y = 2"]), ("LICENSE", ["text"])), None, CATEGORIES)

    assert found.languages == {"python": 2}
    assert found.embedding.paths
    assert sum(found.categorization.probabilities.values()) == pytest.approx(1.0)
