"""`make bench-training`: a fit of a million synthetic fixes, from its rows on disk to the judged model.

ROWS=n for another number. What the fitting process took: seconds of the clock, of the processor, and its memory.
"""

import json
import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from subprocess import PIPE, Popen
from uuid import UUID

import numpy as np

from services.trainer import dataset, default, job
from services.trainer.job import Job
from shared.features.vector import FEATURE_SET, FEATURES

CHUNK = 5_000
START = datetime(2022, 1, 1, tzinfo=UTC)
LIMIT_SECONDS = 1800


def lay(directory: Path, count: int) -> None:
    """Two years of fixes; two features in three are known, and some of them matter."""
    random = np.random.default_rng(1)
    for first in range(0, count, CHUNK):
        x = np.exp(random.normal(size=(CHUNK, len(FEATURES))))
        held = random.random(CHUNK) < 1 / (1 + np.exp(-(2 - np.log(x[:, 0]) + 0.5 * np.log(x[:, 9] * x[:, 30]))))
        x[random.random(x.shape) < 1 / 3] = np.nan
        rates = [i for i, name in enumerate(FEATURES) if "_rate" in name]
        x[:, rates] = x[:, rates] / (1 + x[:, rates])
        rows = [
            {
                "id": UUID(int=first + i),
                "submitted_at": START + timedelta(days=730 * (first + i) / count),
                "features": x[i],
                "held": bool(held[i]),
                "imported": True,
                "reporter": "operator",
            }
            for i in range(CHUNK)
        ]
        dataset.write_chunk(directory, first, rows, FEATURES)


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        lay(directory, count)
        (directory / job.BASE).write_bytes(default.artefact())
        task = Job(
            features=FEATURES,
            feature_set=FEATURE_SET,
            seed=1,
            threads=2,
            code_version=version("precedent"),
            based_on=default.about().sha256,
        )
        job.write(directory, job.JOB, task)
        began = time.perf_counter()
        with Popen([sys.executable, "-m", "services.trainer.fit", name], stdin=PIPE) as process:
            code = process.wait(LIMIT_SECONDS)
        seconds, used = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        result = job.read_result(directory)
        told = {
            "rows": count,
            "ended with": code,
            "seconds": round(seconds, 1),
            "processor seconds": round(used.ru_utime + used.ru_stime, 1),
            "peak memory, MiB": used.ru_maxrss // 1024,
            "AUC": getattr(result, "metrics", {}).get("auc"),
        }
        print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main(int(os.environ.get("ROWS", 1_000_000)))
