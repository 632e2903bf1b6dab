"""Follows the branches of the diff reader with libFuzzer, which owns the process.

`python -m tests.fuzz.branches SECONDS CORPUS`; `tests/fuzz/diffs.py` starts it.
"""

import sys

import atheris

with atheris.instrument_imports(include=["shared"]):
    from tests.fuzz.diffs import check


def one(data: bytes) -> None:
    check(data.decode(errors="replace"))


def main(seconds: int, corpus: str) -> None:
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], corpus, *limits], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
