"""The socket at which a service is reached: whoever starts a service may have opened it already."""

import socket

# Of the service that was started: the number of its socket, which is open and listens.
VARIABLE = "PRECEDENT_LISTEN_FD"
BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """From here on the port is nobody else's. Raises `OSError`, whose `strerror` is the bare reason."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        # Python puts the address behind the system's own words.
        raise OSError(error.errno, (error.strerror or str(error)).partition(" (while ")[0]) from error


def given_or_opened(fd: int, host: str, port: int) -> socket.socket:
    """`fd` is negative where none was given. Raises `OSError` as `listen` does."""
    if fd < 0:
        return listen(host, port)
    given = socket.socket(fileno=fd)
    given.set_inheritable(False)
    return given
