"""How well the embedding finds related changes: `python -m benchmarks.related_changes train.jsonl.gz`.

Data as `labelled_changes` reads it. Of each repository with at least 100 commits that name a scope (`fix(scope):`),
some are asked for their five nearest among all the others; related = the same scope, or a file in common. Means over
repositories. Then: how often neighbours of a given similarity are related, which is what the thresholds rest on.
"""

import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from benchmarks.commit_diffs import read_diff
from benchmarks.labelled_changes import bag, commits, weighed
from services.patterns.embedding import PATH_SHARE, Embedding, embed, path_similarity
from shared.categories.tokens import read_words

QUERIES = 60
LEAST_COMMITS = 100
NEIGHBOURS = 20
SEED = 7
SHARES = {"words alone": 0.0, "fused, half": 0.5, "fused, as served": PATH_SHARE, "paths alone": 1.0}
TOLD = f"""\
Of each repository with at least {LEAST_COMMITS} commits that name a scope, {QUERIES} commits ask for their five nearest
among all the other ones; related is the same scope or a file in common. Means over repositories with their 95 %
interval; the similarity is the one that serves, without fitted numbers. *hit* is the share of questions with a commit
of the same scope among the five. *TF-IDF* is the plain baseline of words: those of code and title, weighed by
rarity in the repository."""


class Repository:
    def __init__(self, found: list[dict[str, Any]]) -> None:
        diffs = [read_diff(commit) for commit in found]
        self.scopes = np.array([commit["label"]["scope"] for commit in found])
        self.files = [{file.path for file in diff.files} for diff in diffs]
        self.places = [embed(diff, commit["label"]["subject"]) for diff, commit in zip(diffs, found, strict=True)]
        self.texts = np.array([place.text for place in self.places])
        counts = Counter(self.scopes.tolist())
        self.often = np.array([counts[scope] for scope in self.scopes])
        titles = [commit["label"]["subject"] for commit in found]
        words = [read_words(diff, title) for diff, title in zip(diffs, titles, strict=True)]
        self.bags = weighed(
            sparse.vstack([bag(each, paths=False) for each in words]).tocsr(), np.ones(len(found), bool)
        )

    def queries(self, known: np.ndarray) -> np.ndarray:
        """Always the same ones of those known."""
        rng, choice = np.random.default_rng(SEED), np.flatnonzero(known)
        return rng.choice(choice, min(QUERIES, len(choice)), replace=False)

    def related(self, query: int) -> np.ndarray:
        shared = np.array([not files.isdisjoint(self.files[query]) for files in self.files])
        return (self.scopes == self.scopes[query]) | shared

    def similar(self, query: int, share: float) -> np.ndarray:
        here: Embedding = self.places[query]
        paths = np.array([path_similarity(here.paths, place.paths) for place in self.places])
        return (1 - share) * np.maximum(0, self.texts @ here.text) + share * paths


class Protocol(NamedTuple):
    """`least`: only scopes that so many commits of the repository name are asked for, and found."""

    name: str
    least: int


PROTOCOLS = (Protocol("All scopes", 1), Protocol("Scopes that at least five commits name", 5))
Similar = Callable[["Repository", int], np.ndarray]


def scoped(data: Path) -> list["Repository"]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for commit in commits(data):
        if commit["label"]["scope"]:
            found[commit["repo"]].append(commit)
    return [Repository(each) for each in found.values() if len(each) >= LEAST_COMMITS]


def ways() -> dict[str, Similar]:
    rng = np.random.default_rng(SEED)
    fused = {name: lambda there, query, share=share: there.similar(query, share) for name, share in SHARES.items()}
    return {
        "random": lambda there, _: rng.random(len(there.files)),
        "words alone, TF-IDF": lambda there, query: (there.bags @ there.bags[query].T).toarray().ravel(),
        **fused,
    }


def table(repositories: list["Repository"], protocol: Protocol, told: Callable[[list[float]], str]) -> str:
    """`told` says a mean over repositories with its interval."""
    lines = [f"### {protocol.name}", "", "| | P@5 | hit |", "|---|---|---|"]
    for name, similar in ways().items():
        precision, hits = zip(*(measure(each, protocol, similar) for each in repositories), strict=True)
        lines.append(f"| {name} | {told(list(precision))} | {told(list(hits))} |")
    return "\n".join(lines)


def measure(there: "Repository", protocol: Protocol, similar: Similar) -> tuple[float, float]:
    """(P@5, share of questions with the same scope among the five)."""
    known = there.often >= protocol.least
    precision, hits = [], []
    for query in there.queries(known):
        others = known.copy()
        others[query] = False
        near = np.flatnonzero(others)[np.argsort(-similar(there, query)[others])[:5]]
        precision.append(there.related(query)[near].mean())
        hits.append((there.scopes[near] == there.scopes[query]).any())
    return float(np.mean(precision)), float(np.mean(hits))


def main(data: Path) -> None:
    repositories = scoped(data)
    for protocol in PROTOCOLS:
        print(table(repositories, protocol, lambda values: f"{np.mean(values):.4f}"))
    show_bands(np.array([pair for each in repositories for pair in bands(each)]))
    show_strangers(repositories, np.random.default_rng(SEED))


def bands(there: "Repository") -> list[tuple[float, bool]]:
    """(similarity, related) of the nearest of each question."""
    pairs = []
    for query in there.queries(there.often > 0):
        similar, related = there.similar(query, PATH_SHARE), there.related(query)
        similar[query] = -1
        pairs += [(similar[at], related[at]) for at in np.argsort(-similar)[:NEIGHBOURS]]
    return pairs


def show_bands(pairs: np.ndarray) -> None:
    for low in np.arange(0.1, 1.0, 0.05):
        band = pairs[(pairs[:, 0] >= low) & (pairs[:, 0] < low + 0.05)]
        if len(band):
            print(f"similarity {low:.2f}..{low + 0.05:.2f}: {len(band)} neighbours, related {band[:, 1].mean():.3f}")


def show_strangers(repositories: list[Repository], rng: np.random.Generator) -> None:
    """Words of two changes from different repositories: what similarity means nothing."""
    pairs = [rng.choice(len(repositories), 2, replace=False) for _ in range(4000)]
    alike = [float(rng.choice(repositories[a].texts) @ rng.choice(repositories[b].texts)) for a, b in pairs]
    print("strangers' words, quantiles 0.5 0.9 0.99:", np.round(np.quantile(alike, [0.5, 0.9, 0.99]), 3))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
