"""Texts without end for the diff reader and all that reads after it: `python -m tests.fuzz.diffs [seconds]`.

Half of the time hypothesis builds texts of a diff's own pieces; half of it atheris, where it can be installed, follows
the branches of the code. Whatever comes is read or refused with a reason, in bounded time; anything else ends the run.
"""

import importlib.util
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.patterns.domain import examine
from shared.diffs import DiffError, parse
from shared.features.change import change_features
from tests.categories import shipped_categories

SECONDS = 300.0
# Of CPU, for one text of a few KB. What is quadratic or worse passes it; what waits for others does not count.
HANG_SECONDS = 1.0
PATHS = ("a.py", "src/a b.ts", "é/x.rs", '"q\\"\\303\\251.c"', "b/a b/c", "tests/test_a.py", "/dev/null", "")
LINES = ("", " ", "+", "-", "+x", "-y", " z", "\\ No newline at end of file", "-- ", "+\u2028\x0b", "-\r", "++", "@@@")

SEEDS = (
    "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+b\n c\n\\ No newline at end of file\n",
    "diff --cc x\n--- a/x\n+++ b/x\n@@@ -1,1 -1,1 +1,2 @@@\n  a\n+ b\n",
    "diff --git a/x b/y\nsimilarity index 90%\nrename from x\nrename to y\nGIT binary patch\nliteral 1\nIcmZ\n\n",
)

path = st.sampled_from(PATHS)
number = st.integers(0, 12)
header = st.one_of(
    st.builds("diff --git a/{} b/{}".format, path, path),
    st.builds("diff --cc {}".format, path),
    st.builds("--- a/{}".format, path),
    st.builds("+++ b/{}".format, path),
    st.builds("rename from {}".format, path),
    st.builds("rename to {}".format, path),
    st.builds("Binary files a/{} and b/{} differ".format, path, path),
    st.builds("@@ -1,{} +1,{} @@ f()".format, number, number),
    st.builds("@@@ -1,{} -1,{} +1,{} @@@".format, number, number, number),
    st.sampled_from(
        ("GIT binary patch", "literal 12", "index 1..2 100644", "new file mode 100644", "deleted file mode 1")
    ),
)


@st.composite
def whole_hunk(draw: st.DrawFn) -> str:
    """Counts that add up, most of the time: what lies behind the counting is reached too."""
    body = draw(st.lists(st.tuples(st.sampled_from(" +-"), st.text(max_size=12)), min_size=1, max_size=8))
    text = [sign + line.replace("\n", "") for sign, line in body]
    old, new = (sum(sign in (" ", side) for sign, _ in body) for side in "-+")
    return "\n".join([f"@@ -1,{old} +1,{new + draw(st.sampled_from((0, 0, 0, 1)))} @@", *text])


@st.composite
def whole_file(draw: st.DrawFn) -> str:
    name = draw(path)
    return f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n{draw(whole_hunk())}"


texts = st.builds(
    "{}{}".format,
    st.lists(st.one_of(whole_file(), whole_hunk(), header, st.sampled_from(LINES), st.text(max_size=20))).map(
        "\n".join
    ),
    st.sampled_from(("", "\n", "\r\n", "\n\n")),
)


def check(text: str) -> None:
    started = time.process_time()
    try:
        diff = parse(text)
    except DiffError:
        pass
    else:
        assert diff.files
        assert all(change.path for change in diff.files)
        assert np.isfinite(list(change_features(diff).values())).all()
        found = examine(diff, text[:80], shipped_categories())
        assert np.isfinite(found.embedding.text).all()
        assert abs(sum(found.categorization.probabilities.values()) - 1) < 1e-6
    took = time.process_time() - started
    assert took < HANG_SECONDS, f"{took:.1f} s of CPU for {len(text)} characters"


def by_pieces(seconds: float) -> int:
    """How many texts were tried."""
    end = time.monotonic() + seconds
    tried = 0

    @settings(max_examples=2000, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=(Phase.generate, Phase.shrink))  # fmt: skip
    @given(texts)
    def some(text: str) -> None:
        nonlocal tried
        if time.monotonic() < end:
            tried += 1
            check(text)

    while time.monotonic() < end:
        some()
    return tried


def by_branches(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, text in enumerate(SEEDS):
            (Path(corpus) / str(number)).write_text(text)
        subprocess.run([sys.executable, "-m", "tests.fuzz.branches", str(int(seconds)), corpus], check=True)


def main(seconds: float) -> None:
    followed = importlib.util.find_spec("atheris") is not None
    share = seconds / 2 if followed else seconds
    print(f"hypothesis: {by_pieces(share)} texts in {share:.0f} s, each read or refused", flush=True)
    if followed:
        by_branches(share)
    else:
        print("atheris cannot be installed here")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
