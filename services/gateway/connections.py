"""HTTP connections that end when their peer takes nothing: what waits for it must not be kept for ever."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

STUCK_SECONDS = 10.0
"""A peer that has taken nothing for so long, while bytes wait for it, is cut off."""


class Connection(HttpToolsProtocol):
    """uvicorn's, which by itself waits for as long as its peer keeps the connection."""

    _stuck: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """More waits than a socket's buffers hold: from now on the peer has STUCK_SECONDS to take of it."""
        super().pause_writing()
        self._stuck = asyncio.get_running_loop().call_later(STUCK_SECONDS, self._cut_off)

    def resume_writing(self) -> None:
        """It takes."""
        self._let_be()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._let_be()
        super().connection_lost(exc)

    def _cut_off(self) -> None:
        self.transport.abort()

    def _let_be(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None
