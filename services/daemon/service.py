"""The daemon's life: one connection to the broker, a task an attempt, a journal behind every report."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections import deque
from uuid import UUID

import structlog
import zmq.asyncio

from services.daemon import agents
from services.daemon.git import GitFailed
from services.daemon.journal import Journal
from services.daemon.workspaces import WorkspaceFailed, Workspaces
from shared.bus.channel import Channel
from shared.config import Settings
from shared.messages.commands import CancelTask, SpawnTask
from shared.messages.frames import COMMANDS, REPORT_REPLIES, REPORTS, FrameUnreadable
from shared.messages.reports import (
    Ack,
    AnyReport,
    Goodbye,
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
from shared.service.process import ready

log = structlog.get_logger()

RESEND_SECONDS = 2.0
OUTCOME_LETTERS = 2000
TAIL_LINES = 40
AGENTS = ("claude", "codex")

Attempt = tuple[UUID, int]


class Daemon:
    """Runs the attempts that it is sent, at most one of each."""

    def __init__(
        self, settings: Settings, channel: Channel, journal: Journal, workspaces: Workspaces, name: str
    ) -> None:
        self._settings = settings
        self._channel = channel
        self._journal = journal
        self._workspaces = workspaces
        self._name = name
        self._running: dict[Attempt, asyncio.Task[None]] = {}
        self._not_ours: set[Attempt] = set()
        self._cancelled: dict[Attempt, str] = {}

    async def hello(self) -> None:
        """Say who this is and what it runs."""
        hello = Hello(
            daemon=self._name,
            owner=self._settings.owner,
            capacity=self._settings.slots,
            labels=self._settings.labels,
            agents=("shell", *(a for a in AGENTS if shutil.which(a))),
            running=self._in_hand(),
        )
        await self._send([hello])

    async def recover(self) -> None:
        """What an earlier life had in hand is interrupted: its processes died with it, or are none of ours."""
        for task, attempt in sorted(self._journal.in_hand):
            await self.report(
                TaskInterrupted(seq=self._seq(), task=task, attempt=attempt, reason="the daemon restarted")
            )

    async def report(self, report: Report) -> None:
        """Journal a report, then send it. It is sent again until it is acknowledged."""
        self._journal.add(report)
        await self._send([report])  # type: ignore[list-item]

    async def receive(self) -> None:
        """Take in commands and acknowledgements, for ever."""
        while True:
            topic, _, body = await self._channel.receive()
            try:
                if topic == b"commands":
                    for command in COMMANDS.decode(body):
                        await self._command(command)
                else:
                    for reply in REPORT_REPLIES.decode(body):
                        await self._reply(reply)
            except FrameUnreadable as error:
                log.warning("message skipped", error=str(error))

    async def beat(self) -> None:
        """Heartbeats, and what wasn't acknowledged in time once more, for ever."""
        old: set[int] = set()
        while True:
            await asyncio.sleep(self._settings.heartbeat_seconds)
            await self._send([Heartbeat(daemon=self._name, running=self._in_hand())])
            await self._resend(old)
            old = set(self._journal.unacknowledged)

    async def stop(self) -> None:
        """End what runs, report it interrupted, say goodbye."""
        for running in list(self._running.values()):
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        await self._send([Goodbye(daemon=self._name, owner=self._settings.owner)])

    async def _resend(self, seqs: set[int]) -> None:
        for seq in sorted(seqs & set(self._journal.unacknowledged)):
            await self._send([self._journal.unacknowledged[seq]])  # type: ignore[list-item]

    async def _command(self, command: object) -> None:
        match command:
            case SpawnTask():
                key = (command.task, command.attempt)
                if key not in self._running and key not in self._not_ours:
                    self._running[key] = asyncio.create_task(self._run(command))
            case CancelTask():
                key = (command.task, command.attempt)
                if running := self._running.get(key):
                    self._cancelled[key] = command.reason
                    running.cancel()
            case _:
                log.warning("command not known here", command=type(command).__name__)

    async def _reply(self, reply: Ack | NotYours | Identify) -> None:
        match reply:
            case Ack():
                self._journal.acknowledge(reply.seqs)
            case NotYours():
                key = (reply.task, reply.attempt)
                self._not_ours.add(key)
                self._journal.forget(Running(task=reply.task, attempt=reply.attempt))
                if running := self._running.get(key):
                    running.cancel()
            case Identify():
                await self.hello()
                await self._resend(set(self._journal.unacknowledged))

    async def _run(self, command: SpawnTask) -> None:
        key = (command.task, command.attempt)
        structlog.contextvars.bind_contextvars(task=str(command.task), attempt=command.attempt)
        try:
            await self.report(TaskAccepted(seq=self._seq(), task=command.task, attempt=command.attempt))
            end = await self._work(command)
        except asyncio.CancelledError:
            end = TaskInterrupted(
                seq=self._seq(),
                task=command.task,
                attempt=command.attempt,
                reason=self._cancelled.get(key, "the daemon stops"),
                cancelled=key in self._cancelled,
            )
        finally:
            self._running.pop(key, None)
        if key not in self._not_ours:
            await self.report(end)

    async def _work(self, command: SpawnTask) -> Report:
        """One attempt from workspace to push; how it ended."""
        worktree = None
        try:
            worktree = await self._workspaces.make(command)
            await self.report(
                TaskStarted(seq=self._seq(), task=command.task, attempt=command.attempt, branch=command.branch)
            )
            tail: deque[str] = deque(maxlen=TAIL_LINES)
            if command.agent != "native":
                code = await self._agent(command, worktree, tail)
                if code:
                    return self._failed(command, f"the agent ended with {_ending(code)}", tail, code)
            return await self._deliver(command, worktree, tail)
        except agents.AgentFailed as error:
            return self._failed(command, str(error), permanent=True)
        except WorkspaceFailed as error:
            return self._failed(command, str(error), permanent=error.permanent)
        except (GitFailed, OSError) as error:
            return self._failed(command, str(error))
        finally:
            if worktree is not None:
                await asyncio.shield(self._workspaces.remove(worktree, command.repository_url))

    async def _agent(self, command: SpawnTask, worktree: object, tail: deque[str]) -> int:
        pending: set[asyncio.Task[None]] = set()
        count = 0

        def lines(batch: list[str]) -> None:
            nonlocal count
            tail.extend(batch)
            report = OutputBatch(
                seq=self._seq(),
                task=command.task,
                attempt=command.attempt,
                directive=command.directive,
                first=count,
                lines=tuple(batch),
            )
            count += len(batch)
            pending.add(task := asyncio.create_task(self.report(report)))
            task.add_done_callback(pending.discard)

        code = await agents.run(agents.script(command), worktree, agents.environment(command), lines)  # type: ignore[arg-type]
        await asyncio.gather(*pending)
        return code

    async def _deliver(self, command: SpawnTask, worktree: object, tail: deque[str]) -> Report:
        outcome = "\n".join(line for line in tail if line.strip())[-OUTCOME_LETTERS:]
        seq = self._seq
        if command.repository_url is None or command.kind == "plan":
            return TaskSucceeded(seq=seq(), task=command.task, attempt=command.attempt, outcome=outcome)
        head, changed = await self._workspaces.commit(worktree, command)  # type: ignore[arg-type]
        branch = command.target_branch or command.branch
        await self._workspaces.push(worktree, branch)  # type: ignore[arg-type]
        return TaskSucceeded(
            seq=seq(),
            task=command.task,
            attempt=command.attempt,
            branch=branch,
            head=head,
            outcome=outcome,
            files_changed=changed,
        )

    def _failed(
        self,
        command: SpawnTask,
        reason: str,
        tail: deque[str] | None = None,
        code: int | None = None,
        permanent: bool = False,
    ) -> TaskFailed:
        return TaskFailed(
            seq=self._seq(),
            task=command.task,
            attempt=command.attempt,
            reason=reason,
            exit_code=code,
            tail="\n".join(tail or ()),
            permanent=permanent,
        )

    def _in_hand(self) -> tuple[Running, ...]:
        return tuple(Running(task=task, attempt=attempt) for task, attempt in self._running)

    def _seq(self) -> int:
        return self._journal.next_seq()

    async def _send(self, reports: list[AnyReport]) -> None:
        await self._channel.send(b"reports", REPORTS.encode(reports))


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the daemon until `stop` is set."""
    name = settings.daemon_name or socket.gethostname()
    folder = settings.home / "daemons" / name
    context = zmq.asyncio.Context()
    channel = Channel(context, settings.socket("daemons"), f"daemon/{name}", identity=name.encode())
    workspaces = Workspaces(folder)
    await workspaces.remove_orphans()
    daemon = Daemon(settings, channel, Journal(folder / "journal"), workspaces, name)
    log.info("daemon starts", daemon=name, process=os.getpid())
    working = [asyncio.create_task(daemon.receive()), asyncio.create_task(daemon.beat())]
    await daemon.hello()
    await daemon.recover()
    ready()
    await stop.wait()
    await daemon.stop()
    for task in working:
        task.cancel()
    channel.close()
    context.term()
