"""The category model that ships, for tests that need one and not its making."""

from services.patterns.model import Model
from shared.categories.artefact import shipped


def shipped_categories() -> Model:
    return Model(None, *shipped())
