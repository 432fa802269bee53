"""The daemon's channel over the link: CURVE on one TCP connection. It tells how that stands, and takes other keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Literal

import zmq
from zmq.utils.monitor import parse_monitor_message

from shared.bus.channel import Channel
from shared.bus.link import KeyPair, Link, connect_by, public_of
from shared.bus.wire import Wire

Standing = Literal["away", "refused", "up"]
"""Of a connection: nobody listens there, whoever does refuses our key, or it is there."""
WATCHED = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED


class Watch:
    """What the events of a socket say of its connection: the newest one counts, whatever is heard of one before it."""

    def __init__(self) -> None:
        self.standing: Standing = "away"
        self._newest = -1

    def __call__(self, event: int, descriptor: int) -> bool:
        """Take in an event; whether a connection that stood has ended.

        Whose key is refused hears nothing: the other side only ends the connection.
        """
        before = self.standing
        if event == zmq.EVENT_CONNECTED:
            self._newest = descriptor
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            self.standing = "up"
        elif descriptor == self._newest:
            self.standing = "away" if before == "up" else "refused"
        return before == "up" != self.standing

    def over(self) -> bool:
        """We end it ourselves; whether it stood."""
        before, self.standing, self._newest = self.standing, "away", -1
        return before == "up"


class LinkChannel(Channel):
    """A channel to the broker of a cluster on another machine. Runs on the running loop."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], link: Link, sender: str) -> None:
        self._link = link
        self._seen = Watch()
        self.on_lost: Callable[[], None] = lambda: None
        """Called when a connection that stood has ended: what was on its way may be lost."""
        super().__init__(context, self._begin, sender)
        self._watching = asyncio.create_task(self._watch())

    @property
    def standing(self) -> Standing:
        """How the connection stands."""
        return self._seen.standing

    def show(self, secret: str) -> None:
        """Connect anew, with another key. What waits in the socket is lost."""
        with contextlib.suppress(zmq.ZMQError):  # it is between two tries
            self._socket.disconnect(f"tcp://{self._link.address}")
        if self._seen.over():
            self.on_lost()
        self._connect(self._socket, secret)

    def close(self) -> None:
        """Close the socket, after half a second at the most for what is still queued."""
        if not self._socket.closed:
            self._watching.cancel()
            self._monitor.close()
            self._socket.disable_monitor()
        super().close()

    def _begin(self, socket: zmq.Socket[bytes]) -> None:
        self._monitor = Wire(socket.get_monitor_socket(WATCHED))  # before it connects, or it might miss the first
        self._connect(socket, self._link.secret)

    def _connect(self, socket: zmq.Socket[bytes], secret: str) -> None:
        connect_by(socket, self._link.address, self._link.server, KeyPair(public_of(secret), secret))

    async def _watch(self) -> None:
        while True:
            for parts in await self._monitor.receive(100):
                event = parse_monitor_message(parts)
                if self._seen(int(event["event"]), int(event["value"])):
                    self.on_lost()


class OverLink:
    """The way to the broker of another machine's cluster, on a ZeroMQ context of its own."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._opened: list[LinkChannel] = []

    def channel(self, sender: str) -> LinkChannel:
        """The channel for all that goes over the link."""
        channel = LinkChannel(self._context, self._link, sender)
        self._opened.append(channel)
        return channel

    def close(self) -> None:
        """Close every socket, and the context."""
        for opened in self._opened:
            opened.close()
        self._context.destroy(linger=0)
