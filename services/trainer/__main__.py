import os

from services.trainer.app import SERVICE, create_app
from services.trainer.settings import TrainerSettings
from shared.worker import run

if __name__ == "__main__":
    settings = TrainerSettings.read(os.environ)
    run(SERVICE, settings, create_app(settings))
