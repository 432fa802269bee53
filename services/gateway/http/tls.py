"""TLS of the TCP listener: the certificate as its files are now, and connections until their handshakes are done."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from services.gateway.http.connections import Connection, Place
from shared.config import ConfigError, Settings
from shared.config.listening import tls_context

log = structlog.get_logger()

HANDSHAKE_SECONDS = 10.0
"""From a connection to the end of its handshake."""
GOODBYE_SECONDS = 2.0
"""What a peer has to answer the end of TLS with its own."""
BREATH_SECONDS = 0.5
"""Before the next connection is accepted when one couldn't be: a process may have no descriptor left."""
_Files = tuple[tuple[int, int, int], ...]


class Certificate:
    """What TLS is spoken by. It is looked at before each handshake, and read again when a file of it has changed."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Raises ConfigError where the files are no certificate and its key."""
        self._paths = (certificate, key)
        self._files = self._look()
        self._context = tls_context(certificate, key)

    def context(self) -> ssl.SSLContext:
        """That of the files as they are now; where they can't be used, of what they were, which is logged once."""
        files = self._look()
        if files != self._files:
            self._files = files
            try:
                self._context = tls_context(*self._paths)
                log.info("certificate read again", certificate=str(self._paths[0]))
            except ConfigError as error:
                log.error("the new certificate can't be used; the old one stays", error=str(error))
        return self._context

    def _look(self) -> _Files:
        """What tells files from those that were there before; of missing ones nothing."""
        found = []
        for path in self._paths:
            with contextlib.suppress(OSError):
                stat = path.stat()
                found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return tuple(found)


def certificate_of(settings: Settings) -> Certificate | None:
    """The settings' certificate; None without one. Raises ConfigError."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


class Handshake(Place):
    """A connection until its handshake is done; it holds a place as an idle one does."""

    def __init__(self, peer: socket.socket, client: tuple[str, int], connection: Connection) -> None:
        self.client = client
        self.proxies = connection.proxies
        self._peer = peer
        self._connection = connection
        connection.handshake = self

    async def shake(self, context: ssl.SSLContext) -> None:
        """Do it, within its time; then the connection begins."""
        places: set[Any] = self._connection.connections
        self.enter(places)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._connection,
                self._peer,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=GOODBYE_SECONDS,
            )
        except OSError:
            self._peer.close()  # it speaks no TLS, or too slowly, or has given way
        finally:
            places.discard(self)

    def give_way(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):  # it has ended by itself
            self._peer.shutdown(socket.SHUT_RDWR)

    shutdown = give_way


async def accepting(listener: socket.socket, certificate: Certificate, connection: Callable[[], Connection]) -> None:
    """Begin a connection for everybody who comes to a socket that listens, until this is cancelled."""
    loop, handshakes = asyncio.get_running_loop(), set[asyncio.Task[None]]()
    while True:
        try:
            peer, address = await loop.sock_accept(listener)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            log.warning("a connection can't be accepted", error=error.strerror)
            await asyncio.sleep(BREATH_SECONDS)
            continue
        handshake = Handshake(peer, (str(address[0]), int(address[1])), connection())
        shaking = loop.create_task(handshake.shake(certificate.context()))
        handshakes.add(shaking)
        shaking.add_done_callback(handshakes.discard)
