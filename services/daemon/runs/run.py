"""One run of one program: started, read, watched, and ended with its whole process tree."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from services.daemon.agents.adapter import Adapter, Launch
from services.daemon.agents.events import Denied, Event, Problem, Result, Session, shown
from services.daemon.processes import cgroups, limits, programs, tree
from services.daemon.processes.limits import NONE, ResourceLimits
from services.daemon.processes.programs import Program
from services.daemon.processes.tree import Group, Whose
from services.daemon.runs.output import LONGEST_LINE, Lines, Log
from services.daemon.runs.watchdogs import Limits, Stop, Watch
from services.daemon.sandbox.network import OPEN, Access
from services.daemon.sandbox.sandbox import Sandbox
from services.daemon.sandbox.view import View
from shared.domain.texts import one_line

BATCH_SECONDS = 0.2
DENIED_CHARACTERS = 200
BATCH_BYTES = programs.READ_AHEAD_BYTES
LONGEST_EVENT = 8 << 20
"""A line of an agent that speaks may hold a whole file."""
PIPE_SECONDS = 1.0
"""After the exit: so long is waited for what the pipes still hold. A grandchild may hold them open for ever."""
LEFTOVER_GRACE_SECONDS = 1.0
LOOK_SECONDS = 2.0
"""How often memory and the watchdogs' times are looked at."""

_ENTER = 'for f in $CGROUP; do echo 0 >"$f"; done; unset CGROUP; '
"""Enters the control group before the program begins, so that not even its first child is outside."""


@dataclass(frozen=True)
class Place:
    """Where and as whom a program runs: what every run of one attempt has in common."""

    task: UUID
    attempt: int
    view: View
    """What its programs see, and where they start."""
    sandbox: Sandbox
    """What holds them to that."""
    access: Access = OPEN
    """What they reach of the network."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables that a run has where it doesn't say otherwise."""
    programs: Callable[[tuple[str, ...]], tuple[Path, ...]] = lambda _: ()
    """What more is read to run a program."""
    part: str = ""
    """Of the attempt, where parts of it run at the same time."""
    cgroup: Path | None = None
    nice: int = 0
    memory_bytes: int | None = None
    limits: ResourceLimits = NONE

    @property
    def whose(self) -> Whose:
        """What its processes are known by."""
        return Whose(self.task, self.attempt, self.part, self.cgroup, self.sandbox.leads)


@dataclass
class Ended:
    """How a run ended."""

    code: int = 0
    """The exit code; negative: the signal."""
    stopped: Stop | None = None
    """Why the daemon ended it, if it did."""
    result: Result | None = None
    problem: Problem | None = None
    denied: list[str] = field(default_factory=list)
    """What it asked for and was not allowed, in words, each once."""
    session: str | None = None
    tokens: int = 0
    cost_usd: float = 0.0
    out_of_memory: bool = False


@dataclass
class Run:
    """A program that runs. `on_lines` gets its output in batches, `on_events` what it says."""

    place: Place
    adapter: Adapter
    limits: Limits
    log: Log
    on_started: Callable[[Group], None]
    on_lines: Callable[[list[str]], None]
    on_events: Callable[[tuple[Event, ...]], None] = lambda _: None
    waits_for_person: Callable[[], bool] = lambda: False
    """Whether the agent waits for an answer: then silence is no stall."""
    _ended: Ended = field(default_factory=Ended)
    _process: Program | None = None
    _timer: asyncio.TimerHandle | None = None

    async def to_its_end(self, launch: Launch, environment: Mapping[str, str]) -> Ended:
        """Run it in its sandbox. However this ends (by itself, cancelled), none of its processes is left on return.

        Raises OSError, and SandboxMissing when it can't be held as the settings ask.
        """
        with tree.held.run(self.place.whose):
            return await self._held(launch, environment)

    async def _held(self, launch: Launch, environment: Mapping[str, str]) -> Ended:
        loop = asyncio.get_running_loop()
        watch = Watch(self.limits, loop.time(), self.adapter.speaks)
        group: Group | None = None
        grace = tree.GRACE_SECONDS
        pumps: list[asyncio.Task[None]] = []
        looking: asyncio.Task[None] | None = None
        try:
            process = self._process = await self._start(launch, environment)
            group = tree.group_of(process.pid)
            self.on_started(group)
            pumps = self._pump(process, watch)
            looking = asyncio.create_task(self._look(watch, group))
            feeding = asyncio.create_task(self._feed(launch))
            leaving = asyncio.create_task(process.wait())
            await asyncio.wait((leaving, looking), return_when=asyncio.FIRST_COMPLETED)
            feeding.cancel()
            if leaving.done():
                self._ended.code = leaving.result()
                await asyncio.wait(pumps, timeout=PIPE_SECONDS)
                grace = LEFTOVER_GRACE_SECONDS
            else:
                await tree.end(self.place.whose, group, grace)
                self._ended.code = await leaving
            return self._ended
        finally:
            if looking is not None:
                looking.cancel()
            await asyncio.shield(self._clear(group, grace, pumps, watch))

    @property
    def tokens(self) -> int:
        """Taken so far."""
        return self._ended.tokens

    @property
    def cost_usd(self) -> float:
        """Spent so far, as far as the agent has said it."""
        return self._ended.cost_usd

    def tell(self, text: str) -> bool:
        """Tell the running agent something; whether it could be."""
        data = self.adapter.message(text)
        stdin = self._process.stdin if self._process else None
        if data is None or stdin is None or stdin.is_closing():
            return False
        stdin.write(data)
        return True

    async def _start(self, launch: Launch, environment: Mapping[str, str]) -> Program:
        place, access = self.place, self.place.access
        marks = tree.marker(place.task, place.attempt, place.part)
        confined = place.sandbox.command(
            (*access.prefix, *launch.argv),
            {**place.environment, **environment, **access.environment, **marks},
            access.added_to(place.view),
        )
        argv = list(confined.argv)
        if self.place.nice:
            argv = ["nice", "-n", str(self.place.nice), *argv]
        more = {}
        first = limits.commands(self.place.limits)
        if self.place.cgroup is not None:
            first = _ENTER + first
            more["CGROUP"] = str(self.place.cgroup / "cgroup.procs")
        if first:
            argv = ["sh", "-c", f'{first}exec "$@"', "sh", *argv]
        speaks = self.adapter.speaks
        return await programs.start(
            *argv,
            cwd=self.place.view.workspace,
            env={**confined.environment, **more},
            stdin=PIPE if launch.stdin or launch.keeps_stdin else DEVNULL,
            stdout=PIPE,
            stderr=PIPE if speaks else STDOUT,
        )

    async def _feed(self, launch: Launch) -> None:
        """Write the prompt; then nothing more comes, unless the agent can be told more until its result."""
        stdin = self._process.stdin if self._process else None
        if stdin is None:
            return
        with contextlib.suppress(ConnectionError):
            stdin.write(launch.stdin)
            await stdin.drain()
        if not launch.keeps_stdin:
            stdin.close()

    def _pump(self, process: Program, watch: Watch) -> list[asyncio.Task[None]]:
        assert process.stdout is not None
        if not self.adapter.speaks:
            return [asyncio.create_task(self._read_lines(process.stdout, watch))]
        assert process.stderr is not None
        return [
            asyncio.create_task(self._read_events(process.stdout, watch)),
            asyncio.create_task(self._read_events(process.stderr, watch)),
        ]

    async def _read_lines(self, reader: asyncio.StreamReader, watch: Watch) -> None:
        """Output that is kept as it is; what it says of itself besides is noted."""
        lines = Lines(LONGEST_LINE)
        loop = asyncio.get_running_loop()
        try:
            while chunk := await reader.read(BATCH_BYTES):
                watch.heard(loop.time())
                if self.log.full:
                    self.log.add_bytes(lines.give_up() + chunk)
                else:
                    self._said(lines.feed(chunk), watch)
        finally:
            self._said(lines.rest(), watch)

    async def _read_events(self, reader: asyncio.StreamReader, watch: Watch) -> None:
        lines = Lines(LONGEST_EVENT)
        try:
            while chunk := await reader.read(BATCH_BYTES):
                self._said(lines.feed(chunk), watch)
        finally:
            self._said(lines.rest(), watch)

    def _said(self, lines: Iterable[str], watch: Watch) -> None:
        now = asyncio.get_running_loop().time()
        kept: list[str] = []
        for line in lines:
            events = self.adapter.read(line) if line else ()
            if not line and not self.adapter.speaks:
                kept.append(line)
            watch.saw(events, now)
            for event in events:
                self._note(event)
                kept += shown(event)
            if events:
                self._ended.tokens, self._ended.cost_usd = watch.meter.tokens, watch.meter.cost_usd
                self.on_events(events)
        self.log.add(kept)
        self._batch()

    def _note(self, event: Event) -> None:
        match event:
            case Session(id):
                self._ended.session = id
            case Result():
                self._ended.result = event
                if event.ok:
                    self._ended.problem = None
                self._end_input()
            case Denied(tool, detail):
                if (what := one_line(f"{tool} {detail}")[:DENIED_CHARACTERS]) not in self._ended.denied:
                    self._ended.denied.append(what)
            case Problem():
                self._ended.problem = event

    def _end_input(self) -> None:
        """It has its result: it is told nothing more, and may leave."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def _batch(self) -> None:
        """Hand on lines by time or size, never one by one."""
        if self.log.waiting_bytes >= BATCH_BYTES:
            self._flush()
        elif self._timer is None and self.log.waiting_bytes:
            self._timer = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if taken := self.log.take():
            self.on_lines(taken)

    async def _look(self, watch: Watch, group: Group) -> None:
        """Return when the run is to be ended from outside, with the reason noted."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.05, min(watch.deadline() - loop.time(), LOOK_SECONDS)))
            stop = watch.due(loop.time())
            if stop is Stop.STALLED and self.waits_for_person():
                watch.heard(loop.time())
                stop = None
            if stop is None and self.place.memory_bytes is not None:
                stop = await self._memory(group)
            if stop is not None:
                self._ended.stopped = stop
                return

    async def _memory(self, group: Group) -> Stop | None:
        place = self.place
        assert place.memory_bytes is not None
        found = await asyncio.to_thread(tree.find, place.whose, group)
        return Stop.MEMORY if tree.resident_bytes(found) > place.memory_bytes else None

    async def _clear(self, group: Group | None, grace: float, pumps: list[asyncio.Task[None]], watch: Watch) -> None:
        place = self.place
        await tree.end(place.whose, group, grace)
        await place.sandbox.clear(place.view)
        if pumps:
            await asyncio.wait(pumps, timeout=0.1)
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), PIPE_SECONDS)
            self._process.close()
        await place.sandbox.clear(place.view)
        if place.cgroup is not None:
            self._ended.out_of_memory = cgroups.ran_out_of_memory(place.cgroup)
        self._ended.tokens, self._ended.cost_usd = watch.meter.tokens, watch.meter.cost_usd
        self._flush()


def ending(code: int) -> str:
    """An exit code in words.

    >>> ending(-9), ending(137), ending(1)
    ('signal 9 (SIGKILL)', 'exit code 137 (a process of it got SIGKILL)', 'exit code 1')
    """
    if code < 0:
        return f"signal {-code} ({_name(-code)})"
    if code > 128 and _name(code - 128):
        return f"exit code {code} (a process of it got {_name(code - 128)})"
    return f"exit code {code}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""
