"""`python -m services.gateway.contract_files docs` writes what the gateway says of itself into the folder `docs`."""

import sys
from pathlib import Path

from services.gateway.app import ROUTES
from services.gateway.descriptions import Descriptions

if __name__ == "__main__":
    for name, content in Descriptions(ROUTES).files().items():
        Path(sys.argv[1], name).write_bytes(content)
