"""A service has its port before it does anything else, or says why it cannot."""

import os
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from shared.listening import given_or_opened, listen
from shared.worker import run


def test_what_was_opened_for_a_service_is_taken_as_it_is() -> None:
    with listen("127.0.0.1", 0) as opened, listen("127.0.0.1", 0) as other:
        port = opened.getsockname()[1]
        given = given_or_opened(os.dup(opened.fileno()), "127.0.0.1", other.getsockname()[1])
        assert given.getsockname()[1] == port
        assert not given.get_inheritable()
        given.close()


def test_a_service_whose_port_is_taken_ends_in_one_sentence_before_it_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings: Any = SimpleNamespace(listen_fd=-1, host="127.0.0.1", port=taken.getsockname()[1])
        sentence = rf"x: cannot listen on 127\.0\.0\.1:{settings.port} \(Address already in use\)$"
        with pytest.raises(SystemExit, match=sentence):
            run("x", settings, app=None)
