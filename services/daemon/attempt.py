"""One attempt's life: workspace, setup, rounds of the agent and its check, commit, push, and how it ended."""

from __future__ import annotations

import asyncio
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

import structlog

from services.daemon import cgroups, rounds
from services.daemon.agents import environment
from services.daemon.agents.adapter import AgentFailed, Assignment
from services.daemon.agents.registry import SIGN_IN, Registry, adapter
from services.daemon.cgroups import Cgroups
from services.daemon.delivery.delivering import Delivering
from services.daemon.git import GitError
from services.daemon.masking import Mask
from services.daemon.output import Log
from services.daemon.processes import Group
from services.daemon.rounds import Again, Over, Told, Well
from services.daemon.running import Ended, Place, Run
from services.daemon.watchdogs import Limits
from services.daemon.workspaces import Workspace, WorkspaceFailed, Workspaces
from shared.config import Settings
from shared.config.agents import AgentSettings
from shared.domain.delivery import Delivered, Result
from shared.messages.commands import SpawnTask
from shared.messages.reports import (
    OutputBatch,
    Report,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)

log = structlog.get_logger()

MOST_FILES = 2000
REASON_LETTERS = 4000
NATIVE = "native"


class Reporter(Protocol):
    """What an attempt needs of its daemon."""

    def next_seq(self) -> int:
        """A number for a report."""

    def report(self, report: Report) -> None:
        """Journal and send a report."""

    def runs(self, key: tuple[UUID, int], group: Group) -> None:
        """Journal the process group of an attempt."""


@dataclass(frozen=True)
class Machine:
    """What all attempts on one daemon share."""

    settings: Settings
    registry: Registry
    workspaces: Workspaces
    cgroups: Cgroups


class Attempt:
    """Runs one SpawnTask to its end. Cancelled, its processes are ended, and then it is interrupted."""

    def __init__(self, command: SpawnTask, machine: Machine, reporter: Reporter, run_folder: Path) -> None:
        self.command = command
        self.key = (command.task, command.attempt)
        self.cancel_reason: str | None = None
        """Set before it is cancelled because somebody asked for it."""
        self.ours = True
        """False: it belongs to another daemon now. Nothing more is pushed or reported."""
        self._machine = machine
        self._workspaces = machine.workspaces
        self._reporter = reporter
        self._run_folder = run_folder
        self._log = Log(run_folder, Mask([command.token]), machine.settings.output_bytes)
        self._cgroup: Path | None = None
        self._run: Run | None = None
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
        except AgentFailed as error:
            return self.failed(str(error), permanent=True)
        except WorkspaceFailed as error:
            return self.failed(str(error), permanent=error.permanent)
        except (GitError, OSError) as error:
            return self.failed(str(error))

    async def clean(self) -> None:
        """Remove its files."""
        await self._workspaces.discard(self.command)
        await asyncio.to_thread(shutil.rmtree, self._run_folder, True)
        if self._cgroup is not None:
            cgroups.remove(self._cgroup)

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
        agent = None if command.agent == NATIVE else self._machine.registry.settings(command.agent)
        self._run_folder.mkdir(parents=True, exist_ok=True)
        if command.delivery is not None:
            return await self._deliver(agent)
        workspace = await self._workspaces.make(command)
        if agent is None:
            self._started(workspace)
        elif over := await self._rounds(workspace, agent, command.prompt):
            return self.failed(over.reason, over.exit_code, over.permanent)
        if not workspace.branch or workspace.cache is None:
            return self._succeeded()
        work = await self._workspaces.commit(workspace, command)
        changed, _ = await asyncio.gather(
            self._workspaces.changed(workspace, work), self._workspaces.push(workspace, work)
        )
        return self._succeeded(workspace.branch, work.head, changed)

    async def _deliver(self, agent: AgentSettings | None) -> Report:
        """Deliver; the agent, where there is one, resolves what conflicts."""
        command, branch = self.command, self.command.target_branch or ""
        self._started(Workspace(self._run_folder, branch=branch))

        async def resolve(worktree: Path, prompt: str) -> None:
            assert agent is not None
            workspace = Workspace(worktree, branch=branch)
            if over := await self._rounds(workspace, agent, f"{command.prompt}\n\n{prompt}"):
                raise AgentFailed(over.reason)

        def say(line: str) -> None:
            self._said([line])

        resolver = None if agent is None else resolve
        result = await Delivering(command, self._machine.settings, self._workspaces, say, resolver).carry_out()
        if isinstance(result, Delivered):
            return self._succeeded(result.branch, result.head or None, result=result)
        return self._succeeded(result=result)

    async def _rounds(self, workspace: Workspace, agent: AgentSettings, prompt: str) -> Over | None:
        """Run the agent until it did well (None) or the attempt is over."""
        settings = self._machine.settings
        name = f"{self.command.task.hex}-{self.command.attempt}"
        memory = settings.agent_memory_mib and settings.agent_memory_mib << 20
        self._cgroup = self._machine.cgroups.make(name, memory)
        place = Place(
            task=self.command.task,
            attempt=self.command.attempt,
            worktree=workspace.folder,
            cgroup=self._cgroup,
            nice=settings.nice,
            memory_bytes=memory,
        )
        session, resumed = self.command.resume_session, 0
        try:
            while True:
                ended = await self._round(workspace, place, agent, prompt, session)
                session = ended.session or session
                told = Told(
                    agent=self.command.agent,
                    speaks=adapter(agent).speaks,
                    resumable=session is not None,
                    resumed=resumed,
                    sign_in=SIGN_IN.get(agent.kind, ""),
                )
                match rounds.after(ended, told):
                    case Well():
                        return None
                    case Again(prompt, why):
                        log.info("agent resumed", why=why)
                        resumed += 1
                    case Over() as over:
                        return over
        finally:
            self._log.finish()
            if lines := self._log.take():
                self._said(lines)

    async def _round(
        self, workspace: Workspace, place: Place, agent: AgentSettings, prompt: str, session: str | None
    ) -> Ended:
        settings = self._machine.settings
        spoken = adapter(agent)
        launch = spoken.start(
            Assignment(
                kind=self.command.kind,
                prompt=prompt,
                session=session or str(self.command.task),
                resumes=session is not None,
                worktree=workspace.folder,
                folder=self._run_folder,
                settings=agent,
                tool_seconds=settings.tool_seconds,
            )
        )
        surroundings = environment.build(self.command, agent, os.environ, launch.environment)
        self._run = Run(
            place=place,
            adapter=spoken,
            limits=Limits(
                stall_seconds=settings.stall_seconds,
                tool_seconds=settings.tool_seconds,
                exit_seconds=settings.exit_seconds,
            ),
            log=self._log,
            on_started=lambda group: self._started(workspace, group),
            on_lines=self._said,
        )
        return await self._run.to_its_end(launch, surroundings)

    def _started(self, workspace: Workspace, group: Group | None = None) -> None:
        if group is not None:
            self._reporter.runs(self.key, group)
        report = TaskStarted(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            branch=workspace.branch,
        )
        self._reporter.report(report)

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
        self,
        branch: str | None = None,
        head: str | None = None,
        changed: tuple[str, ...] = (),
        result: Result | None = None,
    ) -> TaskSucceeded:
        return TaskSucceeded(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            branch=branch,
            head=head,
            outcome=self._log.outcome(),
            files_changed=changed[:MOST_FILES],
            result=result,
        )

    def failed(self, reason: str, code: int | None = None, permanent: bool = False) -> TaskFailed:
        """The report that it ended badly, and why."""
        return TaskFailed(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            reason=reason[:REASON_LETTERS].replace("\0", ""),
            exit_code=code,
            tail=self._log.tail(),
            permanent=permanent,
        )
