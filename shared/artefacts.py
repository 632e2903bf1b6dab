"""A trained model as it is stored: one JSON document, numbers and text only, named by its sha256.

JSON because a model file comes from a store that others may write to: nothing in it is ever executed.
"""

import asyncio
import hashlib
import itertools
from bisect import bisect_right
from typing import Literal, Protocol, TypeVar

import msgspec
from nats.js import JetStreamContext
from nats.js.errors import BadObjectMetaError, DigestMismatchError, LinkIsABucketError, ObjectNotFoundError

from shared import trees
from shared.topology import MODELS_BUCKET

# Eight times a model of 600 trees with 31 leaves each.
MAX_BYTES = 16 << 20
# The client waits for ever for a part that the store has lost. 20 MB come in 1.3 s.
FETCH_SECONDS = 30.0
UNREADABLE = (BadObjectMetaError, DigestMismatchError, LinkIsABucketError)


S = TypeVar("S", bound=msgspec.Struct)
M = TypeVar("M", covariant=True)


class Read(Protocol[M]):
    """Checks and decodes; raises `ArtefactError`."""

    def __call__(self, data: bytes, *, sha256: str) -> M: ...


class ArtefactError(ValueError):
    """The artefact is not what its name or its feature set promises; it is not served."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Monotone map from the raw probability to a calibrated one: straight lines between `(x, y)`, flat outside."""

    method: Literal["identity", "isotonic", "platt", "base_rate"]
    x: list[float]
    y: list[float]

    def __call__(self, raw: float) -> float:
        x, y = self.x, self.y
        at = bisect_right(x, raw)
        if at == 0:
            return y[0]
        if at == len(x):
            return y[-1]
        share = (raw - x[at - 1]) / (x[at] - x[at - 1])
        return y[at - 1] + share * (y[at] - y[at - 1])


class Artefact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`booster` is LightGBM's text format, decoded only from `shared.trees`; `features` are its columns, in order.

    `begins_at` names the formula (`shared.features.formula.FORMULA`) whose log-odds the trees' sum is added to.
    """

    format: Literal[1] = 1
    kind: Literal["confidence", "category"]
    feature_set: str
    features: list[str]
    booster: str
    begins_at: str
    calibration: Calibration


def encode(artefact: msgspec.Struct) -> tuple[str, bytes]:
    """(sha256, bytes)."""
    data = msgspec.json.encode(artefact)
    return sha256_of(data), data


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def decode(data: bytes, *, sha256: str) -> Artefact:
    """Raises `ArtefactError`."""
    artefact = checked(data, Artefact, sha256=sha256)
    _check(artefact.calibration)
    return msgspec.structs.replace(artefact, booster=_written_anew(artefact))


def checked(data: bytes, cls: type[S], *, sha256: str) -> S:
    """The document under that name. Raises `ArtefactError`; what its numbers say is for others to check."""
    if len(data) > MAX_BYTES:
        raise ArtefactError(f"{len(data)} bytes: an artefact has at most {MAX_BYTES}")
    if sha256_of(data) != sha256:
        raise ArtefactError(f"sha256 differs from the registry's {sha256}")
    try:
        return msgspec.json.decode(data, type=cls)
    except msgspec.MsgspecError as error:
        raise ArtefactError(f"not an artefact: {error}") from error


def _written_anew(artefact: Artefact) -> str:
    """The booster as this program writes it, so that LightGBM never reads what somebody else wrote."""
    try:
        return trees.write(trees.read(artefact.booster, artefact.features), artefact.features)
    except trees.TreesError as error:
        raise ArtefactError(f"booster: {error}") from error


def _check(calibration: Calibration) -> None:
    x, y = calibration.x, calibration.y
    if not x or len(x) != len(y):
        raise ArtefactError("calibration: x and y must have the same length, at least 1")
    if any(b <= a for a, b in itertools.pairwise(x)) or any(b < a for a, b in itertools.pairwise(y)):
        raise ArtefactError("calibration: x must rise and y must not fall")
    if not all(0.0 <= value <= 1.0 for value in (*x, *y)):
        raise ArtefactError("calibration: every number lies in [0, 1]")


async def store(js: JetStreamContext, sha256: str, data: bytes) -> None:
    bucket = await js.object_store(MODELS_BUCKET)
    await bucket.put(sha256, data)


async def fetch(js: JetStreamContext, sha256: str) -> Artefact:
    """A confidence model. Raises `ArtefactError`."""
    return await fetch_as(decode, js, sha256)


async def fetch_as(read: Read[M], js: JetStreamContext, sha256: str) -> M:
    """What `read` makes of the bytes. Raises `ArtefactError` when they are missing or not what their name says."""
    bucket = await js.object_store(MODELS_BUCKET)
    try:
        async with asyncio.timeout(FETCH_SECONDS) as limit:
            size = (await bucket.get_info(sha256)).size or 0
            if size > MAX_BYTES:  # the client reads all of it into memory
                raise ArtefactError(f"{size} bytes: an artefact has at most {MAX_BYTES}")
            found = await bucket.get(sha256)
    except UNREADABLE as error:
        raise ArtefactError(f"artefact {sha256} is damaged in the bucket: {error}") from error
    except ObjectNotFoundError:
        raise ArtefactError(f"no artefact {sha256} in the bucket {MODELS_BUCKET}") from None
    except TimeoutError:
        if not limit.expired():  # NATS did not answer: nothing is known of the artefact
            raise
        raise ArtefactError(f"artefact {sha256} is not whole: its parts did not come") from None
    # Checking takes a tenth of a second: long, for whoever waits for an answer meanwhile.
    return await asyncio.to_thread(read, found.data or b"", sha256=sha256)
