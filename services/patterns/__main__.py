import os

from services.patterns.app import SERVICE, create_app
from services.patterns.settings import PatternsSettings
from shared.worker import run

if __name__ == "__main__":
    settings = PatternsSettings.read(os.environ)
    run(SERVICE, settings, create_app(settings))
