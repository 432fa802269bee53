"""One attempt's life: workspace, agent, commit, push, and how it ended."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Protocol
from uuid import UUID

from services.daemon import agents
from services.daemon.git import GitError
from services.daemon.output import Output
from services.daemon.processes import Group
from services.daemon.workspaces import WorkspaceFailed, Workspaces
from shared.messages.commands import SpawnTask
from shared.messages.reports import (
    OutputBatch,
    Report,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)

MOST_FILES = 2000
REASON_LETTERS = 4000


class Reporter(Protocol):
    """What an attempt needs of its daemon."""

    def next_seq(self) -> int:
        """A number for a report."""

    def report(self, report: Report) -> None:
        """Journal and send a report."""

    def runs(self, key: tuple[UUID, int], group: Group) -> None:
        """Journal the process group of an attempt."""


class Attempt:
    """Runs one SpawnTask to its end. Cancelled, its processes are ended, and then it is interrupted."""

    def __init__(self, command: SpawnTask, workspaces: Workspaces, reporter: Reporter, run_folder: Path) -> None:
        self.command = command
        self.key = (command.task, command.attempt)
        self.cancel_reason: str | None = None
        """Set before it is cancelled because somebody asked for it."""
        self.ours = True
        """False: it belongs to another daemon now. Nothing more is pushed or reported."""
        self._workspaces = workspaces
        self._reporter = reporter
        self._run_folder = run_folder
        self._output = Output()
        self._lines = 0
        self._running: asyncio.Task[Report] | None = None
        self._cancelled = False

    def start(self) -> None:
        """Begin to run."""
        self._running = asyncio.create_task(self.run())

    def cancel(self) -> None:
        """End it. A second time changes nothing: ending its processes isn't to be disturbed."""
        if self._running is not None and not self._cancelled:
            self._cancelled = True
            self._running.cancel()

    async def ended(self) -> Report:
        """Wait for its end; the report that says how."""
        assert self._running is not None
        try:
            return await asyncio.shield(self._running)
        except asyncio.CancelledError:
            if not self._running.done():
                raise  # the waiting was cancelled, not the attempt
            return self.interrupted()  # before its first step

    async def run(self) -> Report:
        """Run it; the report that says how it ended. Its processes and files are still to be removed by `clean`."""
        try:
            async with asyncio.timeout(self.command.timeout_seconds):
                return await self._work()
        except asyncio.CancelledError:
            return self.interrupted()
        except TimeoutError:
            return self.failed(f"not done after {self.command.timeout_seconds:g} s: ended")
        except agents.AgentFailed as error:
            return self.failed(str(error), permanent=True)
        except WorkspaceFailed as error:
            return self.failed(str(error), permanent=error.permanent)
        except (GitError, OSError) as error:
            return self.failed(str(error))

    async def clean(self) -> None:
        """Remove its files."""
        await self._workspaces.discard(self.command)
        await asyncio.to_thread(shutil.rmtree, self._run_folder, True)

    def interrupted(self) -> TaskInterrupted:
        """The report that it was stopped, and why."""
        return TaskInterrupted(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            reason="the daemon stops" if self.cancel_reason is None else self.cancel_reason or "cancelled",
            cancelled=self.cancel_reason is not None,
        )

    async def _work(self) -> Report:
        command = self.command
        native = command.agent == "native"
        if not native:
            agents.script(command)  # what can't run at all needs no workspace
        workspace = await self._workspaces.make(command)

        def started(group: Group | None = None) -> None:
            if group is not None:
                self._reporter.runs(self.key, group)
            report = TaskStarted(
                seq=self._reporter.next_seq(), task=command.task, attempt=command.attempt, branch=workspace.branch
            )
            self._reporter.report(report)

        if native:
            started()
        else:
            code = await agents.run(command, self._run_folder, workspace.folder, self._output, self._said, started)
            if code:
                return self.failed(f"the agent ended with {_ending(code)}", code=code)
        if not workspace.branch or workspace.cache is None:
            return self._succeeded()
        work = await self._workspaces.commit(workspace, command)
        changed, _ = await asyncio.gather(
            self._workspaces.changed(workspace, work), self._workspaces.push(workspace, work)
        )
        return self._succeeded(workspace.branch, work.head, changed)

    def _said(self, lines: list[str]) -> None:
        command = self.command
        self._reporter.report(
            OutputBatch(
                seq=self._reporter.next_seq(),
                task=command.task,
                attempt=command.attempt,
                directive=command.directive,
                first=self._lines,
                lines=tuple(lines),
            )
        )
        self._lines += len(lines)

    def _succeeded(
        self, branch: str | None = None, head: str | None = None, changed: tuple[str, ...] = ()
    ) -> TaskSucceeded:
        return TaskSucceeded(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            branch=branch,
            head=head,
            outcome=self._output.outcome(),
            files_changed=changed[:MOST_FILES],
        )

    def failed(self, reason: str, code: int | None = None, permanent: bool = False) -> TaskFailed:
        """The report that it ended badly, and why."""
        return TaskFailed(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            reason=reason[:REASON_LETTERS].replace("\0", ""),
            exit_code=code,
            tail=self._output.tail(),
            permanent=permanent,
        )


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
