"""An attempt's work with its agent: setup, then rounds of it and of the repository's check (rule 16), until done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol
from uuid import UUID

import structlog

from services.daemon.agents import belongings, environment
from services.daemon.agents.adapter import Assignment, Launch
from services.daemon.agents.events import Event, Session
from services.daemon.agents.registry import adapter, sign_in
from services.daemon.agents.shell import Shell
from services.daemon.processes import tree
from services.daemon.processes.tree import Group
from services.daemon.runs import decisions, home, red_base
from services.daemon.runs.bases import Bases
from services.daemon.runs.decisions import Afresh, Again, Over, Told, Well
from services.daemon.runs.output import Log
from services.daemon.runs.red_base import Base, Choice
from services.daemon.runs.run import Ended, Place, Run, ending
from services.daemon.runs.watchdogs import Limits
from services.daemon.sandbox.view import View
from services.daemon.workspaces.repository import RepositorySettings
from shared.config import Settings
from shared.config.agents import AgentSettings
from shared.domain.statuses import AGENT_KINDS, DeliveredAs
from shared.domain.texts import lines_of
from shared.messages.commands import SpawnTask

log = structlog.get_logger()

USAGE_SECONDS = 5.0
"""How often what it costs is said while it runs."""
ASK = "ask"


@dataclass(frozen=True)
class Heard:
    """What an attempt's owner is told meanwhile."""

    started: Callable[[Group, str | None], None]
    """A process runs, in a session if it has one; again when a session is known only later."""
    lines: Callable[[list[str]], None]
    usage: Callable[[], None]
    delivered: Callable[[UUID, DeliveredAs], None]
    """A person's message has reached the agent, and how."""


class WorkSoFar(Protocol):
    """What is the agent's work in its workspace, and what isn't."""

    async def before_setup(self) -> None:
        """A setup runs next: what is checked out stays so."""

    async def begun(self) -> None:
        """The agent begins now: what is there already is not its work."""

    async def unclaimed(self) -> str | None:
        """What to ask of the agent about new files that it said nothing of; None when there is nothing to ask."""

    async def before_check(self) -> None:
        """A check runs next: the work is what is there now."""

    async def check_failed(self) -> None:
        """The check failed, and the agent goes on: what the check wrote is not its work."""


@dataclass
class Conversation:
    """Runs the agent of one attempt. `cost_usd` and `tokens` are of all its runs together."""

    command: SpawnTask
    agent: AgentSettings
    settings: Settings
    repository: RepositorySettings
    place: Place
    folder: Path
    """Of its runs."""
    sessions: Path
    """Where the task's sessions are kept on this daemon."""
    log: Log
    heard: Heard
    work: WorkSoFar | None = None
    """None: the workspace has no repository, or nothing of it is delivered."""
    untouched: str = ""
    """The commit of the base branch that it begins at, where nobody has looked at that before; else empty."""
    bases: Bases = field(default_factory=Bases)
    """What is known of base branches whose check fails."""
    elsewhere: Callable[[str], AbstractAsyncContextManager[Place]] | None = None
    """A workspace at a commit in which nobody has worked."""
    unchecked: bool = False
    """The directive goes on without the check."""
    session: str | None = None
    """The one that goes on; empty: none is to be resumed."""
    resumes: bool = False
    """The first run continues a session of an earlier attempt."""
    outcome: str = ""
    denied: tuple[str, ...] = ()
    """What the agent was not allowed in the run that ended well."""
    before: tuple[float, int] = (0.0, 0)
    """Cost and tokens of the attempt's runs that have ended."""
    cost_usd: float = field(init=False)
    tokens: int = field(init=False)
    _messages: list[tuple[UUID, str]] = field(default_factory=list)
    _run: Run | None = None
    _group: Group | None = None
    _said_usage: float = 0.0
    _of_base: str = ""
    """What a planning is told of a check that fails on the base branch."""
    _afresh: int = 0
    """How often it was begun anew."""

    def __post_init__(self) -> None:
        self.cost_usd, self.tokens = self.before
        self._belongings = belongings.of(self.agent, environment.own_part(self.agent, os.environ))

    async def to_its_end(self) -> Over | None:
        """Until the work is done and its check passes (None), or the attempt is over."""
        if warning := self.place.sandbox.warning:
            self.log.add((f"[{warning}]",))
        try:
            self._view = await asyncio.to_thread(self._prepared)
            if over := await self._setup():
                return over
            if over := await self._before_planning():
                return over
            prompt = f"{decisions.RESUMED}\n\n{self._task}" if self.resumes else self._task
            checks, asked = 0, False
            while True:
                if over := await self._agent(prompt):
                    return over
                if self._messages:
                    prompt = self._next_message()
                    continue
                if not asked and self.session is not None and (words := await self._unclaimed()):
                    prompt, asked = words, True
                    continue
                if self.repository.check is None or self.command.kind != "step":
                    return None
                if (failed := await self._check(self.repository.check)) is None:
                    return None
                checks += 1
                if checks == 1 and (over := await self._after_failed_check()):
                    return over
                if self.unchecked:
                    return None
                if checks > self.settings.max_check_rounds or self.session is None:
                    return Over(reason=f"the check `{self.repository.check}` fails: {failed}")
                if self.work is not None:
                    await self.work.check_failed()
                prompt = decisions.check_failed(self.repository.check, self.log.tail())
        finally:
            self.log.finish()
            if lines := self.log.take():
                self.heard.lines(lines)

    def _prepared(self) -> View:
        """What the agent's runs see: beyond those of setup and check, what belongs to the agent."""
        view = self.place.view
        if not self.place.sandbox.private:
            return view
        view = home.prepare(view, self._belongings, self.sessions)
        return replace(view, readable=(*view.readable, *self.place.programs(self.agent.command or (self.agent.kind,))))

    def _environment(self, agent: AgentSettings, more: Mapping[str, str]) -> dict[str, str]:
        """What a run gets; `more` is the adapter's part."""
        given = environment.build(self.command, agent, os.environ, more)
        if not self.place.sandbox.private:
            return given
        kept = {k: v for k, v in given.items() if k not in self._belongings.unset}
        return {**kept, "HOME": str(self.place.view.home)}

    @property
    def _task(self) -> str:
        """The prompt, with what the repository adds to every plan's and step's."""
        extra = self.repository.instructions if self.command.kind in AGENT_KINDS else ""
        told = f"{self._of_base}\n\n{self.command.prompt}" if self._of_base else self.command.prompt
        return f"{told}\n\nOf this repository:\n\n{extra}" if extra else told

    def tell(self, message: UUID, text: str) -> None:
        """Tell the agent something: at once where it listens, else as its next turn."""
        if self._run is not None and self._run.tell(text):
            self._note_told(text)
            self.heard.delivered(message, DeliveredAs.WHILE_IT_RAN)
        else:
            self._messages.append((message, text))

    def _note_told(self, text: str) -> None:
        """Let the log tell what its agent was told."""
        self.log.add(f"[a person says: {line}]" for line in lines_of(text))

    def _next_message(self) -> str:
        message, text = self._messages.pop(0)
        self._note_told(text)
        self.heard.delivered(message, DeliveredAs.NEXT_TURN)
        return text

    async def _agent(self, prompt: str) -> Over | None:
        """Run the agent until it did well (None), resuming it once when it stalls or ends without a result."""
        resumed = 0
        while True:
            if (most := self.agent.max_cost_usd) is not None and self.before[0] >= most:
                spent = f"{self.before[0]:.2f} of {most:.2f} USD"
                return Over(reason=f"{self.command.agent} used up its budget: {spent}", permanent=True)
            began = self.session is None
            ended = await self._round(prompt)
            self._count(ended)
            told = Told(
                agent=self.command.agent,
                speaks=adapter(self.agent).speaks,
                resumable=self.session is not None,
                resumed=resumed,
                began=began,
                afresh=self._afresh,
                sign_in=sign_in(self.command.agent, self.agent.kind),
            )
            match decisions.after(ended, told):
                case Well():
                    self.log.finish()
                    said = ended.result.text if ended.result and ended.result.text else self.log.outcome()
                    self.denied = tuple(ended.denied)
                    self.outcome = decisions.with_denials(said, self.denied)
                    return None
                case Again(prompt, why):
                    self._note(f"{why}: resumed")
                    resumed += 1
                case Afresh(why, summary):
                    prompt = decisions.begun_anew(self._task, self.log.tail()) if summary else self._task
                    self._note(f"{why}: begun anew")
                    self.session, self.resumes, self._afresh = None, False, self._afresh + 1
                case Over() as over:
                    if over.forgets_session:
                        self.session = ""
                    return over

    def _note(self, what: str) -> None:
        log.info("agent again", why=what)
        self.log.add((f"[{what}]",))

    async def _round(self, prompt: str) -> Ended:
        spoken = adapter(self.agent)
        launch = spoken.start(
            Assignment(
                kind=self.command.kind,
                prompt=prompt,
                task_plan=self.command.task_plan,
                session=self.session or self._new_session(),
                resumes=self.session is not None,
                worktree=self.place.view.workspace,
                folder=self.folder,
                environment=self._environment(self.agent, {}),
                settings=self.agent,
                tool_seconds=self.settings.tool_seconds,
                spent_tokens=self.command.spent_tokens + self.before[1],
                max_cost_usd=self.agent.max_cost_usd and self.agent.max_cost_usd - self.before[0],
            )
        )
        most = self.agent.max_tokens and max(self.agent.max_tokens - self.before[1], 0)
        self._run = Run(
            place=replace(self.place, view=self._view),
            adapter=spoken,
            limits=self._limits(max_tokens=most),
            log=self.log,
            on_started=self._started,
            on_lines=self.heard.lines,
            on_events=self._said,
            waits_for_person=self._asks,
        )
        return await self._run.to_its_end(launch, self._environment(self.agent, launch.environment))

    def _new_session(self) -> str:
        """An id that no other of the task's sessions has."""
        return str(UUID(int=self.command.task.int ^ self.command.attempt ^ self._afresh << 32))

    def _limits(self, max_tokens: int | None = None) -> Limits:
        return Limits(
            stall_seconds=self.settings.stall_seconds,
            tool_seconds=self.settings.tool_seconds,
            exit_seconds=self.settings.exit_seconds,
            max_tokens=max_tokens,
        )

    def _started(self, group: Group) -> None:
        self._group = group
        self.heard.started(group, self.session)

    def _said(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, Session) and event.id != self.session:
                self.session = event.id
                if self._group is not None:
                    self.heard.started(self._group, event.id)
        if self._run is not None and self._run.tokens:
            self.cost_usd, self.tokens = self.before[0] + self._run.cost_usd, self.before[1] + self._run.tokens
            now = asyncio.get_running_loop().time()
            if now - self._said_usage >= USAGE_SECONDS:
                self._said_usage = now
                self.heard.usage()

    def _count(self, ended: Ended) -> None:
        """A run's cost is its own, whatever its session cost before."""
        self.before = (self.before[0] + ended.cost_usd, self.before[1] + ended.tokens)
        self.cost_usd, self.tokens = self.before

    def _asks(self) -> bool:
        """Whether a person's answer is waited for: a `makima ask` of this attempt runs."""
        found = tree.find(self.place.whose, self._group)
        return any("cli" in (line := tree.arguments(process)) and ASK in line for process in found)

    async def _setup(self) -> Over | None:
        if self.repository.setup is None:
            return None
        self.log.add((f"[setup: {self.repository.setup}]",))
        self.log.forget_tail()
        if self.work is not None:
            await self.work.before_setup()
        ended = await self._command(self.repository.setup)
        self.log.finish()
        if why := _why_not(ended):
            return decisions.setup_failed(self.repository.setup, why, self.log.tail())
        if self.work is not None:
            await self.work.begun()
        return None

    async def _before_planning(self) -> Over | None:
        """Run the check on the untouched base branch; where it fails, do what is chosen."""
        if self.command.kind != "plan" or (red := await self._red(self._ends_here)) is None:
            return None
        check, base, choice = red
        if choice == "stop":
            return self._stopped(check, base)
        self._note(f"the check fails on the base branch before anything was changed: {choice}")
        self._of_base, self.unchecked = red_base.told(choice, check, base), choice == "continue"
        return None

    async def _after_failed_check(self) -> Over | None:
        """Of a plan that somebody brought: where the check fails on the base branch, too, do what is chosen."""
        if self.command.kind != "step" or (red := await self._red(self._ends_elsewhere)) is None:
            return None
        check, base, choice = red
        self._note(f"the check fails on the base branch by itself: {choice}")
        if choice == "continue":
            self.unchecked = True
            return None
        if choice == "fix" and self._mends:
            return red_base.to_be_mended(check, base)
        return self._stopped(check, base)

    @property
    def _mends(self) -> bool:
        """Whether a step that fixes the base branch can be asked for: scripts are planned by people alone."""
        return self.command.kind == "plan" or self.agent.kind != "shell"

    async def _red(self, judge: Callable[[], Awaitable[Base]]) -> tuple[str, Base, Choice] | None:
        """The check that fails on the base branch, and what is done; None: it passes, or nobody is to look."""
        check, policy = self.repository.check, self.settings.red_base
        if check is None or not self.untouched or policy == "ignore":
            return None
        base = await self.bases.of(self.untouched, check, judge)
        if base.failed is None:
            return None
        if policy != "ask":
            return check, base, policy
        question = red_base.question(check, base, self._mends)
        return check, base, await self.bases.settled(self.command.directive, question, self._answer)

    async def _answer(self, question: str) -> str | None:
        """What a person says, who may take their time."""
        self.log.forget_tail()
        ended = await self._command(question)
        return self.log.tail() if _why_not(ended) is None else None

    def _stopped(self, check: str, base: Base) -> Over:
        if base.tail != self.log.tail():
            self.log.forget_tail()
            self.log.add(base.tail.splitlines())
        return red_base.stopped(check, base)

    async def _ends_here(self) -> Base:
        assert self.repository.check is not None
        failed = await self._check(self.repository.check)
        return Base(failed=failed, tail=self.log.tail())

    async def _ends_elsewhere(self) -> Base:
        """How the check ends in a workspace of its own; a setup that fails there tells nothing of the check."""
        assert self.elsewhere is not None
        self.log.add(("[the check fails: on the untouched base branch, too?]",))
        async with self.elsewhere(self.untouched) as place:
            log = Log(place.view.home.parent, self.log.clean, self.settings.output_bytes)
            beside = replace(self, place=place, log=log, work=None)
            failed_setup = await beside._setup()
            base = Base(failed=None) if failed_setup else await beside._ends_here()
            self.heard.lines(log.take())
            return base

    async def _unclaimed(self) -> str | None:
        return await self.work.unclaimed() if self.work is not None else None

    async def _check(self, command: str) -> str | None:
        """Run the check; why it failed, or None. Its output is the log's tail."""
        if self.work is not None:
            await self.work.before_check()
        self.log.add((f"[check: {command}]",))
        self.log.forget_tail()
        failed = _why_not(await self._command(command))
        self.log.finish()
        return f"{failed}{decisions.last_line(self.log.tail())}" if failed else None

    async def _command(self, command: str) -> Ended:
        """A command of the repository, in the agent's place and with its environment, but for its credentials."""
        run = Run(
            place=replace(self.place, access=self.place.access.without_key()),
            adapter=Shell(),
            limits=self._limits(),
            log=self.log,
            on_started=self._started,
            on_lines=self.heard.lines,
            waits_for_person=self._asks,
        )
        given = self._environment(AgentSettings(kind="shell"), {})
        return await run.to_its_end(Launch(argv=("bash", "-c", command)), given)


def _why_not(ended: Ended) -> str | None:
    if ended.stopped is not None:
        return f"was stopped: {ended.stopped}"
    return ending(ended.code) if ended.code else None
