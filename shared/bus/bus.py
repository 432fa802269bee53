"""The bus as a service sees it: what it is handed to publish, to subscribe and to talk to the broker."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from shared.messages.events import AnyEvent, Event
from shared.messages.topics import Consumes


class EventPublisher(Protocol):
    """Publishes a service's declared events."""

    async def publish(self, events: Sequence[Event]) -> None:
        """Send events, those of a topic in order. Raises UndeclaredEvent, before anything is sent."""

    def close(self) -> None:
        """Send no more."""


class EventSubscriber(Protocol):
    """Receives events, from one task only."""

    async def receive(self) -> AnyEvent:
        """The next event."""

    def close(self) -> None:
        """Receive no more."""


class MessageChannel(Protocol):
    """Sends and receives `[topic, header, *rest]` to and from the broker; one task receives."""

    async def send(self, point: str, topic: bytes, *rest: bytes) -> None:
        """Queue one message for the broker. `point` names the failpoints around it: service and what it sends."""

    async def receive(self) -> list[bytes]:
        """The next message's parts."""

    async def receive_waiting(self, most: int = 1000) -> list[list[bytes]]:
        """The next message and all that wait behind it, at most `most`."""

    def close(self) -> None:
        """Send and receive no more."""


class Bus(Protocol):
    """All ways to the broker. Endpoints go by name: events-in, events-out, commands, daemons, reports."""

    def publisher(self, sender: str, emits: Iterable[type[Event]]) -> EventPublisher:
        """A publisher of these events."""

    def subscriber(self, consumes: Consumes | Iterable[type[Event]] = ()) -> EventSubscriber:
        """A subscriber to these events; to all when none is given."""

    def channel(self, endpoint: str, sender: str, identity: bytes | None = None) -> MessageChannel:
        """A channel to one of the broker's endpoints; under `identity` it is the same peer after a restart."""

    def close(self) -> None:
        """Close whatever was opened on it."""
