"""Where the gateway listens: a unix socket in the run folder for this account, and TCP for browsers and others."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from shared.config import Settings
from shared.config.sockets import listening as unix_socket

BACKLOG = 1024


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[list[socket.socket]]:
    """Both, bound. Raises OSError."""
    path = settings.gateway_socket()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _tcp(settings.host, settings.port) as tcp, unix_socket(path) as unix:
        yield [tcp, unix]


def _tcp(host: str, port: int) -> socket.socket:
    (family, kind, number, _, address), *_ = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    bound = socket.socket(family, kind, number)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"{host}:{port} can't be taken ({error.strerror}); set MAKIMA_PORT") from None
    return bound
