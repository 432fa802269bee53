"""Planning: one plan task serves all unserved requests of a directive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import msgspec

from services.planner import prompts
from services.planner.prompts import EarlierGoal, ExistingStep, OpenOrder, Planning
from shared.config import Settings
from shared.domain.statuses import ENDED_TASK, DirectiveStatus, StepStatus, TaskKind
from shared.domain.texts import without_credentials
from shared.messages.events import (
    DirectiveChanged,
    DirectiveCreated,
    Event,
    PlanFinished,
    PlanRequested,
    TaskChanged,
    TaskCreated,
)
from shared.messages.topics import ALL, Consumes
from shared.service.leadership import lead
from shared.service.phase import Surroundings, listen, serve, surroundings
from shared.service.reactor import Reactor
from shared.store.database import Row
from shared.store.statements import statements

CONSUMES: Consumes = {
    DirectiveCreated: ALL,
    DirectiveChanged: (f"{DirectiveStatus.ACTIVE}/",),
    PlanRequested: ALL,
    PlanFinished: ALL,
    TaskChanged: tuple(f"{status}/{TaskKind.PLAN}/" for status in sorted(ENDED_TASK)),
}
"""Planning may be due when it is asked for, when one has ended, and when a directive becomes active."""
EMITS: frozenset[type[Event]] = frozenset({TaskCreated})
SQL = statements("services.planner")


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan request carries: a person's words, or a failed step's name, reason and last output."""

    text: str = ""
    name: str = ""
    reason: str = ""
    tail: str = ""


async def reconcile(around: Surroundings, directives: frozenset[UUID] | None) -> None:
    """Make a plan task for each directive that is due for planning."""
    chosen = None if directives is None else list(directives)
    due = await around.database.rows(SQL["due"], {"directives": chosen, "agent": around.settings.agent})
    if not due:
        return
    steps: dict[UUID, list[Row]] = {d["id"]: [] for d in due}
    for row in await around.database.rows(SQL["steps"], {"directives": list(steps)}):
        steps[row["directive_id"]].append(row)
    async with around.database.unit_of_work("planner.plan") as unit:
        claimed = await unit.rows(
            SQL["plan"],
            {
                "ids": [around.new_id() for _ in due],
                "directives": [d["id"] for d in due],
                "versions": [d["version"] for d in due],
                "agents": [d["agent"] for d in due],
                "starts": [d["start_from"] for d in due],
                "prompts": [prompts.render(planning(d, steps[d["id"]])) for d in due],
                "requests": [request for d in due for request in d["requests"]],
            },
        )
        unit.record(*(TaskCreated(directive=c["directive_id"], task=c["id"], kind="plan") for c in claimed))


def planning(due: Row, steps: Sequence[Row]) -> Planning:
    """A row of `due` with its steps, as the prompt takes it."""
    requests = [msgspec.convert(p, Payload) for p in due["payloads"]]
    return Planning(
        title=due["title"],
        goal=due["goal"],
        repository=without_credentials(due["repository_url"]) if due["repository_url"] else None,
        generation=due["generation"] + 1,
        reasons=frozenset(due["reasons"]),
        wishes=tuple(r.text for r in requests if r.text),
        failures=tuple(f"{r.name}: {r.reason}\n{r.tail}".strip() for r in requests if r.reason),
        earlier_goals=tuple(msgspec.convert(g, EarlierGoal) for g in due["earlier_goals"]),
        orders=tuple(msgspec.convert(o, OpenOrder) for o in due["orders"]),
        steps=tuple(
            ExistingStep(
                id=s["id"],
                name=s["name"],
                status=StepStatus(s["status"]),
                description=s["description"],
                reason=s["reason"],
                outcome=s["outcome"],
                files=tuple(s["files"]),
                all_files=s["all_files"],
                commits=tuple(c["subject"] for c in s["commits"]),
            )
            for s in steps
        ),
        max_parallel=due["max_parallel"],
    )


async def run(around: Surroundings, stop: asyncio.Event) -> None:
    """Plan until `stop` is set, while this planner leads."""
    around.ready()
    await lead(around.leadership, stop, partial(_work, around))


async def _work(around: Surroundings, stop: asyncio.Event) -> None:
    reactor = Reactor(partial(reconcile, around), around.settings.sweep_seconds, around.chance)
    await serve(reactor, stop, partial(listen, around, CONSUMES, reactor))


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the planner's process until `stop` is set."""
    async with surroundings(settings, "planner", EMITS, promises=False) as around:
        await run(around, stop)
