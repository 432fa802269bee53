"""A command line of the repository's own, run on a tree of a delivery as an agent would be: its sandbox, its end."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from services.daemon.agents import environment
from services.daemon.agents.adapter import Launch
from services.daemon.agents.shell import Shell
from services.daemon.delivery.checking import Outcome
from services.daemon.processes.tree import Group
from services.daemon.runs.output import Log
from services.daemon.runs.run import Place, Run
from services.daemon.runs.watchdogs import Limits
from shared.config.agents import AgentSettings
from shared.messages.commands import SpawnTask

RunScript = Callable[[str, Path, str], Awaitable[Outcome]]
"""Runs a command line in a worktree, which is a part of the attempt."""
KEPT_BYTES = 32_000
"""Of what a command prints the first and the last half of this are kept."""


@dataclass(frozen=True)
class Scripts:
    """Runs the repository's commands for one delivery, several at the same time where they have parts of their own."""

    command: SpawnTask
    place: Callable[[Path, str], Awaitable[Place]]
    """Where a command runs, by its worktree and its part of the attempt."""
    clean: Callable[[list[str]], list[str]]
    """What takes secrets out of lines."""
    seconds: float
    """How long one command may take."""
    started: Callable[[Group], None] = lambda _: None

    async def run(self, line: str, worktree: Path, part: str) -> Outcome:
        """Run `bash -c line`; whether it ended with 0, and what it printed. None of its processes is left."""
        given = environment.build(self.command, AgentSettings(kind="shell"), os.environ, {})
        given.pop("MAKIMA_TOKEN", None)
        place = await self.place(worktree, part)
        printed: list[str] = []
        log = Log(place.view.home.parent, self.clean, KEPT_BYTES)
        run = Run(
            place=replace(place, access=place.access.without_key()),
            adapter=Shell(),
            limits=Limits(stall_seconds=0.0, tool_seconds=self.seconds),
            log=log,
            on_started=self.started,
            on_lines=printed.extend,
        )
        ended = await run.to_its_end(Launch(argv=("bash", "-c", line)), given)
        log.finish()
        printed += log.take()
        if ended.stopped is not None:
            printed.append(f"[not done after {self.seconds:g} s: ended]")
        elif ended.code:
            printed.append(f"[exit code {ended.code}]")
        return Outcome(passed=ended.code == 0 and ended.stopped is None, output="\n".join(printed))
