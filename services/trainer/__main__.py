import os

from services.trainer.app import SERVICE, create_app
from shared.settings import Settings
from shared.worker import run

if __name__ == "__main__":
    settings = Settings.read(os.environ)
    run(SERVICE, settings, create_app(settings))
