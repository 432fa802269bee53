"""A simulated daemon: it speaks the protocol and keeps its journal, and where an agent would work, time passes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from uuid import UUID

import msgspec

from shared.bus.bus import Bus, MessageChannel
from shared.messages.commands import CancelTask, SpawnTask
from shared.messages.frames import COMMANDS, REPORT_REPLIES, REPORTS
from shared.messages.reports import (
    Ack,
    Heartbeat,
    Hello,
    Identify,
    NotYours,
    OutputBatch,
    Report,
    Running,
    TaskAccepted,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)
from simulation.forge import Delivering

Key = tuple[UUID, int]
Plan = Callable[[SpawnTask], Awaitable[bool]]
"""What a planning agent does by HTTP; whether it succeeded."""


@dataclass
class Seen:
    """What happened at daemons in a history, in order; the checker holds the tables against it."""

    ran: list[tuple[float, str, Key]] = field(default_factory=list)
    acknowledged: list[tuple[str, Report]] = field(default_factory=list)
    """What counts: with a report that doesn't, its daemon hears in the same message that the attempt is not its own."""
    refused: set[tuple[str, Key]] = field(default_factory=set)
    commands: dict[UUID, SpawnTask] = field(default_factory=dict)


class SimulatedDaemon:
    """What is kept on its disk stands here; `run` is one life of its process."""

    def __init__(
        self, name: str, capacity: int, rng: Random, seen: Seen, plan: Plan, failing: float, delivering: Delivering
    ) -> None:
        self.name, self.capacity = name, capacity
        self._delivering = delivering
        self._rng, self._seen, self._plan, self._failing = rng, seen, plan, failing
        self._pace = rng.choice([1, 1, 3])
        self._journal: dict[int, Report] = {}
        self._in_hand: set[Key] = set()
        self._ended: dict[Key, None] = {}
        self._seq = 0
        self._working: dict[Key, asyncio.Task[None]] = {}
        self._why_cancelled: dict[Key, str] = {}
        self._channel: MessageChannel | None = None

    def lose_disk(self) -> None:
        """Its journal is gone. Reports are numbered from the clock on, so that no number comes twice all the same."""
        self._journal, self._in_hand, self._ended = {}, set(), {}
        self._seq = self._first_seq()

    def _first_seq(self) -> int:
        return int(asyncio.get_running_loop().time() * 1_000_000)

    @property
    def quiet(self) -> bool:
        """Whether nothing is in hand, and all that was said has been heard."""
        return not self._in_hand and not self._journal

    async def run(self, bus: Bus) -> None:
        """Live until cancelled: then the process is dead, and what it had in hand with it."""
        self._channel = bus.channel("daemons", f"daemon/{self.name}", identity=self.name.encode())
        self._working, self._why_cancelled = {}, {}
        interrupted = sorted(self._in_hand)
        await self._say([self._hello()])
        for task, attempt in interrupted:
            await self._report(TaskInterrupted(seq=self._next(), task=task, attempt=attempt, reason="restarted"))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat())
                group.create_task(self._resend())
                group.create_task(self._receive(group))
        finally:
            self._channel.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(2)
            await self._say([Heartbeat(daemon=self.name, running=self._running())])

    async def _resend(self) -> None:
        while True:
            await asyncio.sleep(2 + self._rng.random())
            await self._say([self._journal[seq] for seq in sorted(self._journal)])

    async def _receive(self, group: asyncio.TaskGroup) -> None:
        assert self._channel is not None
        while True:
            topic, _, body = await self._channel.receive()
            if topic == b"commands":
                for command in COMMANDS.decode(body):
                    await self._on_command(command, group)
                continue
            for reply in REPORT_REPLIES.decode(body):
                match reply:
                    case Ack():
                        for seq in reply.seqs:
                            if report := self._journal.pop(seq, None):
                                self._seen.acknowledged.append((self.name, report))
                    case NotYours():
                        self._forget((reply.task, reply.attempt))
                    case Identify():
                        await self._say([self._hello(), *self._journal.values()])

    async def _on_command(self, command: object, group: asyncio.TaskGroup) -> None:
        match command:
            case SpawnTask():
                key = (command.task, command.attempt)
                if key in self._in_hand or key in self._ended:
                    return
                self._in_hand.add(key)
                self._seen.commands[command.task] = command
                await self._report(TaskAccepted(seq=self._next(), task=key[0], attempt=key[1]))
                self._working[key] = group.create_task(self._work(command, key))
            case CancelTask():
                key = (command.task, command.attempt)
                if key in self._working and key not in self._why_cancelled:
                    self._why_cancelled[key] = command.reason
                    asyncio.get_running_loop().call_soon(self._working[key].cancel)  # after it has begun

    async def _work(self, command: SpawnTask, key: Key) -> None:
        try:
            end = await self._agent(command, key)
        except asyncio.CancelledError:
            reason = self._why_cancelled.get(key)
            if reason is None:
                raise  # the whole daemon dies
            end = TaskInterrupted(seq=self._next(), task=key[0], attempt=key[1], reason=reason, cancelled=True)
        self._working.pop(key, None)
        if key in self._in_hand:
            await self._report(end)

    async def _agent(self, command: SpawnTask, key: Key) -> Report:
        task, attempt = key
        rng = self._rng
        await asyncio.sleep(rng.uniform(0.05, 1))
        self._seen.ran.append((asyncio.get_running_loop().time(), self.name, key))
        branch = command.target_branch or f"{command.branch}@{self.name}"
        await self._report(TaskStarted(seq=self._next(), task=task, attempt=attempt, branch=branch))
        first = 0
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(self._pace * rng.expovariate(1 / 4))
            lines = tuple(f"{self.name} line {n}" for n in range(rng.randrange(1, 5)))
            await self._report(
                OutputBatch(
                    seq=self._next(), task=task, attempt=attempt, directive=command.directive, first=first, lines=lines
                )
            )
            first += len(lines)
        await asyncio.sleep(self._pace * rng.expovariate(1 / 3))
        if command.kind == "plan":
            good = await self._plan(command)
        else:
            good = command.kind != "step" or rng.random() >= self._failing
        if not good:
            return TaskFailed(seq=self._next(), task=task, attempt=attempt, reason="it went wrong", exit_code=1)
        result = await self._delivering.carry_out(command) if command.delivery else None
        if command.kind == "step":
            self._delivering.forge.branches[branch] = frozenset({branch})
        return TaskSucceeded(
            seq=self._next(),
            task=task,
            attempt=attempt,
            branch=branch,
            head="0" * 40,
            outcome=f"did {command.name}",
            result=result,
        )

    def _forget(self, key: Key) -> None:
        self._seen.refused.add((self.name, key))
        self._in_hand.discard(key)
        self._ended[key] = None
        if working := self._working.pop(key, None):
            self._why_cancelled[key] = "not ours"
            working.cancel()
        for seq in [s for s, r in self._journal.items() if (r.task, r.attempt) == key]:
            del self._journal[seq]

    async def _report(self, report: Report) -> None:
        key = (report.task, report.attempt)
        if key not in self._in_hand:
            return
        self._journal[report.seq] = report
        if isinstance(report, TaskSucceeded | TaskFailed | TaskInterrupted):
            self._in_hand.discard(key)
            self._ended[key] = None
        await self._say([report])

    async def _say(self, reports: Sequence[msgspec.Struct]) -> None:
        if reports and self._channel is not None:
            await self._channel.send("daemon.report", b"reports", REPORTS.encode(reports))  # type: ignore[arg-type]

    def _hello(self) -> Hello:
        return Hello(
            daemon=self.name, owner="default", capacity=self.capacity, agents=("shell",), running=self._running()
        )

    def _running(self) -> tuple[Running, ...]:
        return tuple(Running(task=t, attempt=n) for t, n in sorted(self._in_hand) if (t, n) in self._working)

    def _next(self) -> int:
        self._seq += 1
        return self._seq
