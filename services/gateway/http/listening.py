"""Where the gateway listens: a unix socket in the run folder for this account, and TCP for browsers and others."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from shared.config import Settings
from shared.config.listening import bound
from shared.config.sockets import listening as unix_socket

BACKLOG = 1024


@contextlib.contextmanager
def listening(settings: Settings) -> Iterator[list[socket.socket]]:
    """Both, bound. Raises ConfigError and OSError."""
    path = settings.gateway_socket()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with bound(settings) as tcp, unix_socket(path) as unix:
        yield [tcp, unix]
