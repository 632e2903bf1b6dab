import os

from services.scoring.app import SERVICE, create_app
from services.scoring.settings import ScoringSettings
from shared.worker import run

if __name__ == "__main__":
    settings = ScoringSettings.read(os.environ)
    run(SERVICE, settings, create_app(settings))
