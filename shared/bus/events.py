"""Events over PUB/SUB through the broker's proxy. Both sides connect; an event may be lost, doubled or late."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import structlog
import zmq

from shared.bus.skipped import Skipped
from shared.bus.wire import Wire
from shared.failpoints import hit
from shared.messages.events import AnyEvent, Event
from shared.messages.frames import FrameTooLarge, FrameUnreadable, decode_event, encode_event, event_type

log = structlog.get_logger()
HIGH_WATER_MARK = 100_000
MOST_AT_ONCE = 256


class UndeclaredEvent(TypeError):
    """A service tried to publish an event that its EMITS doesn't hold."""


class Publisher:
    """Publishes a service's declared events. Never blocks: what can't be sent is dropped, as events may be."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        sender: str,
        emits: Iterable[type[Event]],
        drop: bool = False,
    ) -> None:
        self._socket = context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        self._socket.connect(endpoint)
        self._sender = sender
        self._place = f"{sender}.events"
        self._emits = frozenset(emits)
        self._drop = drop

    async def publish(self, events: Sequence[Event]) -> None:
        """Send events, in order. Raises UndeclaredEvent, before anything is sent."""
        for event in events:
            if type(event) not in self._emits:
                raise UndeclaredEvent(f"{self._sender} doesn't declare {event_type(event)} in its EMITS")
        if self._drop:
            return
        hit(self._place, "before_publish")
        for event in events:
            try:
                self._socket.send_multipart(encode_event(event, self._sender), flags=zmq.NOBLOCK)
            except FrameTooLarge as error:  # a hint less; what it hints at is committed
                log.error("event refused", error=str(error))
        hit(self._place, "after_publish")

    def close(self) -> None:
        """Close the socket; what is still queued is dropped."""
        self._socket.close()


class Subscriber:
    """Receives the events of the given types (all of them when none is given), from one task only."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str, types: Iterable[type[Event]] = ()
    ) -> None:
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        topics = [f"{event_type(t)}/" for t in types] or [""]
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(endpoint)
        self._wire = Wire(socket)
        self._received: deque[list[bytes]] = deque()
        self._skipped = Skipped()

    async def receive(self) -> AnyEvent:
        """The next event. What can't be read is counted and skipped."""
        while True:
            while not self._received:
                self._received.extend(await self._wire.receive(MOST_AT_ONCE))
            try:
                return decode_event(self._received.popleft())
            except FrameUnreadable as error:
                self._skipped(error)

    def close(self) -> None:
        """Close the socket."""
        self._wire.close()
