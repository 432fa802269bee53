"""Leads a unix socket to the gateway, for programs whose network has nothing but their own loopback."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from urllib.parse import urlsplit

from services.daemon.sandbox.forwarder import copy


class Relay:
    """Serves until it is closed; what runs in it ends then, too."""

    def __init__(self, server: asyncio.Server, connections: set[asyncio.Task[None]]) -> None:
        self._server = server
        self._connections = connections

    @classmethod
    async def to(cls, address: str, path: Path) -> Relay:
        """Listen on a unix socket for the gateway at an address, `http://HOST:PORT`."""
        url = urlsplit(address)
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                with contextlib.closing(writer), contextlib.suppress(OSError):  # the client asks again by itself
                    there_reader, there_writer = await asyncio.open_connection(url.hostname, url.port or 80)
                    with contextlib.closing(there_writer):
                        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
            finally:
                connections.discard(task)

        server = await asyncio.start_unix_server(connected, path)
        path.chmod(0o600)
        return cls(server, connections)

    async def close(self) -> None:
        """End it, and what is under way."""
        self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
