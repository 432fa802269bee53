"""The bench daemon: a real process that speaks the daemon protocol and answers every SpawnTask at once.

It runs no agent: a task succeeds as soon as it arrives, with a message of its own. Tasks whose name begins with
"chatter" print instead, until they are told to end. Driven by lines on standard input, answered on standard output:
`collect N` waits until N more tasks ended and their reports were acknowledged, and answers with what was seen;
`quiet` ends the chatterers; end of input says goodbye.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime
from uuid import UUID

import msgspec
import zmq

from shared.bus.keys import introduce
from shared.config import Settings, load
from shared.messages.commands import SpawnTask
from shared.messages.frames import COMMANDS, REPORT_REPLIES, REPORTS, header, read_header
from shared.messages.reports import (
    Ack,
    AnyReport,
    Goodbye,
    Heartbeat,
    Hello,
    Identify,
    OutputBatch,
    Report,
    Running,
    TaskAccepted,
    TaskStarted,
    TaskSucceeded,
)

LINES_A_BATCH = 20
BATCH_SECONDS = 0.1
"""A chatterer prints 200 lines a second, in batches as the real daemon makes them."""
RESEND_SECONDS = 2.0


class Seen(msgspec.Struct, kw_only=True):
    """One task as the daemon saw it. Times are of the machine's monotonic clock, in nanoseconds, 0 = not yet."""

    task: UUID
    directive: UUID
    name: str
    received: int
    routed_ms: float
    reported: int = 0
    acknowledged: int = 0
    lines: int = 0


class BenchDaemon:
    """One DEALER, one loop. `all_reports`: TaskAccepted and TaskStarted too, as the real daemon sends them."""

    def __init__(self, settings: Settings, name: str, all_reports: bool) -> None:
        self._settings = settings
        self._name = name
        self._all_reports = all_reports
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.IDENTITY, name.encode())
        self._socket.setsockopt(zmq.SNDHWM, 0)
        self._socket.setsockopt(zmq.RCVHWM, 0)
        introduce(self._socket, settings, "daemon")
        self._socket.connect(settings.socket("daemons"))
        self._seq = 0
        self._unacknowledged: dict[int, tuple[Report, float]] = {}
        self._ending: dict[int, Seen] = {}
        self._live: dict[tuple[UUID, int], Seen] = {}
        self._chatting: dict[tuple[UUID, int], Seen] = {}
        self._ended: list[Seen] = []
        self._wanted: int | None = None
        self._begun = b""

    def serve(self) -> None:
        """Serve until standard input ends."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(0, zmq.POLLIN)
        self._hello()
        beat = chat = time.monotonic()
        while True:
            ready = dict(poller.poll(20 if self._chatting else 200))
            if self._socket in ready:
                self._receive()
            if 0 in ready and not self._obey():
                break
            now = time.monotonic()
            if now >= beat:
                beat = now + self._settings.heartbeat_seconds
                self._send(Heartbeat(daemon=self._name, running=self._running()))
                self._resend(now)
            if self._chatting and now >= chat:
                chat = max(chat + BATCH_SECONDS, now - BATCH_SECONDS)
                self._chat()
        self._send(Goodbye(daemon=self._name, owner=self._settings.owner))
        self._context.destroy(linger=500)

    def _receive(self) -> None:
        while True:
            try:
                topic, head, body = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            received = time.monotonic_ns()
            if topic == b"commands":
                routed_ms = (datetime.now(UTC) - read_header(head).at).total_seconds() * 1000
                for command in COMMANDS.decode(body):
                    if isinstance(command, SpawnTask):
                        self._run(command, received, routed_ms)
            else:
                for reply in REPORT_REPLIES.decode(body):
                    if isinstance(reply, Ack):
                        self._acknowledged(reply.seqs, received)
                    elif isinstance(reply, Identify):
                        self._hello()

    def _run(self, command: SpawnTask, received: int, routed_ms: float) -> None:
        key = (command.task, command.attempt)
        if key in self._live:
            return
        seen = self._live[key] = Seen(
            task=command.task,
            directive=command.directive,
            name=command.name,
            received=received,
            routed_ms=routed_ms,
        )
        about = {"task": command.task, "attempt": command.attempt}
        chatters = command.name.startswith("chatter")
        if self._all_reports or chatters:
            self._report(TaskAccepted(seq=self._next(), **about))  # type: ignore[arg-type]
            self._report(TaskStarted(seq=self._next(), branch=command.branch, **about))  # type: ignore[arg-type]
        if chatters:
            self._chatting[key] = seen
        else:
            self._end(key, seen, command.target_branch or command.branch)

    def _end(self, key: tuple[UUID, int], seen: Seen, branch: str) -> None:
        report = TaskSucceeded(seq=self._next(), task=key[0], attempt=key[1], branch=branch, head="0" * 40)
        self._ending[report.seq] = seen
        seen.reported = time.monotonic_ns()
        self._report(report)

    def _chat(self) -> None:
        for (task, attempt), seen in self._chatting.items():
            lines = tuple(
                f"{seen.name}: line {seen.lines + n}, as a test runner prints one" for n in range(LINES_A_BATCH)
            )
            self._report(
                OutputBatch(
                    seq=self._next(),
                    task=task,
                    attempt=attempt,
                    directive=seen.directive,
                    first=seen.lines,
                    lines=lines,
                )
            )
            seen.lines += LINES_A_BATCH

    def _obey(self) -> bool:
        """Do what standard input says; whether it goes on."""
        if not (read := os.read(0, 4096)):
            return False
        *lines, self._begun = (self._begun + read).split(b"\n")
        for line in lines:
            verb, _, rest = line.partition(b" ")
            if verb == b"collect":
                self._wanted = int(rest)
                self._answer()
            elif verb == b"quiet":
                for key, seen in self._chatting.items():
                    self._end(key, seen, "")
                self._chatting.clear()
        return True

    def _answer(self) -> None:
        if self._wanted is not None and len(self._ended) >= self._wanted:
            sys.stdout.buffer.write(msgspec.json.encode(self._ended) + b"\n")
            sys.stdout.buffer.flush()
            self._ended, self._wanted = [], None

    def _acknowledged(self, seqs: tuple[int, ...], at: int) -> None:
        for seq in seqs:
            self._unacknowledged.pop(seq, None)
            if seen := self._ending.pop(seq, None):
                seen.acknowledged = at
                self._ended.append(seen)
        self._answer()

    def _hello(self) -> None:
        self._send(
            Hello(
                daemon=self._name,
                owner=self._settings.owner,
                capacity=self._settings.slots,
                agents=("shell",),
                running=self._running(),
            )
        )

    def _running(self) -> tuple[Running, ...]:
        return tuple(Running(task=t, attempt=n) for t, n in self._chatting)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _report(self, report: Report) -> None:
        self._unacknowledged[report.seq] = (report, time.monotonic())
        self._send(report)  # type: ignore[arg-type]

    def _resend(self, now: float) -> None:
        for seq, (report, at) in list(self._unacknowledged.items()):
            if now - at > RESEND_SECONDS:
                self._unacknowledged[seq] = (report, now)
                self._send(report)  # type: ignore[arg-type]

    def _send(self, report: AnyReport) -> None:
        self._socket.send_multipart([b"reports", header(self._name), REPORTS.encode([report])])


def main() -> None:
    """Run until standard input ends."""
    settings = load(os.environ)
    BenchDaemon(settings, settings.daemon_name or "bench", "--all-reports" in sys.argv).serve()


if __name__ == "__main__":
    main()
