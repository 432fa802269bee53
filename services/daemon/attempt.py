"""One attempt's life: workspace, setup, rounds of the agent and its check, commit, push, and how it ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from uuid import UUID

import msgspec
import structlog

from services.daemon.agents.adapter import AgentFailed
from services.daemon.agents.registry import TAKE_A_MODEL, Registry
from services.daemon.delivery.delivering import Delivering
from services.daemon.delivery.proposing import fit_for_a_forge
from services.daemon.delivery.scripts import Scripts
from services.daemon.disk import folders
from services.daemon.git.command import GitError, reaching
from services.daemon.git.resolving import ROUNDS, notice, sent_back
from services.daemon.processes.cgroups import Cgroups
from services.daemon.processes.tree import Group
from services.daemon.reporter import AttemptHost, Reporter
from services.daemon.runs import decisions
from services.daemon.runs.bases import Bases
from services.daemon.runs.confinement import Confinement
from services.daemon.runs.conversation import Conversation, Heard
from services.daemon.runs.decisions import Over
from services.daemon.runs.output import Log
from services.daemon.runs.run import Place
from services.daemon.sandbox.sandbox import Sandbox, SandboxMissing
from services.daemon.sandbox.views import Views
from services.daemon.workspaces import leftovers, repository, stand_in, work
from services.daemon.workspaces.elsewhere import RepositoryElsewhere
from services.daemon.workspaces.repository import RepositorySettings, RepositoryUnreadable
from services.daemon.workspaces.resolving import conclude
from services.daemon.workspaces.untracked import Carried
from services.daemon.workspaces.work import Worked
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.config import Settings
from shared.config.agents import AgentSettings
from shared.domain.delivery import Delivered
from shared.domain.masking import Mask, of_url, secrets
from shared.messages.commands import SpawnTask
from shared.messages.reports import Report

log = structlog.get_logger()

NATIVE = "native"
KEEP_SECONDS = 5.0
UNTOUCHED = "untouched"
"""The part of an attempt that checks its base branch."""
SESSIONS = "sessions"
"""Where, below the daemon's folder, agents' sessions lie: a folder a task."""


@dataclass(frozen=True)
class Machine:
    """What all attempts on one daemon share."""

    name: str
    settings: Settings
    registry: Registry
    workspaces: Workspaces
    cgroups: Cgroups
    carried: Carried
    sandbox: Sandbox
    views: Views
    git_over_link: Callable[[SpawnTask], dict[str, str]] | None = None
    """Where its cluster is on another machine: the settings with which git reaches a command's repository."""
    repositories: dict[str, RepositorySettings] = field(default_factory=dict)
    """What repositories say of themselves, by the commit that says it."""
    bases: Bases = field(default_factory=Bases)
    """What is known of base branches whose check fails before anything was changed."""


class Attempt:
    """Runs one SpawnTask to its end. Cancelled, its processes are ended, and then it is interrupted."""

    def __init__(self, command: SpawnTask, machine: Machine, daemon: AttemptHost, run_folder: Path) -> None:
        self.command = command
        self.key = (command.task, command.attempt)
        self.cancel_reason: str | None = None
        """Set before it is cancelled because somebody asked for it."""
        self.ours = True
        """False: it belongs to another daemon now. Nothing more is pushed or reported."""
        self._machine = machine
        self._max_seconds = machine.settings.task_seconds
        self._workspaces = machine.workspaces
        self._daemon = daemon
        self._run_folder = run_folder
        self.mask = Mask(self._secrets())
        """Takes out of a text what nobody outside may see."""
        self._log = Log(run_folder, self.mask.all, machine.settings.output_bytes)
        self._reporter = Reporter(command, daemon, self._log)
        self._confinement = Confinement(
            command,
            machine.settings,
            machine.sandbox,
            machine.views,
            machine.cgroups,
            run_folder,
            lambda line: self._reporter.lines([line]),
        )
        self._conversation: Conversation | None = None
        self._workspace: Workspace | None = None
        self._work_of: Worked | None = None
        self._base: str | None = None
        """The newest commit of the base branch that the work is built on."""
        self._told: set[UUID] = set()
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

    def broke(self) -> Report:
        """The report that the daemon itself could not run it."""
        return self._reporter.failed("the daemon could not run it: an error of its own, see its log")

    async def ended(self) -> Report:
        """Wait for its end; the report that says how."""
        assert self._running is not None
        try:
            return await asyncio.shield(self._running)
        except asyncio.CancelledError:
            if not self._running.done():
                raise  # the waiting was cancelled, not the attempt
            return self._reporter.interrupted(self.cancel_reason)  # before its first step

    async def run(self) -> Report:
        """Run it; the report that says how it ended. Its processes and files are still to be removed by `clean`."""
        try:
            async with asyncio.timeout(self._max_seconds):
                return await self._work()
        except asyncio.CancelledError:
            return msgspec.structs.replace(
                self._reporter.interrupted(self.cancel_reason), branch=await self._keep_in_time()
            )
        except TimeoutError:
            return self._reporter.failed(f"not done after {self._max_seconds:g} s: ended")
        except (AgentFailed, RepositoryUnreadable, SandboxMissing) as error:
            return self._reporter.failed(str(error), permanent=True)
        except RepositoryElsewhere as error:
            return self._reporter.over(Over(reason=str(error), blocked=True), None)
        except WorkspaceFailed as error:
            return self._reporter.failed(str(error), permanent=error.permanent)
        except (GitError, OSError) as error:
            return self._reporter.failed(str(error))

    async def clean(self) -> None:
        """Remove its files and what held its programs."""
        await self._confinement.close()
        await self._workspaces.discard(self.command)
        await asyncio.to_thread(folders.remove, self._run_folder)

    def _secrets(self) -> list[str]:
        given = [agent.environment for agent in self._machine.settings.agents.values()]
        known = [secret for one in (os.environ, *given) for secret in secrets(one)]
        return [self.command.token, self.command.git_token, *of_url(self.command.repository_url), *known]

    async def _work(self) -> Report:
        command = self.command
        agent = None if command.agent == NATIVE else self._machine.registry.settings(command.agent)
        self._run_folder.mkdir(parents=True, exist_ok=True)
        if self._machine.git_over_link is not None:
            reaching.set(self._machine.git_over_link(command))
        if command.delivery is not None:
            return await self._deliver(agent)
        workspace = self._workspace = await self._workspaces.make(command, lambda line: self._log.add((line,)))
        self._base = await self._workspaces.base_of(workspace, command)
        settings = await repository.of(workspace.cache, command.base_branch, self._machine.repositories)
        if command.unchecked:
            settings = msgspec.structs.replace(settings, check=None)
        if agent is not None:
            agent = self._with_model(self._instead(settings) or agent)
        if workspace.stopped is not None and (agent is None or agent.kind == "shell"):
            raise WorkspaceFailed(f"{workspace.stopped}: give the directive an agent that can resolve it", True)
        if agent is None:
            self._reporter.started(workspace.branch)
            return await self._delivered(workspace)
        agent = await self._confinement.ready(settings, agent)
        await self._bring(workspace, settings)
        if over := await self._work_with(workspace, agent, settings):
            return self._reporter.over(over, await self._keep(workspace))
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
        self._reporter.agent = wanted
        return agent

    def _with_model(self, agent: AgentSettings) -> AgentSettings:
        """The agent with the model that its step asks for, where it takes one."""
        model = self.command.model
        if model is None:
            return agent
        if agent.kind not in TAKE_A_MODEL:
            self._log.add((f"[{self.command.agent} takes no model from makima: {model!r} has no effect]",))
        return msgspec.structs.replace(agent, model=model)

    async def _bring(self, workspace: Workspace, settings: RepositorySettings) -> None:
        """Take along the untracked files of the step that this one starts from, where that ran here."""
        start = self.command.start_from
        if start is None or not settings.copy_files:
            return
        brought = await asyncio.to_thread(self._machine.carried.bring, workspace.folder, start, settings.copy_files)
        if brought:
            if workspace.ref and settings.setup is None:
                await self._worked(workspace).begun()
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
            resolved, problems = await conclude(self._worked(workspace), stopped, left)
            if not problems:
                await self._workspaces.checkouts(command).record(stopped, resolved)
                return None
            told = f"{sent_back(problems, stopped, left)}\nIt belonged to this task:\n\n{command.prompt}"
        return Over(reason=f"{stopped}; the agent's resolution was refused: {'; '.join(problems)}")

    async def _converse(
        self, workspace: Workspace, agent: AgentSettings, command: SpawnTask, repository: RepositorySettings
    ) -> Over | None:
        """Run the agent in a workspace until it did well (None), or the attempt is over."""
        settings = self._machine.settings
        resumes = command.resume_session is not None and command.session_daemon in (None, self._machine.name)
        before = self._conversation
        self._conversation = Conversation(
            command=command,
            agent=agent,
            settings=settings,
            repository=repository,
            place=await self._place_of(workspace),
            folder=self._run_folder,
            sessions=self._workspaces.folder / SESSIONS / command.task.hex,
            log=self._log,
            work=self._worked(workspace) if workspace.ref else None,
            heard=Heard(
                started=lambda group, session: self._began(workspace, group, session),
                lines=self._reporter.lines,
                usage=self._reporter.spent,
                delivered=self._reporter.message_delivered,
            ),
            untouched=self._untouched(workspace) or "",
            bases=self._machine.bases,
            elsewhere=self._elsewhere,
            session=command.resume_session if resumes else None,
            resumes=resumes,
            before=(before.cost_usd, before.tokens) if before else (0.0, 0),
        )
        self._reporter.talk = self._conversation
        return await self._conversation.to_its_end()

    def _untouched(self, workspace: Workspace) -> str | None:
        """The commit of the base branch at which it begins, where no planning has looked at that."""
        if self.command.kind == "plan":
            return workspace.start if self.command.start_from is None else None
        return self._base if self.command.base_unjudged else None

    @asynccontextmanager
    async def _elsewhere(self, commit: str) -> AsyncIterator[Place]:
        """A workspace of the attempt's at a commit, beside its first. Raises WorkspaceFailed and GitError."""
        workspace = await self._workspaces.checkout(self.command, commit, UNTOUCHED)
        try:
            yield await self._place_of(workspace, UNTOUCHED)
        finally:
            await self._workspaces.drop(self.command, UNTOUCHED)

    async def _place_of(self, workspace: Workspace, part: str = "") -> Place:
        """Where the agent works; a remote that its sandbox doesn't show has a stand-in there. Raises GitError."""
        place, url = self._confinement.place(workspace.folder, workspace.cache, part), self.command.repository_url
        if workspace.borrowed:
            view = replace(place.view, readable=(*place.view.readable, *workspace.borrowed))
            place = replace(place, view=view)
        if workspace.cache is None or url is None or not place.sandbox.private:
            return place
        made = await stand_in.make_all(self._run_folder / part / "remotes", workspace)
        view = replace(place.view, writable=(*place.view.writable, *made.values()))
        return replace(place, view=view, environment={**place.environment, **stand_in.leading_to(made)})

    def _began(self, workspace: Workspace, group: Group, session: str | None) -> None:
        self._daemon.runs(self.key, group)
        self._reporter.started(workspace.branch, session)

    async def _delivered(self, workspace: Workspace) -> Report:
        """Commit and push; the report of success."""
        if not workspace.branch or workspace.cache is None:
            return self._reporter.succeeded()
        worked = self._worked(workspace)
        done = worked.sealed or await worked.gather()
        talk = self._conversation
        if talk is not None and talk.denied and done.head == workspace.start:
            return self._reporter.over(decisions.denied(self.command.agent, talk.agent.kind, talk.denied), None)
        missing = partial(self._workspaces.submodules_missing, self.command)
        commits, _ = await asyncio.gather(work.commits(workspace, done), work.push_to_remote(worked, done, missing))
        notes = done.notes if done.head != workspace.start else ("nothing changed", *done.notes)
        if done.notes:
            self._reporter.lines([f"[{note}]" for note in done.notes])
        return self._reporter.succeeded(
            workspace.branch, done.head, done.files, commits=commits, base=self._base, notes=notes
        )

    def _worked(self, workspace: Workspace) -> Worked:
        """Whose work is whose in the attempt's workspace."""
        if self._work_of is None or self._work_of.workspace is not workspace:
            settings = self._machine.settings
            limits = leftovers.Limits(
                files=settings.leftover_files,
                bytes=settings.leftover_mib << 20,
                allowed=settings.leftover_credentials,
                large_bytes=round(settings.max_large_files_gib * 2**30),
            )
            self._work_of = Worked.of(workspace, self.command, limits, self.mask.finds)
        return self._work_of

    async def _deliver(self, agent: AgentSettings | None) -> Report:
        """Deliver; the agent, where there is one, resolves what conflicts."""
        command, branch = self.command, self.command.target_branch or ""
        self._reporter.started(branch)

        cache = self._workspaces.cache(command)

        async def confined(agent: AgentSettings) -> AgentSettings:
            own = await repository.of(cache, command.base_branch, self._machine.repositories)
            return await self._confinement.ready(own, agent)

        async def place(folder: Path, part: str) -> Place:
            await confined(agent or AgentSettings(kind="shell"))
            return self._confinement.place(folder, cache, part)

        async def resolve(worktree: Path, prompt: str) -> None:
            assert agent is not None
            asked = msgspec.structs.replace(command, prompt=f"{command.prompt}\n\n{prompt}", resume_session=None)
            workspace = self._workspaces.beside(command, worktree)
            over = await self._converse(workspace, await confined(agent), asked, RepositorySettings())
            if over is not None:
                raise AgentFailed(over.reason)

        def say(line: str) -> None:
            self._reporter.lines(self.mask.all([line]))

        resolver = None if agent is None else resolve
        settings, free_slots = self._machine.settings, self._daemon.free_slots
        command = fit_for_a_forge(command, self.mask)
        scripts = Scripts(command, place, self.mask.all, settings.tool_seconds)
        delivering = Delivering(command, settings, self._workspaces, scripts.run, say, resolver, free_slots)
        result = await delivering.carry_out()
        if isinstance(result, Delivered):
            return self._reporter.succeeded(result.branch, result.head or None, result=result)
        return self._reporter.succeeded(result=result)

    async def _keep(self, workspace: Workspace) -> str | None:
        """Commit and push what an agent did that will be resumed; the branch, or None when there is nothing to keep."""
        if self._conversation is None or self._conversation.session is None:
            return None
        if self.command.kind != "step" or not workspace.branch or workspace.cache is None:
            return None
        try:
            worked = self._worked(workspace)
            done = await worked.gather()
            if done.head == workspace.start:
                return None
            await work.push_to_remote(worked, done)
        except (WorkspaceFailed, GitError) as error:
            log.warning("work not kept", error=str(error))
            return None
        return workspace.branch

    async def _keep_in_time(self) -> str | None:
        """The same when the daemon stops, which doesn't wait long."""
        if self._workspace is None or not self.ours or self.cancel_reason is not None:
            return None
        try:
            async with asyncio.timeout(KEEP_SECONDS):
                return await self._keep(self._workspace)
        except TimeoutError:
            log.warning("work not kept", error=f"not pushed after {KEEP_SECONDS:g} s")
            return None
