"""Events over PUB/SUB through the broker's proxy. Both sides connect; an event may be lost, doubled or late."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import structlog
import zmq

from shared.bus.skipped import Skipped
from shared.bus.wire import Wire, keep_alive
from shared.failpoints import hit
from shared.messages.events import AnyEvent, Event
from shared.messages.frames import FrameTooLarge, FrameUnreadable, decode_events, encode_events
from shared.messages.topics import Consumes, event_type, prefixes, topic
from shared.metrics import EVENTS

log = structlog.get_logger()
HIGH_WATER_MARK = 100_000
MAX_AT_ONCE = 256
EVENTS_A_FRAME = 200


class UndeclaredEvent(TypeError):
    """A service tried to publish an event that its EMITS doesn't hold."""


def in_frames(events: Sequence[Event], sender: str) -> Iterator[list[bytes]]:
    """Events as they go out: those of a topic together, since each frame costs every subscriber a wake."""
    topics: dict[str, list[Event]] = {}
    for event in events:
        topics.setdefault(topic(event), []).append(event)
    for all_of_it in topics.values():
        for at in range(0, len(all_of_it), EVENTS_A_FRAME):
            yield from _encoded(all_of_it[at : at + EVENTS_A_FRAME], sender)


def _encoded(events: Sequence[Event], sender: str) -> Iterator[list[bytes]]:
    try:
        yield encode_events(events, sender)
    except FrameTooLarge as error:
        if len(events) > 1:
            for event in events:
                yield from _encoded([event], sender)
        else:  # a hint less; what it hints at is committed
            log.error("event refused", error=str(error))


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
        keep_alive(self._socket)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, HIGH_WATER_MARK)
        self._socket.connect(endpoint)
        self._sender = sender
        self._place = f"{sender}.events"
        self._emits = frozenset(emits)
        self._drop = drop

    async def publish(self, events: Sequence[Event]) -> None:
        """Send events, those of a topic in order. Raises UndeclaredEvent, before anything is sent."""
        for event in events:
            if type(event) not in self._emits:
                raise UndeclaredEvent(f"{self._sender} doesn't declare {event_type(event)} in its EMITS")
        if self._drop:
            return
        hit(self._place, "before_publish")
        for frame in in_frames(events, self._sender):
            self._socket.send_multipart(frame, flags=zmq.NOBLOCK)
        EVENTS.add(by=len(events))
        hit(self._place, "after_publish")

    def close(self) -> None:
        """Close the socket; what is still queued is dropped."""
        self._socket.close()


class Subscriber:
    """Receives the given events (all of them when none is given), from one task only."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        consumes: Consumes | Iterable[type[Event]] = (),
    ) -> None:
        socket = context.socket(zmq.SUB)
        keep_alive(socket)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        for prefix in prefixes(consumes):
            socket.subscribe(prefix)
        socket.connect(endpoint)
        self._wire = Wire(socket)
        self._received: deque[AnyEvent] = deque()
        self._skipped = Skipped()

    async def receive(self) -> AnyEvent:
        """The next event. What can't be read is counted and skipped."""
        while not self._received:
            for parts in await self._wire.receive(MAX_AT_ONCE):
                try:
                    self._received.extend(decode_events(parts))
                except FrameUnreadable as error:
                    self._skipped(error)
        return self._received.popleft()

    def close(self) -> None:
        """Close the socket."""
        self._wire.close()
