"""One attempt's life: workspace, setup, rounds of the agent and its check, commit, push, and how it ended."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypedDict
from uuid import UUID

import msgspec
import structlog

from services.daemon import cgroups, folders, limits, repository
from services.daemon.agents import environment
from services.daemon.agents.adapter import AgentFailed
from services.daemon.agents.registry import Registry
from services.daemon.carried import Carried
from services.daemon.cgroups import Cgroups
from services.daemon.conversation import Conversation, Heard
from services.daemon.delivery.delivering import Delivering
from services.daemon.delivery.resolving import ROUNDS, conclude, notice, sent_back
from services.daemon.git import GitError
from services.daemon.masking import Mask
from services.daemon.output import Log
from services.daemon.processes import Group
from services.daemon.repository import RepositorySettings, RepositoryUnreadable
from services.daemon.rounds import Over
from services.daemon.running import Place
from services.daemon.workspaces import REMOTE_HEAD, Workspace, WorkspaceFailed, Workspaces
from shared.config import Settings
from shared.config.agents import AgentSettings
from shared.domain.delivery import Commit, Delivered, Result
from shared.messages.commands import SpawnTask
from shared.messages.reports import (
    MessageDelivered,
    OutputBatch,
    Report,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
    TaskUsage,
)

log = structlog.get_logger()

MOST_FILES = 2000
REASON_LETTERS = 4000
NATIVE = "native"


class Usage(TypedDict):
    """What an attempt took so far, as reports carry it."""

    cost_usd: float
    tokens: int
    session: str | None


class Reporter(Protocol):
    """What an attempt needs of its daemon."""

    def next_seq(self) -> int:
        """A number for a report."""

    def report(self, report: Report) -> None:
        """Journal and send a report."""

    def runs(self, key: tuple[UUID, int], group: Group) -> None:
        """Journal the process group of an attempt."""

    def free_slots(self) -> int:
        """How many more tasks this daemon could run now."""


@dataclass(frozen=True)
class Machine:
    """What all attempts on one daemon share."""

    name: str
    settings: Settings
    registry: Registry
    workspaces: Workspaces
    cgroups: Cgroups
    carried: Carried
    repositories: dict[str, RepositorySettings] = field(default_factory=dict)
    """What repositories say of themselves, by the commit that says it."""


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
        self._most_seconds = command.timeout_seconds or machine.settings.task_seconds
        self._workspaces = machine.workspaces
        self._reporter = reporter
        self._run_folder = run_folder
        self._log = Log(run_folder, Mask(self._secrets()).all, machine.settings.output_bytes)
        self._cgroup: Path | None = None
        self._conversation: Conversation | None = None
        self._told: set[UUID] = set()
        self._said_session: set[str | None] = set()
        self._lines = 0
        self._agent_instead = ""
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

    def tell(self, message: UUID, text: str) -> None:
        """Hand a person's message to its agent, once there is one."""
        if self._conversation is not None and message not in self._told:
            self._told.add(message)
            self._conversation.tell(message, text)

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
            async with asyncio.timeout(self._most_seconds):
                return await self._work()
        except asyncio.CancelledError:
            return self.interrupted()
        except TimeoutError:
            return self.failed(f"not done after {self._most_seconds:g} s: ended")
        except (AgentFailed, RepositoryUnreadable) as error:
            return self.failed(str(error), permanent=True)
        except WorkspaceFailed as error:
            return self.failed(str(error), permanent=error.permanent)
        except (GitError, OSError) as error:
            return self.failed(str(error))

    async def clean(self) -> None:
        """Remove its files."""
        await self._workspaces.discard(self.command)
        await asyncio.to_thread(folders.remove, self._run_folder)
        if self._cgroup is not None:
            await cgroups.remove(self._cgroup)

    def _secrets(self) -> list[str]:
        given = [agent.environment for agent in self._machine.settings.agents.values()]
        return [self.command.token, *(s for known in (os.environ, *given) for s in environment.secrets(known))]

    def interrupted(self) -> TaskInterrupted:
        """The report that it was stopped, and why."""
        return TaskInterrupted(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            reason="the daemon stops" if self.cancel_reason is None else self.cancel_reason or "cancelled",
            cancelled=self.cancel_reason is not None,
            **self._usage(),
        )

    async def _work(self) -> Report:
        command = self.command
        agent = None if command.agent == NATIVE else self._machine.registry.settings(command.agent)
        self._run_folder.mkdir(parents=True, exist_ok=True)
        if command.delivery is not None:
            return await self._deliver(agent)
        workspace = await self._workspaces.make(command)
        settings = await _repository(workspace, command.base_branch, self._machine.repositories)
        if agent is not None:
            agent = self._instead(settings) or agent
        if workspace.stopped is not None and (agent is None or agent.kind == "shell"):
            raise WorkspaceFailed(f"{workspace.stopped}: give the directive an agent that can resolve it", True)
        if agent is None:
            self._started(workspace)
            return await self._delivered(workspace)
        await self._bring(workspace, settings)
        if over := await self._work_with(workspace, agent, settings):
            kept = await self._keep(workspace) if self._conversation and self._conversation.session else None
            return self._over(over, kept)
        if settings.copy_files and workspace.branch:
            carried = self._machine.carried
            await asyncio.to_thread(carried.keep, workspace.folder, workspace.branch, settings.copy_files)
        return await self._delivered(workspace)

    def _instead(self, settings: RepositorySettings) -> AgentSettings | None:
        """The agent that the repository names, where nobody chose another for the directive. Raises AgentFailed."""
        wanted = settings.agent
        if wanted is None or self.command.agent_chosen or wanted == self.command.agent:
            return None
        try:
            agent = self._machine.registry.settings(wanted)
        except AgentFailed as error:
            raise AgentFailed(f"{repository.FILE} of the repository asks for the agent {wanted!r}: {error}") from None
        self.command = msgspec.structs.replace(self.command, agent=wanted)
        self._agent_instead = wanted
        return agent

    async def _bring(self, workspace: Workspace, settings: RepositorySettings) -> None:
        """Take along the untracked files of the step that this one starts from, where that ran here."""
        start = self.command.start_from
        if start is None or not settings.copy_files:
            return
        brought = await asyncio.to_thread(self._machine.carried.bring, workspace.folder, start, settings.copy_files)
        if brought:
            self._log.add((f"[taken along from {start}: {', '.join(brought)}]",))

    async def _work_with(self, workspace: Workspace, agent: AgentSettings, settings: RepositorySettings) -> Over | None:
        """Have the agent do the task, and resolve the merge first that stopped in its workspace, if one did."""
        command, stopped = self.command, workspace.stopped
        if stopped is None:
            return await self._converse(workspace, agent, command, settings)
        left = workspace.left
        told = f"First of all: {notice(stopped, left)}\nAfter that, your task:\n\n{command.prompt}"
        problems: list[str] = []
        for _ in range(ROUNDS):
            asked = msgspec.structs.replace(command, prompt=told)
            if over := await self._converse(workspace, agent, asked, settings):
                return over
            self._put_back(workspace)
            if not (problems := await conclude(workspace.folder, stopped, left)):
                return None
            told = f"{sent_back(problems, stopped, left)}\nIt belonged to this task:\n\n{command.prompt}"
        return Over(reason=f"{stopped}; the agent's resolution was refused: {'; '.join(problems)}")

    async def _converse(
        self, workspace: Workspace, agent: AgentSettings, command: SpawnTask, repository: RepositorySettings
    ) -> Over | None:
        """Run the agent in a workspace until it did well (None), or the attempt is over."""
        settings = self._machine.settings
        memory = settings.agent_memory_mib and settings.agent_memory_mib << 20
        self._cgroup = self._machine.cgroups.make(f"{command.task.hex}-{command.attempt}", memory)
        resumes = command.resume_session is not None and command.session_daemon in (None, self._machine.name)
        before = self._conversation
        self._conversation = Conversation(
            command=command,
            agent=agent,
            settings=settings,
            repository=repository,
            place=Place(
                task=command.task,
                attempt=command.attempt,
                worktree=workspace.folder,
                cgroup=self._cgroup,
                nice=settings.nice,
                memory_bytes=memory,
                limits=limits.of(settings),
            ),
            folder=self._run_folder,
            log=self._log,
            heard=Heard(
                started=lambda group, session: self._started(workspace, group, session),
                lines=self._said,
                usage=self._spent,
                delivered=self._delivered_message,
            ),
            session=command.resume_session if resumes else None,
            resumes=resumes,
            before=(before.cost_usd, before.tokens) if before else (0.0, 0),
        )
        return await self._conversation.to_its_end()

    async def _delivered(self, workspace: Workspace) -> Report:
        """Commit and push; the report of success."""
        if not workspace.branch or workspace.cache is None:
            return self._succeeded()
        self._put_back(workspace)
        work = await self._workspaces.commit(workspace, self.command)
        commits, _ = await asyncio.gather(
            self._workspaces.commits(workspace, work), self._workspaces.push(workspace, work)
        )
        return self._succeeded(workspace.branch, work.head, work.files, commits=commits)

    def _put_back(self, workspace: Workspace) -> None:
        """Undo what the agent did to what the daemon's own git reads, and say so. Raises WorkspaceFailed."""
        if changed := self._workspaces.put_back(workspace):
            self._said([f"[put back as it was, which an agent had changed: {', '.join(changed)}]"])

    async def _deliver(self, agent: AgentSettings | None) -> Report:
        """Deliver; the agent, where there is one, resolves what conflicts."""
        command, branch = self.command, self.command.target_branch or ""
        self._started(Workspace(self._run_folder, branch=branch))

        async def resolve(worktree: Path, prompt: str) -> None:
            assert agent is not None
            asked = msgspec.structs.replace(command, prompt=f"{command.prompt}\n\n{prompt}", resume_session=None)
            workspace = self._workspaces.beside(command, worktree)
            over = await self._converse(workspace, agent, asked, RepositorySettings())
            if over is not None:
                raise AgentFailed(over.reason)
            self._put_back(workspace)

        def say(line: str) -> None:
            self._said([line])

        resolver = None if agent is None else resolve
        settings, free_slots = self._machine.settings, self._reporter.free_slots
        result = await Delivering(command, settings, self._workspaces, say, resolver, free_slots).carry_out()
        if isinstance(result, Delivered):
            return self._succeeded(result.branch, result.head or None, result=result)
        return self._succeeded(result=result)

    async def _keep(self, workspace: Workspace) -> str | None:
        """Commit and push what an agent did that will be resumed; the branch, or None when there is nothing to keep."""
        if self.command.kind != "step" or not workspace.branch or workspace.cache is None:
            return None
        try:
            self._put_back(workspace)
            work = await self._workspaces.commit(workspace, self.command)
            if work.head == workspace.start:
                return None
            await self._workspaces.push(workspace, work)
        except (WorkspaceFailed, GitError) as error:
            log.warning("work not kept", error=str(error))
            return None
        return workspace.branch

    def _started(self, workspace: Workspace, group: Group | None = None, session: str | None = None) -> None:
        if group is not None:
            self._reporter.runs(self.key, group)
        if session in self._said_session:
            return
        self._said_session.add(session)
        report = TaskStarted(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            branch=workspace.branch,
            session=session,
            agent=self._agent_instead,
        )
        self._reporter.report(report)

    def _spent(self) -> None:
        seq = self._reporter.next_seq()
        self._reporter.report(TaskUsage(seq=seq, task=self.command.task, attempt=self.command.attempt, **self._usage()))

    def _usage(self) -> Usage:
        """What every report on an attempt's end carries."""
        talk = self._conversation
        if talk is None:
            return {"cost_usd": 0.0, "tokens": 0, "session": None}
        return {"cost_usd": talk.cost_usd, "tokens": talk.tokens, "session": talk.session}

    def _delivered_message(self, message: UUID, how: str) -> None:
        seq = self._reporter.next_seq()
        self._reporter.report(
            MessageDelivered(seq=seq, task=self.command.task, attempt=self.command.attempt, message=message, how=how)
        )

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
        commits: tuple[Commit, ...] = (),
    ) -> TaskSucceeded:
        return TaskSucceeded(
            seq=self._reporter.next_seq(),
            task=self.command.task,
            attempt=self.command.attempt,
            branch=branch,
            head=head,
            outcome=self._conversation.outcome if self._conversation else "",
            files_changed=changed[:MOST_FILES],
            **self._usage(),
            result=result,
            commits=commits,
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
            **self._usage(),
        )

    def _over(self, over: Over, kept: str | None) -> TaskFailed:
        failed = self.failed(over.reason, over.exit_code, over.permanent)
        return msgspec.structs.replace(failed, branch=kept, blocked=over.blocked, wait_seconds=over.wait_seconds)


async def _repository(
    workspace: Workspace, base_branch: str | None, known: dict[str, RepositorySettings]
) -> RepositorySettings:
    """The repository's settings as its base branch has them, whatever an agent made of them since.

    Raises RepositoryUnreadable.
    """
    if workspace.cache is None:
        return RepositorySettings()
    base = f"refs/remotes/origin/{base_branch}" if base_branch else REMOTE_HEAD
    try:
        commit = (workspace.cache / base).read_text().strip()
    except OSError:
        commit = ""  # packed away, or not there: git knows
    if commit not in known:
        found = await repository.read(workspace.cache, commit or base)
        if not commit:
            return found
        known[commit] = found
    return known[commit]
