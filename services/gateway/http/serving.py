"""uvicorn's server as the gateway runs it: by TCP it speaks TLS where there is a certificate, and plain HTTP else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from services.gateway.http.connections import Connection
from services.gateway.http.tls import Certificate, accepting


class Server(uvicorn.Server):
    """It serves two sockets, TCP's and the unix one. Signals are left to the process, which has its own handlers."""

    def __init__(self, config: uvicorn.Config, certificate: Certificate | None) -> None:
        super().__init__(config)
        self._certificate = certificate
        self._accepting: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        assert sockets is not None
        if self._certificate is None:
            await super().startup(sockets)
            return
        tcp, unix = sockets
        tcp.setblocking(False)
        tcp.listen(self.config.backlog)
        await super().startup([unix])
        self._accepting = asyncio.create_task(accepting(tcp, self._certificate, self._connection))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was asked, and end."""
        if self._accepting is not None:
            self._accepting.cancel()
        await super().shutdown(sockets)

    def _connection(self) -> Connection:
        more = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        made: Connection = self.config.http_protocol_class(**more)  # type: ignore[assignment]
        return made
