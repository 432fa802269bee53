"""A DEALER to one of the broker's ROUTERs: commands and their replies, reports and their acknowledgements."""

from __future__ import annotations

import zmq
import zmq.asyncio

from shared.failpoints import hit
from shared.messages.frames import header


class Channel:
    """Sends and receives `[topic, header, *rest]`. `receive` belongs to one task for the socket's whole life."""

    def __init__(self, context: zmq.asyncio.Context, endpoint: str, sender: str, identity: bytes | None = None) -> None:
        self._socket = context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 500)
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        if identity is not None:
            self._socket.setsockopt(zmq.IDENTITY, identity)
        self._socket.connect(endpoint)
        self._sender = sender

    async def send(self, point: str, topic: bytes, *rest: bytes) -> None:
        """Queue one message for the broker, between the failpoints of this name."""
        hit(point, "before_send")
        await self._socket.send_multipart([topic, header(self._sender), *rest])
        hit(point, "after_send")

    async def receive(self) -> list[bytes]:
        """The next message's parts."""
        parts: list[bytes] = await self._socket.recv_multipart()
        return parts

    async def receive_waiting(self, most: int = 1000) -> list[list[bytes]]:
        """The next message and all that wait behind it, at most `most`."""
        received = [await self.receive()]
        while len(received) < most and await self._socket.poll(0):
            received.append(await self.receive())
        return received

    def close(self) -> None:
        """Close the socket, after half a second at the most for what is still queued."""
        self._socket.close()
