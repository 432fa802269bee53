"""A DEALER to one of the broker's ROUTERs: commands and their replies, reports and their acknowledgements."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from shared.bus.skipped import Skipped
from shared.bus.wire import Wire, keep_alive
from shared.failpoints import hit
from shared.messages.frames import header

MAX_WAITING = 10_000
"""Messages in either direction. What is over that is dropped: all that goes this way is said again until it is done."""


class Channel:
    """Sends and receives `[topic, header, *rest]`. `receive` belongs to one task for the socket's whole life."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str | Callable[[zmq.Socket[bytes]], None],
        sender: str,
        identity: bytes | None = None,
    ) -> None:
        """`endpoint`: its address, or what connects a socket to it."""
        socket = context.socket(zmq.DEALER)
        keep_alive(socket)
        socket.setsockopt(zmq.LINGER, 500)
        socket.setsockopt(zmq.SNDHWM, MAX_WAITING)
        socket.setsockopt(zmq.RCVHWM, MAX_WAITING)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        if identity is not None:
            socket.setsockopt(zmq.IDENTITY, identity)
        if isinstance(endpoint, str):
            socket.connect(endpoint)
        else:
            endpoint(socket)
        self._socket = socket
        self._wire = Wire(socket)
        self._sender = sender
        self._dropped = Skipped()

    async def send(self, point: str, topic: bytes, *rest: bytes) -> None:
        """Queue one message for the broker, between the failpoints of this name; drop it when too many wait already."""
        hit(point, "before_send")
        try:
            self._socket.send_multipart([topic, header(self._sender), *rest], zmq.NOBLOCK)
        except zmq.Again:
            self._dropped(f"{MAX_WAITING} messages wait for the broker")
        self._wire.look()
        hit(point, "after_send")

    async def receive(self) -> list[bytes]:
        """The next message's parts."""
        (parts,) = await self._wire.receive(1)
        return parts

    async def receive_waiting(self, most: int = 1000) -> list[list[bytes]]:
        """The next message and all that wait behind it, at most `most`."""
        return await self._wire.receive(most)

    def close(self) -> None:
        """Close the socket, after half a second at the most for what is still queued."""
        self._wire.close()
