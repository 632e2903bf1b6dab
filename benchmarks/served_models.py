"""Real models for a measurement: fitted to synthetic vectors, and promoted as the trainer does it."""

from functools import cache

import asyncpg
import lightgbm
import msgspec
import numpy as np
from nats.js import JetStreamContext

from shared.artefacts import Artefact, Calibration, encode, store
from shared.contracts.models import ModelPromoted
from shared.features.formula import FORMULA
from shared.features.vector import FEATURE_SET, FEATURES
from shared.trees import read, write

ROWS = 20_000


@cache
def vectors() -> np.ndarray:
    """(rows, features): log-normal counts and days, rates between 0 and 1, a tenth unknown."""
    random = np.random.default_rng(1)
    z = random.normal(size=(ROWS, len(FEATURES)))
    x = np.exp(z)
    rates = [i for i, name in enumerate(FEATURES) if "_rate" in name]
    x[:, rates] = 1 / (1 + np.exp(2 - z[:, rates]))
    x[random.random(x.shape) < 0.1] = np.nan
    return x


@cache
def artefact(trees: int, leaves: int = 31, seed: int = 1) -> Artefact:
    """`trees` of `leaves` each, on top of the formula."""
    x, random = vectors(), np.random.default_rng(seed)
    y = (np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 1] * x[:, 2]) + random.normal(size=ROWS) > 3).astype(float)
    data = lightgbm.Dataset(x, y, feature_name=list(FEATURES))
    parameters = {"objective": "binary", "num_leaves": leaves, "learning_rate": 0.02, "num_threads": 1, "verbosity": -1}
    booster = lightgbm.train(parameters, data, trees)
    return Artefact(
        kind="confidence",
        feature_set=FEATURE_SET,
        features=list(FEATURES),
        booster=write(read(booster.model_to_string(), FEATURES), FEATURES),
        begins_at=FORMULA,
        calibration=Calibration(method="platt", x=[0.0, 0.25, 0.5, 1.0], y=[0.02, 0.3, 0.6, 0.98]),
    )


async def registered(js: JetStreamContext, owner: asyncpg.Connection, number: int, model: Artefact) -> ModelPromoted:
    """A candidate's bytes and row, and its promotion, which nobody has heard of yet."""
    sha256, data = encode(model)
    await store(js, sha256, data)
    version = f"confidence-{number}"
    await owner.execute("update trainer.models set status = 'retired' where status = 'champion'")
    await owner.execute(
        "insert into trainer.models (version, kind, number, status, metrics, rows, sha256, feature_set, lineage) "
        "values ($1, 'confidence', $2, 'champion', '{}', $3, $4, $5, '{}') "
        "on conflict (version) do update set status = 'champion'",
        version,
        number,
        ROWS,
        sha256,
        model.feature_set,
    )
    return await promoted_again(owner, ModelPromoted(promotion_id=0, version=version, kind="confidence", sha256=sha256))


async def promoted_again(owner: asyncpg.Connection, model: ModelPromoted) -> ModelPromoted:
    promotion_id = await owner.fetchval(
        "insert into trainer.model_promotions (version, kind, promoted_by, reason) "
        "values ($1, 'confidence', 'benchmark', 'measurement') returning id",
        model.version,
    )
    return msgspec.structs.replace(model, promotion_id=promotion_id)
