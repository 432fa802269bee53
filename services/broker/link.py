"""Daemons on other machines: who they are by their keys, which way back leads to each, and what they may say.

Everything that comes over the link is hostile until shown otherwise. A name and an owner are those of a key, never of a
message; the way back to a daemon is an address that it chose and nobody can guess, taken from the Hello that its key
vouches for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import structlog

from services.broker.presence import MAX_RUNNING, Presence
from shared.bus.link import Admitted, AdmittedKeys, admitted_path, read_admitted
from shared.bus.skipped import Skipped
from shared.config import ConfigError, Settings
from shared.messages.frames import (
    DOWNWARD,
    REPORT_REPLIES,
    REPORTS,
    UPWARD,
    FrameUnreadable,
    exactly,
    header,
    read_header,
)
from shared.messages.identities import DaemonOf, daemon_of, identity_of
from shared.messages.link import Join, Reset
from shared.messages.reports import AnyReport, Goodbye, Heartbeat, Hello, Identify, OutputBatch, Report

log = structlog.get_logger()

READY_SECONDS = 6.0
"""A gateway unheard for longer gets no calls."""
MAX_SLOTS_UNGIVEN = 64
"""What a daemon has at most whose key was given no number of slots."""
MAX_CALLERS = 1000
"""Keys that join at a time; the way back to older ones is forgotten."""


class Link:
    """What comes over the link, and what goes back by it."""

    def __init__(
        self,
        settings: Settings,
        send: Callable[[str, Sequence[bytes]], bool],
        clock: Callable[[], float],
        presence: Presence,
        hand_on: Callable[[list[bytes]], None],
    ) -> None:
        self._own = settings.owner
        self._keys = Keys(settings.home, settings.owner)
        self._ways = Ways()
        self._send = send
        self._clock = clock
        self._presence = presence
        self._hand_on = hand_on
        """Takes a daemon's reports: its identity, topic, header and body."""
        self._gateways: dict[bytes, float] = {}
        self._serves: bytes | None = None
        """The gateway that carries the streams."""
        self._refused = Skipped()

    def receive(self, parts: list[bytes]) -> None:
        """Take in a message: the way back to its sender and the key that it connected with, topic, header and body."""
        way, key, topic, head, body = exactly(parts, 5)
        read_header(head)
        who = self._keys.who(key.decode())
        kind, _, name = (who or "").partition(":")
        if who is None:
            self._refused(f"the key {key.decode()} may not connect any more")
        elif topic == b"link":
            says_hello = kind == "daemon" and self._ways.to(name.encode()) == way
            self._call(who if says_hello or kind != "daemon" else f"asking:{key.decode()}", way, body)
        elif topic == b"reports" and kind == "daemon":
            self._report(name.encode(), way, key.decode(), head, body)
        else:
            raise FrameUnreadable(f"{who} sends the topic {topic[:40]!r}")

    def answer(self, parts: list[bytes]) -> None:
        """Take in a gateway's message: that it is ready, or what goes to somebody on the link."""
        gateway, topic, head, who, body = exactly(parts, 5)
        if topic == b"ready":
            self._gateways[gateway] = self._clock()
            self._choose()
        elif way := self._ways.back_to(who.decode()):
            self._send("link", [way, b"link", head, body])

    def to(self, daemon: bytes, parts: Sequence[bytes]) -> bool:
        """Send to a daemon of this identity; whether it is one of the link's."""
        if (way := self._ways.to(daemon)) is None:
            return False
        self._send("link", [way, *parts])
        return True

    def gone(self, daemon: bytes) -> None:
        """A daemon is gone: its streams end."""
        if self._ways.gone(daemon) and self._serves:
            who = f"daemon:{daemon.decode()}".encode()
            self._send("calls", [self._serves, b"link", header("broker"), who, UPWARD.encode([Reset()])])

    def revoked(self) -> list[bytes]:
        """The daemons whose keys may not connect any more."""
        self._choose()
        return [name for name, key in self._ways.daemons() if self._keys.who(key) != f"daemon:{name.decode()}"]

    def _report(self, name: bytes, way: bytes, key: str, head: bytes, body: bytes) -> None:
        reports = REPORTS.decode(body, self._refused)
        may, objections = allowed(reports, daemon_of(name.decode(), self._own), name, self._presence)
        for objection in objections:
            self._refused(objection)
        may = [self._keys.as_given(key, report) for report in may]
        if any(isinstance(report, Hello) for report in may):
            self._ways.hello(name, way, key)
        if self._ways.to(name) != way:
            self._send("link", [way, b"acks", header("broker"), REPORT_REPLIES.encode([Identify()])])
        elif may:
            self._hand_on([name, b"reports", head, body if may == reports else REPORTS.encode(may)])

    def _call(self, who: str, way: bytes, body: bytes) -> None:
        """Hand on what somebody says under the topic `link`.

        A daemon that has not said Hello by this connection asks like anybody, and is told that it is one: the key of
        whoever waits to be accepted has become a daemon's under that connection.
        """
        kind, _, key = who.partition(":")
        joins_only = kind != "daemon"
        calls = UPWARD.decode(body, self._refused)
        may = [call for call in calls if isinstance(call, Join)] if joins_only else calls
        if kind == "asking":
            may = [call for call in may if isinstance(call, Join) and call.key == key]
        if len(may) < len(calls):
            self._refused(f"{who} does more than join")
        if not may:
            return
        if joins_only:
            self._ways.calls(who, way)
        if self._serves is None or not self._send(
            "calls", [self._serves, b"link", header("broker"), who.encode(), UPWARD.encode(may)]
        ):
            self._serves = None
            self._send("link", [way, b"link", header("broker"), DOWNWARD.encode([Reset()])])

    def _choose(self) -> None:
        """Have the gateway that said first that it is ready carry the streams; with another one all begin anew."""
        oldest = self._clock() - READY_SECONDS
        self._gateways = {gateway: at for gateway, at in self._gateways.items() if at > oldest}
        chosen = next(iter(self._gateways), None)
        if chosen == self._serves:
            return
        self._serves = chosen
        for name, _ in self._ways.daemons():
            self.to(name, [b"link", header("broker"), DOWNWARD.encode([Reset()])])


class Keys:
    """The keys that may connect, as the gateway wrote them last."""

    def __init__(self, home: Path, own: str, now: Callable[[], float] = time.time) -> None:
        self._home = home
        self._own = own
        self._now = now
        self._seen: tuple[int, int] | None = None
        self._asking = False
        self._by_key: dict[str, Admitted] = {}

    def who(self, key: str) -> str | None:
        """Whose key this is (`daemon:IDENTITY`, `invitation:KEY`, `asking:KEY`); None when it may not connect."""
        self._read_anew()
        known = self._by_key.get(key)
        if known is None:
            return f"asking:{key}" if self._asking else None
        if known.until is not None and known.until <= self._now():
            return None
        if known.kind == "invitation":
            return f"invitation:{key}"
        return f"daemon:{identity_of(DaemonOf(known.owner, known.name), self._own)}"

    def as_given(self, key: str, report: AnyReport) -> AnyReport:
        """A report as it counts: labels and slots are those that the key was given, whatever a Hello says."""
        given = self._by_key.get(key)
        if given is None or not isinstance(report, Hello):
            return report
        slots = min(report.capacity, MAX_SLOTS_UNGIVEN if given.slots is None else given.slots)
        return msgspec.structs.replace(report, labels=given.labels, capacity=slots)

    def _read_anew(self) -> None:
        """Read the file if it has changed; one that can't be read admits nobody."""
        try:
            status = admitted_path(self._home).stat()
            seen = (status.st_mtime_ns, status.st_ino)
        except FileNotFoundError:
            seen = (0, 0)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            admitted = read_admitted(self._home)
        except (ConfigError, OSError) as error:
            log.error("nobody is admitted to the link", error=str(error))
            admitted = AdmittedKeys()
            if isinstance(error, OSError):
                self._seen = None  # for want of descriptors, say: another look may find it readable as it is
        self._asking = admitted.asking
        self._by_key = {one.key: one for one in admitted.keys}


class Ways:
    """The way back to each daemon, and to each key that wants to join."""

    def __init__(self) -> None:
        self._daemons: dict[bytes, tuple[bytes, str]] = {}
        self._callers: dict[str, bytes] = {}

    def daemons(self) -> list[tuple[bytes, str]]:
        """Every daemon's identity, and the key that it connected with."""
        return [(name, key) for name, (_, key) in self._daemons.items()]

    def hello(self, name: bytes, way: bytes, key: str) -> None:
        """A daemon said Hello: this way leads to it from now on."""
        self._daemons[name] = (way, key)

    def to(self, name: bytes) -> bytes | None:
        """The way to a daemon; None where it is none of the link's."""
        known = self._daemons.get(name)
        return known[0] if known else None

    def gone(self, name: bytes) -> bool:
        """Forget the way to a daemon; whether there was one."""
        return self._daemons.pop(name, None) is not None

    def calls(self, who: str, way: bytes) -> None:
        """A key that wants to join spoke."""
        self._callers.pop(who, None)
        self._callers[who] = way
        if len(self._callers) > MAX_CALLERS:
            del self._callers[next(iter(self._callers))]

    def back_to(self, who: str) -> bytes | None:
        """The way to whoever a gateway answers."""
        kind, _, name = who.partition(":")
        return self.to(name.encode()) if kind == "daemon" else self._callers.get(who)


def objection(report: AnyReport, daemon: DaemonOf, identity: bytes, presence: Presence) -> str | None:
    """Why a daemon of the link may not say this; None when it may."""
    name = identity.decode()
    match report:
        case Hello() | Goodbye() if (report.owner, report.daemon) != (daemon.owner, daemon.name):
            return f"the daemon {name} says that it is {report.daemon[:40]!r} of {report.owner[:40]!r}"
        case Heartbeat() if report.daemon != daemon.name:
            return f"the daemon {name} says that it is {report.daemon[:40]!r}"
        case Hello() | Heartbeat() if len(report.running) > MAX_RUNNING:
            return f"the daemon {name} lists {len(report.running)} tasks"
        case OutputBatch() if presence.holder(report.task, report.attempt) != identity:
            return f"the daemon {name} sends output of a task that it has not"  # people see it before anybody checks
        case OutputBatch() if presence.directive(report.task, report.attempt) not in (None, report.directive):
            return f"the daemon {name} sends output to a directive that its task is not of"
        case Report() if presence.holder(report.task, report.attempt) not in (None, identity):
            return f"the daemon {name} reports on a task that another has"
        case _:
            return None


def allowed(
    reports: Sequence[AnyReport], daemon: DaemonOf, identity: bytes, presence: Presence
) -> tuple[list[AnyReport], list[str]]:
    """What a daemon of the link may say, and why not the rest."""
    objections = [(report, objection(report, daemon, identity, presence)) for report in _latest(reports)]
    return [r for r, why in objections if why is None], [why for _, why in objections if why]


def _latest(reports: Sequence[AnyReport]) -> list[AnyReport]:
    """Without what a later one in the same frame replaces: a frame of nothing else would take its readers very long."""
    lasting = Hello | Heartbeat | Goodbye
    last: dict[type[object], int] = {type(r): at for at, r in enumerate(reports) if isinstance(r, lasting)}
    return [report for at, report in enumerate(reports) if last.get(type(report), at) == at]
