"""The bus in memory: the broker's real routing between queues, on links that delay, drop, double and reorder."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from services.broker.routing import CHECK_SECONDS, Broker
from shared.bus.events import UndeclaredEvent, in_frames
from shared.config import Settings
from shared.messages.events import AnyEvent, Event
from shared.messages.frames import decode_events, header
from shared.messages.topics import Consumes, event_type, prefixes
from simulation.faults import Profile, Tally

T = TypeVar("T", "Publisher", "Subscriber", "Channel")
Parts = list[bytes]
Step = Callable[[str], Awaitable[None]]
"""Told before and after each send, e.g. 'executor.spawn.before_send'; may never return."""

LATE_SECONDS = (0.3, 4.0)
"""Mean seconds by which a message is late that arrives out of order."""


@dataclass
class Cut:
    """What doesn't pass between a peer and the broker: up to the broker, down from it, or both."""

    up: bool
    down: bool
    held: list[Callable[[], None]] | None
    """What arrives once the cut is over, as after a pause of the whole machine; None when it is lost."""


class Network:
    """Links between the broker and its peers. A link keeps its order, unless a fault breaks it."""

    def __init__(self, profile: Profile, rng: Random, tally: Tally) -> None:
        self._profile = profile
        self._rng = rng
        self._tally = tally
        self._last: dict[str, float] = {}
        self._cuts: dict[bytes, Cut] = {}

    def cut(self, peer: bytes, cut: Cut) -> None:
        """Cut a peer off."""
        self._cuts[peer] = cut

    def restore(self, peer: bytes) -> None:
        """Its messages pass again."""
        for deliver in self._cuts.pop(peer).held or ():
            asyncio.get_running_loop().call_soon(deliver)

    def up(self, link: str, peer: bytes, deliver: Callable[[], None]) -> None:
        """Carry a message to the broker."""
        cut = self._cuts.get(peer)
        self._carry(link, deliver, cut if cut and cut.up else None)

    def down(self, link: str, peer: bytes, deliver: Callable[[], None]) -> None:
        """Carry a message from the broker."""
        cut = self._cuts.get(peer)
        self._carry(link, deliver, cut if cut and cut.down else None)

    def _carry(self, link: str, deliver: Callable[[], None], cut: Cut | None) -> None:
        """Deliver a message later: once, or as the faults have it not at all or twice."""
        loop, rng, profile = asyncio.get_running_loop(), self._rng, self._profile
        bad = loop.time() < profile.until
        if cut and cut.held is not None:
            cut.held.append(deliver)
            return
        if cut or (bad and rng.random() < profile.drop):
            self._tally.drops += 1
            return
        times = 2 if bad and rng.random() < profile.double else 1
        self._tally.doubles += times - 1
        for _ in range(times):
            at = loop.time() + rng.uniform(0.0002, 0.002)
            if bad and rng.random() < profile.reorder:
                at += rng.expovariate(1 / rng.choice(LATE_SECONDS))
                self._tally.late += 1
            else:
                at = self._last[link] = max(at, self._last.get(link, 0.0))
            loop.call_at(at, deliver)


class Hub:
    """Stands where the broker's sockets stand; a broker can die and another take its place."""

    def __init__(self, settings: Settings, network: Network, rng: Random) -> None:
        self._settings = settings
        self._network = network
        self._rng = rng
        self._broker: Broker | None = None
        self._known: set[bytes] = set()
        """Peers that have connected to this broker."""
        self._peers: dict[bytes, asyncio.Queue[Parts]] = {}
        self._subscribers: dict[asyncio.Queue[Parts], tuple[bytes, tuple[bytes, ...]]] = {}

    async def run_broker(self) -> None:
        """Be the broker until cancelled."""
        loop = asyncio.get_running_loop()
        self._known = set()
        for peer in self._peers:
            self._connect(peer)
        broker = self._broker = Broker(self._settings, self._send, loop.time)
        try:
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                broker.check()
        finally:
            self._broker = None

    def join(self, peer: bytes, queue: asyncio.Queue[Parts]) -> None:
        """A peer connects; under the same identity it takes over."""
        self._peers[peer] = queue
        self._known.add(peer)

    def leave(self, peer: bytes, queue: asyncio.Queue[Parts]) -> None:
        """A peer is gone."""
        if self._peers.get(peer) is queue:
            del self._peers[peer]
            self._known.discard(peer)

    def subscribe(self, queue: asyncio.Queue[Parts], peer: bytes, topics: tuple[bytes, ...]) -> None:
        """Events of these topics go into the queue."""
        self._subscribers[queue] = (peer, topics)

    def unsubscribe(self, queue: asyncio.Queue[Parts]) -> None:
        """No more of them."""
        self._subscribers.pop(queue, None)

    def to_broker(self, endpoint: str, peer: bytes, parts: Parts) -> None:
        """Send to the broker. While there is none, a message waits in the peer's socket, or is lost with it."""
        self._network.up(f"{peer!r}>{endpoint}", peer, lambda: self._arrive(endpoint, parts))

    def _arrive(self, endpoint: str, parts: Parts) -> None:
        if self._broker is not None:
            self._broker.receive(endpoint, parts)
        elif self._rng.random() < 0.5:
            asyncio.get_running_loop().call_later(0.2, self._arrive, endpoint, parts)

    def _connect(self, peer: bytes) -> None:
        asyncio.get_running_loop().call_later(self._rng.uniform(0.01, 1.0), self._connected, peer)

    def _connected(self, peer: bytes) -> None:
        if peer in self._peers:
            self._known.add(peer)

    def _send(self, endpoint: str, parts: Sequence[bytes]) -> bool:
        if endpoint == "events-out":
            for queue, (peer, topics) in list(self._subscribers.items()):
                if parts[0].startswith(topics):
                    self._network.down(f"{peer!r}<events", peer, lambda queue=queue: queue.put_nowait(list(parts)))  # type: ignore[misc]
            return True
        peer = parts[0]
        if peer not in self._known:
            return endpoint == "commands"
        self._network.down(f"{peer!r}<{endpoint}", peer, lambda: self._hand(peer, list(parts[1:])))
        return True

    def _hand(self, peer: bytes, parts: Parts) -> None:
        if queue := self._peers.get(peer):
            queue.put_nowait(parts)


class Publisher:
    """What a service publishes with."""

    def __init__(self, hub: Hub, peer: bytes, sender: str, emits: Iterable[type[Event]], step: Step) -> None:
        self._hub, self._peer, self._sender, self._step = hub, peer, sender, step
        self._emits = frozenset(emits)

    async def publish(self, events: Sequence[Event]) -> None:
        """Send events, in order."""
        for event in events:
            if type(event) not in self._emits:
                raise UndeclaredEvent(f"{self._sender} doesn't declare {event_type(event)} in its EMITS")
        await self._step("publish")
        for frame in in_frames(events, self._sender):
            self._hub.to_broker("events-in", self._peer, frame)

    def close(self) -> None:
        """Nothing is to be closed."""


class Subscriber:
    """What a service hears events with."""

    def __init__(self, hub: Hub, peer: bytes, consumes: Consumes | Iterable[type[Event]]) -> None:
        self._hub = hub
        self.queue: asyncio.Queue[Parts] = asyncio.Queue()
        self._received: deque[AnyEvent] = deque()
        hub.subscribe(self.queue, peer, tuple(prefix.encode() for prefix in prefixes(consumes)))

    async def receive(self) -> AnyEvent:
        """The next event."""
        while not self._received:
            self._received.extend(decode_events(await self.queue.get()))
        return self._received.popleft()

    def close(self) -> None:
        """Hear no more."""
        self._hub.unsubscribe(self.queue)


class Channel:
    """A service's or a daemon's way to one endpoint."""

    def __init__(self, hub: Hub, peer: bytes, endpoint: str, sender: str, step: Step) -> None:
        self._hub, self._peer, self._endpoint, self._sender, self._step = hub, peer, endpoint, sender, step
        self.queue: asyncio.Queue[Parts] = asyncio.Queue()
        hub.join(peer, self.queue)

    async def send(self, point: str, topic: bytes, *rest: bytes) -> None:
        """Send one message."""
        await self._step(f"{point}.before_send")
        self._hub.to_broker(self._endpoint, self._peer, [self._peer, topic, header(self._sender), *rest])
        await self._step(f"{point}.after_send")

    async def receive(self) -> Parts:
        """The next message."""
        return await self.queue.get()

    async def receive_waiting(self, most: int = 1000) -> list[Parts]:
        """The next message and those behind it."""
        received = [await self.queue.get()]
        while len(received) < most and not self.queue.empty():
            received.append(self.queue.get_nowait())
        return received

    def close(self) -> None:
        """Be gone."""
        self._hub.leave(self._peer, self.queue)


class MemoryBus:
    """The `Bus` of one life of a service or daemon."""

    def __init__(self, hub: Hub, name: bytes, step: Step) -> None:
        self._hub, self._name, self._step = hub, name, step
        self._opened: list[Publisher | Subscriber | Channel] = []

    def publisher(self, sender: str, emits: Iterable[type[Event]]) -> Publisher:
        """A publisher of these events."""
        return self._keep(Publisher(self._hub, self._name, sender, emits, self._step))

    def subscriber(self, consumes: Consumes | Iterable[type[Event]] = ()) -> Subscriber:
        """A subscriber to these events."""
        return self._keep(Subscriber(self._hub, self._name, consumes))

    def channel(self, endpoint: str, sender: str, identity: bytes | None = None) -> Channel:
        """A channel to an endpoint."""
        return self._keep(Channel(self._hub, identity or self._name, endpoint, sender, self._step))

    def close(self) -> None:
        """Close all that was opened."""
        for opened in self._opened:
            opened.close()

    def _keep(self, opened: T) -> T:
        self._opened.append(opened)
        return opened
