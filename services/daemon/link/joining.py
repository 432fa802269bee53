"""How a daemon becomes one of a cluster on another machine: it offers its key until that is taken, or told why not.

The key is on the disk before it is sent. Whatever dies in between, the same words offer the same key again, and the
cluster answers as before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import zmq

from shared.bus.link import (
    Invitation,
    KeyPair,
    Link,
    Pending,
    connect_by,
    keep_link,
    keep_pending,
    key_pair,
    pending_path,
    public_of,
    read_pending,
)
from shared.bus.over_link import WATCHED, Watch
from shared.bus.wire import keep_alive
from shared.config import ConfigError
from shared.failpoints import hit
from shared.messages.frames import DOWNWARD, UPWARD, header
from shared.messages.link import Downward, Join, Joined, NotJoined, Reset
from shared.messages.unreadable import UNREADABLE

AGAIN_SECONDS = 1.0
SILENT_SECONDS = 15.0
_REFUSED_SECONDS = 6.0
"""Refused for so long, as often as it was tried, there is no hope."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What is offered to whom. `invited`: by an invitation's key, else by a key that nobody there knows."""

    address: str
    server: str
    by: KeyPair
    own: KeyPair
    name: str
    invited: bool


def offer(home: Path, asked: Invitation, name: str) -> Offer:
    """The offer to whom this invitation is of, with the key that was offered before, if one was; on the disk on return.

    An invitation without a secret is somebody's own: nobody has invited them. Raises ConfigError and OSError.
    """
    by = KeyPair(public_of(asked.secret), asked.secret) if asked.secret else None
    before = read_pending(home)
    if before is not None and before.address == asked.address and before.server == asked.server:
        own = KeyPair(public_of(before.secret), before.secret)
        if before.by == (by or own).public:
            return _of(asked, by, own, name)
    own = key_pair()
    by_key = (by or own).public
    keep_pending(home, Pending(address=asked.address, server=asked.server, by=by_key, secret=own.secret))
    return _of(asked, by, own, name)


def join(home: Path, offered: Offer, say: Callable[[str], None]) -> Link:
    """Offer it until it is taken; what is kept of that. Raises ConfigError when it isn't, and why."""
    with _connected(offered) as (socket, watching):
        joined = Joining(offered, say, time.monotonic()).until_answered(socket, watching)
    link = Link(
        address=offered.address,
        server=offered.server,
        secret=offered.own.secret,
        name=joined.name,
        owner=joined.owner,
        labels=joined.labels,
        slots=joined.slots,
    )
    keep_link(home, link)
    pending_path(home).unlink(missing_ok=True)
    return link


class Joining:
    """One offer, until it is answered."""

    def __init__(self, offered: Offer, say: Callable[[str], None], now: float) -> None:
        self._offered = offered
        self._say = say
        self._seen = Watch()
        self._was_up = False
        self._refused_since: float | None = None
        self._heard_at = now
        self._unserved = False
        self._waits_for: str | None = None

    def until_answered(self, socket: zmq.Socket[bytes], watching: zmq.Socket[bytes]) -> Joined:
        """Say it every second. Raises ConfigError when it comes to nothing."""
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(watching, zmq.POLLIN)
        again = 0.0
        while True:
            now = time.monotonic()
            if now >= again:
                again = now + AGAIN_SECONDS
                self._ask(socket)
            ready = dict(poller.poll(int((again - now) * 1000) + 1))
            if watching in ready:
                self.watched(*_event(watching), time.monotonic())
            for message in _messages(socket) if socket in ready else ():
                if (joined := self.heard(message, time.monotonic())) is not None:
                    return joined
            self.hopes(time.monotonic())

    def watched(self, event: int, descriptor: int, now: float) -> None:
        """Take in what the socket says of its connection."""
        self._seen(event, descriptor)
        self._was_up = self._was_up or self._seen.standing == "up"
        if self._seen.standing != "refused":
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now

    def heard(self, message: Downward, now: float) -> Joined | None:
        """Take in a message; the answer once it is there. Raises ConfigError when the offer is refused."""
        match message:
            case Joined() if message.key == self._offered.own.public:
                return message
            case NotJoined() if message.key == self._offered.own.public:
                if not message.waits:
                    raise ConfigError(f"{self._offered.address} takes no daemon like that: {message.reason}")
                self._heard_at, self._unserved = now, False
                self._say_that_it_waits(message.reason)
            case Reset():
                self._unserved = True
            case _:
                pass
        return None

    def hopes(self, now: float) -> None:
        """Raises ConfigError once nothing more is to be expected."""
        if self._refused_since is not None and now - self._refused_since > _REFUSED_SECONDS:
            raise ConfigError(self._refusal())
        if now - self._heard_at > SILENT_SECONDS and self._waits_for is None:
            raise ConfigError(self._silence())

    def _ask(self, socket: zmq.Socket[bytes]) -> None:
        asks = Join(key=self._offered.own.public, name=self._offered.name)
        hit("daemon.join", "before_send")
        try:
            socket.send_multipart([b"link", header("daemon"), UPWARD.encode([asks])], zmq.NOBLOCK)
        except zmq.Again:
            return  # one waits to be sent
        hit("daemon.join", "after_send")

    def _say_that_it_waits(self, reason: str) -> None:
        if reason != self._waits_for:
            self._waits_for = reason
            self._say(f"waiting: {reason}")

    def _refusal(self) -> str:
        address = self._offered.address
        if not self._offered.invited:
            return (
                f"{address} refuses a daemon without an invitation, or its key isn't the one given: "
                "check --server-key, and that the cluster's setting link_asking is true"
            )
        return (
            f"{address} refuses the invitation: it was used or withdrawn, or its time is over; "
            "`makima daemon invite` on the cluster's machine makes another"
        )

    def _silence(self) -> str:
        address = self._offered.address
        if self._seen.standing == "up" and self._unserved:
            return f"{address} has no gateway that could answer; see `makima status` on the cluster's machine"
        if self._seen.standing == "up":
            return f"{address} doesn't answer; see `makima status` on the cluster's machine"
        return (
            f"nobody answers at {address}: check the address, the cluster's setting `link`, and the firewalls between"
        )


def _of(asked: Invitation, by: KeyPair | None, own: KeyPair, name: str) -> Offer:
    invited = by is not None
    return Offer(address=asked.address, server=asked.server, by=by or own, own=own, name=name, invited=invited)


@contextmanager
def _connected(offered: Offer) -> Iterator[tuple[zmq.Socket[bytes], zmq.Socket[bytes]]]:
    """A socket, and where it tells of its connection."""
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    keep_alive(socket)
    socket.setsockopt(zmq.SNDHWM, 1)
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    watching = socket.get_monitor_socket(WATCHED)
    try:
        connect_by(socket, offered.address, offered.server, offered.by)
        yield socket, watching
    except zmq.ZMQError as error:
        raise ConfigError(f"{offered.address!r} is no HOST:PORT to connect to: {error}") from None
    finally:
        socket.disable_monitor()
        context.destroy(linger=0)


def _event(watching: zmq.Socket[bytes]) -> tuple[int, int]:
    from zmq.utils.monitor import parse_monitor_message

    event = parse_monitor_message(watching.recv_multipart())
    return int(event["event"]), int(event["value"])


def _messages(socket: zmq.Socket[bytes]) -> list[Downward]:
    """What one frame holds; nothing of one that is none for us."""
    parts = socket.recv_multipart()
    try:
        return DOWNWARD.decode(parts[2]) if len(parts) == 3 and parts[0] == b"link" else []
    except UNREADABLE:
        return []
