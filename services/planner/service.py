"""Planning: one plan task serves all unserved requests of a directive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from services.planner import prompts
from shared.config import Settings
from shared.domain.statuses import TaskKind
from shared.messages.events import (
    AnyEvent,
    DirectiveChanged,
    DirectiveCreated,
    Event,
    PlanFinished,
    PlanRequested,
    TaskChanged,
    TaskCreated,
)
from shared.service.phase import Surroundings, listen, serve, surroundings
from shared.service.reactor import Reactor
from shared.store.statements import statements

CONSUMES: frozenset[type[Event]] = frozenset(
    {DirectiveCreated, DirectiveChanged, PlanRequested, PlanFinished, TaskChanged}
)
EMITS: frozenset[type[Event]] = frozenset({TaskCreated})
SQL = statements("services.planner")


async def reconcile(around: Surroundings, directives: frozenset[UUID] | None) -> None:
    """Make a plan task for each directive that is due for planning."""
    chosen = None if directives is None else list(directives)
    due = await around.database.rows(SQL["due"], {"directives": chosen, "agent": around.settings.agent or "shell"})
    if not due:
        return
    async with around.database.unit_of_work("planner.plan") as unit:
        claimed = await unit.rows(
            SQL["plan"],
            {
                "ids": [around.new_id() for _ in due],
                "owners": [d["owner_id"] for d in due],
                "directives": [d["id"] for d in due],
                "agents": [d["agent"] for d in due],
                "prompts": [
                    prompts.plan(title=d["title"], goal=d["goal"], repository=d["repository_url"]) for d in due
                ],
            },
        )
        unit.record(*(TaskCreated(directive=c["directive_id"], task=c["id"], kind="plan") for c in claimed))


def wakes(event: AnyEvent) -> Sequence[UUID | None]:
    """A task's changes matter here unless it is of another kind."""
    if isinstance(event, TaskChanged) and event.kind in (TaskKind.STEP, TaskKind.COMPLETION, TaskKind.VERIFICATION):
        return ()
    return (event.directive,)


async def run(around: Surroundings, stop: asyncio.Event) -> None:
    """Plan until `stop` is set."""
    reactor = Reactor(lambda d: reconcile(around, d), around.settings.sweep_seconds, around.chance)
    around.ready()
    await serve(reactor, stop, listen(around, CONSUMES, reactor, wakes))


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the planner's process until `stop` is set."""
    async with surroundings(settings, "planner", EMITS) as around:
        await run(around, stop)
