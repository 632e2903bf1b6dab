"""How a model turned out where it was used."""

from datetime import UTC, datetime

from litestar import get
from litestar.di import NamedDependency

from services.gateway.filters import Version
from services.gateway.guards import requires
from services.gateway.live_calibration import LiveCalibration, live_calibration
from services.gateway.routes.models import find_model
from services.gateway.runtime import Runtime


@get("/v1/models/{version:str}/calibration", guards=[requires("read")])
async def get_calibration(version: Version, runtime: NamedDependency[Runtime]) -> LiveCalibration:
    """Predicted against observed, for those of the version's fixes whose outcome came after the prediction."""
    await find_model(runtime, version)
    return live_calibration(version, await runtime.model_reads.calibration(version), datetime.now(UTC))
