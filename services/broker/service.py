"""The broker's sockets, and what is done with each message. One thread, one poller, no IO but sockets."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
import zmq

from services.broker.presence import Daemon, Presence
from shared.config import ConfigError, Settings, load
from shared.messages.commands import AnyReply, CancelTask, Routed, SpawnTask, Unroutable
from shared.messages.events import DaemonConnected, DaemonLost, Event, TaskOutput
from shared.messages.frames import (
    COMMANDS,
    REPLIES,
    REPORT_REPLIES,
    REPORTS,
    FrameUnreadable,
    encode_event,
    header,
    read_header,
)
from shared.messages.reports import (
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    OutputBatch,
    TaskFailed,
    TaskInterrupted,
    TaskSucceeded,
)
from shared.service.process import configure_logs, ready

log = structlog.get_logger()

EMITS = frozenset({DaemonConnected, DaemonLost, TaskOutput})
READY_SECONDS = 6.0
"""A monitor unheard for longer gets no reports."""
MOST_A_TURN = 256
"""Messages taken from one socket before the others have their turn."""

Handler = Callable[[list[bytes]], None]


class Broker:
    """Binds the five sockets and serves them until `stop`."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self.presence = Presence()
        self._clock = clock
        self._context = zmq.Context()
        self._events_in = self._bind(zmq.XSUB, "events-in")
        self._events_out = self._bind(zmq.XPUB, "events-out")
        self._commands = self._bind(zmq.ROUTER, "commands")
        self._daemons = self._bind(zmq.ROUTER, "daemons", mandatory=True)
        self._reports = self._bind(zmq.ROUTER, "reports", mandatory=True)
        self._monitors: dict[bytes, float] = {}
        self._turn = 0
        self.unreadable = 0
        self._handlers: dict[zmq.Socket[bytes], Handler] = {
            self._events_in: self._on_event,
            self._events_out: self._on_subscription,
            self._commands: self._on_command,
            self._daemons: self._on_daemon,
            self._reports: self._on_monitor,
        }

    def _bind(self, kind: int, name: str, mandatory: bool = False) -> zmq.Socket[bytes]:
        endpoint = self.settings.socket(name)
        if endpoint.startswith("ipc://"):
            Path(endpoint.removeprefix("ipc://")).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        bound = self._context.socket(kind)
        bound.setsockopt(zmq.LINGER, 200)
        bound.setsockopt(zmq.SNDHWM, 100_000)
        bound.setsockopt(zmq.RCVHWM, 100_000)
        if kind == zmq.ROUTER:
            bound.setsockopt(zmq.ROUTER_HANDOVER, 1)
            bound.setsockopt(zmq.ROUTER_MANDATORY, int(mandatory))
        bound.bind(endpoint)
        return bound

    def serve(self, stop: socket.socket) -> None:
        """Serve until `stop` becomes readable."""
        poller = zmq.Poller()
        poller.register(stop, zmq.POLLIN)
        for bound in self._handlers:
            poller.register(bound, zmq.POLLIN)
        next_check = self._clock()
        while True:
            for readable, _ in poller.poll(500):
                if not isinstance(readable, zmq.Socket):
                    return
                self._drain(readable)
            if self._clock() >= next_check:
                next_check = self._clock() + 0.5
                self._check_lost()

    def close(self) -> None:
        """Unbind everything."""
        for bound in self._handlers:
            bound.close()
        self._context.term()

    def _drain(self, bound: zmq.Socket[bytes]) -> None:
        for _ in range(MOST_A_TURN):
            try:
                parts = bound.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                self._handlers[bound](parts)
            except (FrameUnreadable, ValueError) as error:
                self.unreadable += 1
                if self.unreadable <= 10 or self.unreadable % 1000 == 0:
                    log.warning("message skipped", error=str(error), count=self.unreadable)

    def _on_event(self, parts: list[bytes]) -> None:
        self._events_out.send_multipart(parts)

    def _on_subscription(self, parts: list[bytes]) -> None:
        self._events_in.send_multipart(parts)

    def _on_command(self, parts: list[bytes]) -> None:
        sender, _, head, body = _exactly(parts, 4)
        read_header(head)
        replies: list[AnyReply] = []
        batches: dict[bytes, list[object]] = {}
        for command in COMMANDS.decode(body):
            identity = self.presence.holder(command.task, command.attempt)
            if identity is None and isinstance(command, SpawnTask):
                chosen = self.presence.choose(command)
                if isinstance(chosen, str):
                    replies.append(Unroutable(task=command.task, attempt=command.attempt, reason=chosen))
                    continue
                identity = chosen
                self.presence.daemons[identity].running.add((command.task, command.attempt))
            if identity is None:
                if isinstance(command, CancelTask):
                    reason = "no connected daemon runs it"
                    replies.append(Unroutable(task=command.task, attempt=command.attempt, reason=reason))
                continue
            batches.setdefault(identity, []).append(command)
            name = self.presence.daemons[identity].name
            replies.append(Routed(task=command.task, attempt=command.attempt, daemon=name))
        for identity, commands in batches.items():
            self._send(self._daemons, [identity, b"commands", head, COMMANDS.encode(commands)])  # type: ignore[arg-type]
        if replies:
            self._commands.send_multipart([sender, b"replies", header("broker"), REPLIES.encode(replies)])

    def _on_daemon(self, parts: list[bytes]) -> None:
        identity, _, head, body = _exactly(parts, 4)
        read_header(head)
        known = self.presence.heard(identity, self._clock())
        for report in REPORTS.decode(body):
            if isinstance(report, Hello):
                known = True
                if self.presence.hello(identity, report, self._clock()):
                    log.info("daemon connected", daemon=report.daemon, owner=report.owner, capacity=report.capacity)
                    self._emit(DaemonConnected(daemon=report.daemon, owner=report.owner))
            elif isinstance(report, Heartbeat):
                self.presence.runs(identity, report.running)
            elif isinstance(report, Goodbye):
                if daemon := self.presence.daemons.pop(identity, None):
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
        self._to_monitor(identity, head, body)

    def _on_monitor(self, parts: list[bytes]) -> None:
        monitor, topic, head, identity, body = _exactly(parts, 5)
        if topic == b"ready":
            if monitor not in self._monitors:
                for known in self.presence.daemons:
                    self._identify(known)
            self._monitors[monitor] = self._clock()
        else:
            self._send(self._daemons, [identity, b"acks", head, body])

    def _to_monitor(self, identity: bytes, head: bytes, body: bytes) -> None:
        """Hand a body on to the next ready monitor. Without one it is dropped, and the daemon sends it again."""
        oldest = self._clock() - READY_SECONDS
        self._monitors = {m: at for m, at in self._monitors.items() if at > oldest}
        for monitor in list(self._monitors)[self._turn % (len(self._monitors) or 1) :] + list(self._monitors):
            self._turn += 1
            if self._send(self._reports, [monitor, b"reports", head, identity, body]):
                return
            self._monitors.pop(monitor, None)

    def _identify(self, identity: bytes) -> None:
        self._send(self._daemons, [identity, b"acks", header("broker"), REPORT_REPLIES.encode([Identify()])])

    def _check_lost(self) -> None:
        for daemon in self.presence.lost(self._clock(), self.settings.lost_seconds):
            self._gone(daemon)
            body = REPORTS.encode([Goodbye(daemon=daemon.name, owner=daemon.owner)])
            self._to_monitor(daemon.name.encode(), header("broker"), body)

    def _gone(self, daemon: Daemon) -> None:
        log.info("daemon gone", daemon=daemon.name, owner=daemon.owner)
        self._emit(DaemonLost(daemon=daemon.name, owner=daemon.owner))

    def _emit(self, event: Event) -> None:
        if not self.settings.drop_events:
            self._events_out.send_multipart(encode_event(event, "broker"))

    def _send(self, bound: zmq.Socket[bytes], parts: Sequence[bytes]) -> bool:
        try:
            bound.send_multipart(parts, zmq.NOBLOCK)
        except (zmq.Again, zmq.ZMQError) as error:
            log.info("peer unreachable", error=str(error))
            return False
        return True


def _exactly(parts: list[bytes], number: int) -> list[bytes]:
    if len(parts) != number:
        raise FrameUnreadable(f"{len(parts)} parts instead of {number}")
    return parts


def main() -> int:
    """Run the broker until SIGTERM or SIGINT; its exit code."""
    configure_logs()
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        broker = Broker(load(os.environ))
    except (ConfigError, zmq.ZMQError) as error:
        print(f"makima broker: {error}", file=sys.stderr)
        return 1
    ready()
    broker.serve(woken)
    broker.close()
    return 0
