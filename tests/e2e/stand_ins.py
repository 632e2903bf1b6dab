"""`python stand_ins.py` is the platform with small services in place of the real ones; servers are the real ones.

`python stand_ins.py serve` is such a service: it answers probes and says what it was given.
"""

import json
import os
import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from deploy.local.__main__ import main
from deploy.local.services import Fleet, Service
from shared.listening import VARIABLE

SERVE = (sys.executable, __file__, "serve")
FLEET = Fleet(
    prepare=(sys.executable, "-c", "print('prepared')"),
    workers=(
        Service(name="scoring", role="scoring_rw", argv=SERVE, replicas_from="PRECEDENT_SCORING_REPLICAS"),
        Service(name="trainer", role="trainer_rw", argv=SERVE),
    ),
    gateway=Service(name="gateway", role="gateway_ro", argv=SERVE),
)


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({k: v for k, v in os.environ.items() if k.startswith("PRECEDENT_")}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        if os.environ.get("PRECEDENT_DEAF"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PRECEDENT_PORT"])), Answers, bind_and_activate=False)
        server.socket = socket.socket(fileno=int(os.environ[VARIABLE]))
        server.serve_forever()
    sys.exit(main(FLEET))
