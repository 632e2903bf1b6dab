"""How well the embedding finds related changes: `python -m benchmarks.related_changes train.jsonl.gz`.

Data as for `fit_categories`. Of each repository with at least 100 commits that name a scope (`fix(scope):`), some are
asked for their five nearest among all the others; related = the same scope, or a file in common. Means over
repositories. Then: how often neighbours of a given similarity are related, which is what the thresholds rest on.
"""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.commit_diffs import read_diff
from benchmarks.fit_categories import commits
from services.patterns.embedding import PATH_SHARE, Embedding, embed, path_similarity

QUERIES = 60
LEAST_COMMITS = 100
NEIGHBOURS = 20
SHARES = {"words alone": 0.0, "fused, half": 0.5, "fused, as shipped": PATH_SHARE, "paths alone": 1.0}


class Repository:
    def __init__(self, found: list[dict[str, Any]]) -> None:
        diffs = [read_diff(commit) for commit in found]
        self.scopes = np.array([commit["label"]["scope"] for commit in found])
        self.files = [{file.path for file in diff.files} for diff in diffs]
        self.places = [embed(diff, commit["label"]["subject"]) for diff, commit in zip(diffs, found, strict=True)]
        self.texts = np.array([place.text for place in self.places])

    def related(self, query: int) -> np.ndarray:
        shared = np.array([not files.isdisjoint(self.files[query]) for files in self.files])
        return (self.scopes == self.scopes[query]) | shared

    def similar(self, query: int, share: float) -> np.ndarray:
        here: Embedding = self.places[query]
        paths = np.array([path_similarity(here.paths, place.paths) for place in self.places])
        return (1 - share) * np.maximum(0, self.texts @ here.text) + share * paths


def measured(data: Path) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """By channel, of each repository: P@5, and how often one of the five has the same scope."""
    rng = np.random.default_rng(7)
    precision, hits, bands = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list), []
    for repository in scoped(data):
        measure(repository, rng, precision, hits, bands)
    return precision, hits


def main(data: Path) -> None:
    repositories = scoped(data)
    rng = np.random.default_rng(7)
    precision: dict[str, list[float]] = defaultdict(list)
    bands: list[tuple[float, bool]] = []
    for repository in repositories:
        measure(repository, rng, precision, defaultdict(list), bands)
    for name, values in precision.items():
        print(f"P@5 {name:20} {np.mean(values):.4f} over {len(values)} repositories")
    show_bands(np.array(bands))
    show_strangers(repositories, rng)


def scoped(data: Path) -> list[Repository]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for commit in commits(data):
        if commit["label"]["scope"]:
            found[commit["repo"]].append(commit)
    return [Repository(each) for each in found.values() if len(each) >= LEAST_COMMITS]


def measure(
    repository: Repository, rng: np.random.Generator, precision: Any, scopes: Any, bands: list[tuple[float, bool]]
) -> None:
    hits: dict[str, list[float]] = defaultdict(list)
    same: dict[str, list[float]] = defaultdict(list)
    for query in rng.choice(len(repository.files), QUERIES, replace=False):
        others = np.arange(len(repository.files)) != query
        related = repository.related(query)[others]
        alike = repository.scopes[others] == repository.scopes[query]
        hits["random"].append(related.mean())
        same["random"].append(1 - (1 - alike.mean()) ** 5)
        for name, share in SHARES.items():
            similar = repository.similar(query, share)[others]
            hits[name].append(related[np.argsort(-similar)[:5]].mean())
            same[name].append(alike[np.argsort(-similar)[:5]].any())
            if share == PATH_SHARE:
                bands += [(similar[at], related[at]) for at in np.argsort(-similar)[:NEIGHBOURS]]
    for name, values in hits.items():
        precision[name].append(float(np.mean(values)))
        scopes[name].append(float(np.mean(same[name])))


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
