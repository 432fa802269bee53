"""What the broker does with each message, free of sockets: frames come in by `receive` and leave by `send`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import structlog

from services.broker.link import Link
from services.broker.monitors import Monitors
from services.broker.presence import Daemon, Presence, Refused
from shared.bus.skipped import Skipped
from shared.config import Settings
from shared.domain.statuses import Refusal
from shared.messages import channels
from shared.messages.channels import ByChannel
from shared.messages.commands import CancelTask, Command, Drain, SpawnTask, Unroutable
from shared.messages.events import DaemonConnected, DaemonLost, Event, TaskOutput
from shared.messages.frames import (
    COMMANDS,
    REPLIES,
    REPORT_REPLIES,
    REPORTS,
    encode_event,
    exactly,
    header,
    read_header,
)
from shared.messages.link import Downward, Upward
from shared.messages.reports import (
    Ack,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    NotYours,
    OutputBatch,
    TaskFailed,
    TaskInterrupted,
    TaskSucceeded,
)
from shared.messages.unreadable import UNREADABLE
from shared.metrics import ROUTED, UNHEARD, UNROUTABLE

log = structlog.get_logger()

EMITS = frozenset({DaemonConnected, DaemonLost, TaskOutput})
SENDS: ByChannel = {
    "commands": frozenset(channels.REPLIES),
    "daemons": frozenset((*channels.COMMANDS, Ack, NotYours, Identify)),
    "reports": frozenset(channels.REPORTS),
    "link": frozenset((*channels.COMMANDS, Ack, NotYours, Identify, *get_args(Downward))),
    "calls": frozenset(get_args(Upward)),
}
RECEIVES: ByChannel = {
    "commands": frozenset(channels.COMMANDS),
    "daemons": frozenset(channels.REPORTS),
    "reports": frozenset({Ack, NotYours, Identify}),
    "link": frozenset((*channels.REPORTS, *get_args(Upward))),
    "calls": frozenset(get_args(Downward)),
}
CHECK_SECONDS = 0.5
"""How often `check` wants to be called."""

Send = Callable[[str, Sequence[bytes]], bool]
"""Sends parts from one of the broker's endpoints; whether the peer could be reached."""


class Broker:
    """Proxies events, routes commands and reports. `receive` and `check` are called from one thread, one at a time."""

    def __init__(self, settings: Settings, send: Send, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.presence = Presence(3 * settings.heartbeat_seconds)
        self._send = send
        self._clock = clock
        self._monitors = Monitors()
        self._skipped = Skipped()
        self._link = Link(settings, send, clock, self.presence, self._on_daemon)
        self._handlers: dict[str, Callable[[list[bytes]], None]] = {
            "events-in": self._on_event,
            "events-out": self._on_subscription,
            "commands": self._on_command,
            "daemons": self._on_daemon,
            "reports": self._on_monitor,
            "link": self._link.receive,
            "calls": self._link.answer,
        }

    def receive(self, endpoint: str, parts: list[bytes]) -> None:
        """Take in one message. What can't be read is counted, logged now and then, and skipped."""
        try:
            self._handlers[endpoint](parts)
        except UNREADABLE as error:
            self._skipped(error)

    def check(self) -> None:
        """Notice the daemons that are lost, and those that may not stay."""
        revoked = [daemon for name in self._link.revoked() if (daemon := self.presence.gone(name))]
        for daemon in (*revoked, *self.presence.lost(self._clock(), self.settings.lost_seconds)):
            self._gone(daemon)
            body = REPORTS.encode([Goodbye(daemon=daemon.name, owner=daemon.owner)])
            self._to_monitor(daemon.identity, header("broker"), body)

    def _on_event(self, parts: list[bytes]) -> None:
        self._send("events-out", parts)

    def _on_subscription(self, parts: list[bytes]) -> None:
        self._send("events-in", parts)

    def _on_command(self, parts: list[bytes]) -> None:
        sender, _, head, body = exactly(parts, 4)
        read_header(head)
        replies: list[Unroutable] = []
        batches: dict[bytes, list[object]] = {}
        for command in COMMANDS.decode(body, self._skipped):
            if isinstance(command, Drain):
                if (named := self.presence.named(command.owner, command.daemon)) is not None:
                    batches.setdefault(named, []).append(command)
                continue
            identity = self.presence.holder(command.task, command.attempt)
            if identity is None and isinstance(command, SpawnTask):
                chosen = self.presence.choose(command)
                if isinstance(chosen, Refused):
                    replies.append(_unroutable(command, chosen))
                    UNROUTABLE.add(chosen.kind)
                    continue
                identity = chosen
                self.presence.routed(identity, command, self._clock())
                ROUTED.add()
            if identity is None:
                if isinstance(command, CancelTask):
                    replies.append(_unroutable(command, Refused(Refusal.ENDED, "no connected daemon runs it")))
                continue
            batches.setdefault(identity, []).append(command)
        for identity, commands in batches.items():
            self._to_daemon(identity, b"commands", head, COMMANDS.encode(commands))  # type: ignore[arg-type]
            if spawned := [command.task for command in commands if isinstance(command, SpawnTask)]:
                log.info("tasks routed", daemon=identity.decode(errors="replace"), tasks=spawned)
        if replies:
            self._send("commands", [sender, b"replies", header("broker"), REPLIES.encode(replies)])

    def _on_daemon(self, parts: list[bytes]) -> None:
        identity, _, head, body = exactly(parts, 4)
        read_header(head)
        known = self.presence.heard(identity, self._clock())
        reports = REPORTS.decode(body, self._skipped)
        for report in reports:
            if isinstance(report, Hello):
                known = True
                if self.presence.hello(identity, report, self._clock()):
                    log.info("daemon connected", daemon=report.daemon, owner=report.owner, capacity=report.capacity)
                    self._emit(DaemonConnected(daemon=report.daemon, owner=report.owner))
            elif isinstance(report, Heartbeat):
                self.presence.runs(identity, report.running, self._clock())
            elif isinstance(report, Goodbye):
                if daemon := self.presence.gone(identity):
                    self._gone(daemon)
            elif isinstance(report, OutputBatch):
                self._emit(
                    TaskOutput(
                        directive=report.directive,
                        task=report.task,
                        attempt=report.attempt,
                        first=report.first,
                        lines=report.lines,
                    )
                )
            elif isinstance(report, TaskSucceeded | TaskFailed | TaskInterrupted):
                self.presence.ended(identity, report.task, report.attempt)
        if not known:
            self._identify(identity)
        idle = all(isinstance(report, Heartbeat) and not report.running for report in reports)
        if not idle or self.presence.due_to_be_told(identity, self._clock(), self.settings.lost_seconds):
            self._to_monitor(identity, head, body)

    def _on_monitor(self, parts: list[bytes]) -> None:
        monitor, topic, head, identity, body = exactly(parts, 5)
        if topic == b"ready":
            if self._monitors.ready(monitor, int(body or b"0"), self._clock()):
                for known in self.presence.daemons:
                    self._identify(known)
        else:
            if b"NotYours" in body:
                self._not_theirs(identity, body)
            self._to_daemon(identity, b"acks", head, body)

    def _not_theirs(self, identity: bytes, body: bytes) -> None:
        """Whoever listed an attempt that isn't theirs, before its daemon did, doesn't keep it."""
        for reply in REPORT_REPLIES.decode(body, self._skipped):
            if isinstance(reply, NotYours):
                self.presence.ended(identity, reply.task, reply.attempt)

    def _to_monitor(self, identity: bytes, head: bytes, body: bytes) -> None:
        """Hand a body on to the newest leader of the monitors. Without one it is dropped: its daemon sends it again."""
        for monitor in self._monitors.able(self._clock()):
            if self._send("reports", [monitor, b"reports", head, identity, body]):
                self._monitors.handed(monitor, len(body))
                return
            self._monitors.gone(monitor)
        UNHEARD.add()

    def _identify(self, identity: bytes) -> None:
        self._to_daemon(identity, b"acks", header("broker"), REPORT_REPLIES.encode([Identify()]))

    def _to_daemon(self, identity: bytes, *parts: bytes) -> None:
        if not self._link.to(identity, parts):
            self._send("daemons", [identity, *parts])

    def _gone(self, daemon: Daemon) -> None:
        self._link.gone(daemon.identity)
        log.info("daemon gone", daemon=daemon.name, owner=daemon.owner)
        self._emit(DaemonLost(daemon=daemon.name, owner=daemon.owner))

    def _emit(self, event: Event) -> None:
        if not self.settings.drop_events:
            self._send("events-out", encode_event(event, "broker"))


def _unroutable(command: Command, refused: Refused) -> Unroutable:
    return Unroutable(task=command.task, attempt=command.attempt, reason=refused.reason, refusal=refused.kind)
