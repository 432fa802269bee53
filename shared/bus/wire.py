"""Receiving from a ZeroMQ socket on the running loop: whatever waits, in one go.

pyzmq's own asyncio sockets make a future and look at the socket several times for every message; where a message is
worth tens of microseconds, that is most of what it costs.
"""

from __future__ import annotations

import asyncio

import zmq

BEAT_MILLISECONDS = 2000
SILENT_MILLISECONDS = 8000


def keep_alive(socket: zmq.Socket[bytes]) -> None:
    """Let both ends of each connection notice within ten seconds that nothing comes through, and connect anew.

    A network may lose one direction only, and forget a connection without a word; TCP alone sees that after minutes.
    """
    socket.setsockopt(zmq.HEARTBEAT_IVL, BEAT_MILLISECONDS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, SILENT_MILLISECONDS)


class Wire:
    """The receiving side of a socket, for one task.

    ZeroMQ's descriptor tells of a change only once, so whoever may have taken that in looks.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        self._descriptor = int(socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._descriptor, self.look)

    async def receive(self, most: int) -> list[list[bytes]]:
        """The messages that wait, at most `most`; waits for the first."""
        while True:
            if received := self._take(most):
                return received
            self._waiting = self._loop.create_future()
            try:
                await self._waiting
            finally:
                self._waiting = None

    def close(self) -> None:
        """Leave the loop and close the socket, which lingers as it was told to. Once is enough."""
        if not self._socket.closed:
            self._loop.remove_reader(self._descriptor)
            self._socket.close()

    def _take(self, most: int) -> list[list[bytes]]:
        received: list[list[bytes]] = []
        while len(received) < most:
            try:
                received.append(self._socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                break
        return received

    def look(self) -> None:
        """See whether messages wait: to be called, too, by whoever has just sent on the socket."""
        events = int(self._socket.getsockopt(zmq.EVENTS))
        if events & zmq.POLLIN and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
