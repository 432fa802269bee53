"""Planning: one plan task serves all unserved requests of a directive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import structlog

from services.planner import prompts, rows
from services.planner.prompts import ExistingStep, Planning
from services.planner.rows import Due, Step
from shared.config import Settings
from shared.domain.statuses import ENDED_TASK, DirectiveStatus, TaskKind
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
from shared.metrics import PLANNINGS
from shared.service.leadership import lead
from shared.service.phase import Context, listen, open_context, serve
from shared.service.reactor import Reactor

log = structlog.get_logger()

CONSUMES: Consumes = {
    DirectiveCreated: ALL,
    DirectiveChanged: (f"{DirectiveStatus.ACTIVE}/",),
    PlanRequested: ALL,
    PlanFinished: ALL,
    TaskChanged: tuple(f"{status}/{TaskKind.PLAN}/" for status in sorted(ENDED_TASK)),
}
"""Planning may be due when it is asked for, when one has ended, and when a directive becomes active."""
EMITS: frozenset[type[Event]] = frozenset({TaskCreated})


async def reconcile(context: Context, directives: frozenset[UUID] | None) -> None:
    """Make a plan task for each directive that is due for planning."""
    chosen = None if directives is None else list(directives)
    due = await context.database.fetch(rows.DUE(directives=chosen, agent=context.settings.agent))
    if not due:
        return
    steps: dict[UUID, list[Step]] = {d.id: [] for d in due}
    for step in await context.database.fetch(rows.STEPS(directives=list(steps))):
        steps[step.directive_id].append(step)
    async with context.database.unit_of_work("planner.plan") as unit:
        claimed = await unit.fetch(
            rows.PLAN(
                ids=[context.new_id() for _ in due],
                directives=[d.id for d in due],
                versions=[d.version for d in due],
                agents=[d.agent for d in due],
                starts=[d.start_from for d in due],
                prompts=[prompts.render(planning(d, steps[d.id], context.settings.plan_agents)) for d in due],
                requests=[request for d in due for request in d.requests],
            )
        )
        unit.record(*(TaskCreated(directive=task.directive_id, task=task.id, kind=TaskKind.PLAN) for task in claimed))
    if claimed:
        PLANNINGS.add(by=len(claimed))
        log.info("planning asked for", tasks=[t.id for t in claimed], directives=[t.directive_id for t in claimed])


def planning(due: Due, steps: Sequence[Step], agents: Sequence[str] = ()) -> Planning:
    """A directive with its steps, as the prompt takes it. `agents`: which a plan may choose for steps."""
    return Planning(
        title=due.title,
        goal=due.goal,
        repository=without_credentials(due.repository_url) if due.repository_url else None,
        generation=due.generation + 1,
        reasons=frozenset(due.reasons),
        wishes=tuple(p.text for p in due.payloads if p.text),
        failures=tuple(f"{p.name}: {p.reason}\n{p.tail}".strip() for p in due.payloads if p.reason),
        earlier_goals=due.earlier_goals,
        orders=due.orders,
        steps=tuple(map(_existing, steps)),
        max_parallel=due.max_parallel,
        agents=tuple(agents),
        labels=due.labels,
    )


def _existing(step: Step) -> ExistingStep:
    return ExistingStep(
        id=step.id,
        name=step.name,
        status=step.status,
        description=step.description,
        reason=step.reason,
        outcome=step.outcome,
        files=step.files,
        all_files=step.all_files,
        commits=tuple(commit.subject for commit in step.commits),
        serves=step.serves,
    )


async def run(context: Context, stop: asyncio.Event) -> None:
    """Plan until `stop` is set, while this planner leads."""
    context.ready()
    await lead(context.leadership, stop, partial(_work, context))


async def _work(context: Context, stop: asyncio.Event) -> None:
    reactor = Reactor(partial(reconcile, context), context.settings.sweep_seconds, context.rng)
    await serve(reactor, stop, partial(listen, context, CONSUMES, reactor))


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Run the planner's process until `stop` is set."""
    async with open_context(settings, "planner", EMITS, promises=False) as context:
        await run(context, stop)
