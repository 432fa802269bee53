"""The bus over ZeroMQ: its sockets connect to the broker's endpoints as the settings name them."""

from __future__ import annotations

from collections.abc import Iterable

import zmq

from shared.bus.channel import Channel
from shared.bus.events import Publisher, Subscriber
from shared.bus.keys import introduce
from shared.config import Settings
from shared.messages.channels import Role
from shared.messages.events import Event
from shared.messages.topics import Consumes


class ZeroMQ:
    """A `Bus` on one ZeroMQ context of its own, in one role. Raises ConfigError when that role's key can't be read."""

    def __init__(self, settings: Settings, role: Role) -> None:
        self._settings = settings
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        introduce(self._context, settings, role)
        self._opened: list[Subscriber | Channel] = []

    def publisher(self, sender: str, emits: Iterable[type[Event]]) -> Publisher:
        """A publisher of these events."""
        endpoint = self._settings.socket("events-in")
        return Publisher(self._context, endpoint, sender, emits, drop=self._settings.drop_events)

    def subscriber(self, consumes: Consumes | Iterable[type[Event]] = ()) -> Subscriber:
        """A subscriber to these events; to all when none is given."""
        subscriber = Subscriber(self._context, self._settings.socket("events-out"), consumes)
        self._opened.append(subscriber)
        return subscriber

    def channel(self, endpoint: str, sender: str, identity: bytes | None = None) -> Channel:
        """A channel to one of the broker's endpoints."""
        channel = Channel(self._context, self._settings.socket(endpoint), sender, identity)
        self._opened.append(channel)
        return channel

    def close(self) -> None:
        """Close every socket, and the context."""
        for opened in self._opened:
            opened.close()
        self._context.destroy(linger=0)
