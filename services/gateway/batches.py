"""Batches of steps: resolved, checked and stored whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from uuid import UUID

from litestar.exceptions import HTTPException

from services.gateway.access import Caller
from services.gateway.rows.directives import LockedDirective
from services.gateway.rows.orders import SERVE_ORDERS
from services.gateway.rows.steps import ADD_DEPENDENCIES, ADD_STEPS, OFFERS, STEP_NAMES, NamedStep
from shared.config import Settings
from shared.domain.ids import new_id
from shared.domain.offers import MOST_NAMED, lacking
from shared.domain.plans import PlannedStep, PlanRefused, resolve
from shared.domain.review import review
from shared.domain.statuses import StepStatus, TaskKind
from shared.messages.events import StepAdded
from shared.store.database import UnitOfWork
from shared.store.values import as_array


def holder_of(caller: Caller, directive: LockedDirective) -> UUID | None:
    """The task with whose changes one of the caller's comes into force; None: it counts at once (rule 5).

    A planning's come into force when it ends well; what other tasks change, where plans are approved, when a person
    approves it.
    """
    return caller.task if caller.kind == TaskKind.PLAN or directive.approve_plan else None


async def store(
    unit: UnitOfWork, directive: LockedDirective, steps: Sequence[PlannedStep], caller: Caller, settings: Settings
) -> tuple[list[UUID], list[str]]:
    """Store a valid batch in a locked directive; its ids, in order, and the warnings.

    Only a person's may say which generation they are of. Raises HTTPException 422 when it isn't valid.
    """
    if caller.task is not None:
        _refuse_choices(steps, {*settings.plan_agents, directive.agent or settings.agent})
    there = await unit.fetch(STEP_NAMES(id=directive.id))
    existing = {step.id: step.name for step in there}
    ids = [new_id() for _ in steps]
    try:
        needs = resolve(steps, existing, ids)
    except PlanRefused as error:
        raise HTTPException(str(error), status_code=422) from None
    generation = directive.generation + (caller.kind == TaskKind.PLAN)
    unit.execute(
        ADD_STEPS(
            directive=directive.id,
            held_by=holder_of(caller, directive),
            added_by=caller.task,
            ids=ids,
            names=[s.name for s in steps],
            descriptions=[s.description for s in steps],
            task_plans=[s.task_plan for s in steps],
            files=[as_array(s.files) for s in steps],
            order_indexes=[s.order_index for s in steps],
            generations=[generation if caller.task or s.generation is None else s.generation for s in steps],
            agents=[s.agent for s in steps],
            models=[s.model for s in steps],
            labels=[as_array(s.labels) for s in steps],
        )
    )
    _depend(unit, ids, needs)
    await _serve(unit, directive.id, steps, ids)
    unit.record(StepAdded(directive=directive.id, steps=tuple(ids)))
    return ids, [
        *_there_already(steps, there),
        *await warnings_of(unit, directive, steps, caller, settings),
        *review(steps, ids, needs),
    ]


def _there_already(steps: Sequence[PlannedStep], there: Sequence[NamedStep]) -> list[str]:
    """A warning of steps that are there with the same task plan, and neither failed nor were skipped."""
    live = {(s.name, s.plan) for s in there if s.status not in (StepStatus.FAILED, StepStatus.SKIPPED)}
    same = [repr(s.name) for s in steps if (s.name, _md5(s.task_plan)) in live]
    if not same:
        return []
    more = f" and {len(same) - MOST_NAMED} more" if len(same) > MOST_NAMED else ""
    are = (
        "are there with the same task plans already, and run twice"
        if len(same) > 1
        else ("is there with the same task plan already, and runs twice")
    )
    return [f"{', '.join(same[:MOST_NAMED])}{more} {are}: makima directive remove-step takes one back"]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _refuse_choices(steps: Sequence[PlannedStep], allowed: set[str]) -> None:
    """Raise HTTPException 422 for an agent or a model that a task may not choose: it chooses what its steps cost and
    may do no further than the settings say."""
    for at, step in enumerate(steps):
        where = f"steps[{at}] ({step.name!r})"
        if step.agent is not None and step.agent not in allowed:
            among = ", ".join(sorted(allowed))
            raise HTTPException(
                f"{where}: tasks choose agents among {among} (plan_agents), not {step.agent!r}; leave `agent` out",
                status_code=422,
            )
        if step.model is not None:
            raise HTTPException(f"{where}: only a person chooses a model; leave `model` out", status_code=422)


async def warnings_of(
    unit: UnitOfWork, directive: LockedDirective, steps: Sequence[PlannedStep], caller: Caller, settings: Settings
) -> list[str]:
    """Warnings of what no daemon offers."""
    if not any(step.agent or step.labels for step in steps):
        return []
    offers = await unit.fetch(OFFERS(owner=caller.owner))
    return lacking(steps, directive.agent or settings.agent, offers)


def _depend(unit: UnitOfWork, ids: Sequence[UUID], needs: Sequence[tuple[UUID, ...]]) -> None:
    edges = [(i, need, at) for i, all_of in zip(ids, needs, strict=True) for at, need in enumerate(all_of)]
    if edges:
        steps, needed, positions = map(list, zip(*edges, strict=True))
        unit.execute(ADD_DEPENDENCIES(steps=steps, needs=needed, positions=positions))


async def _serve(unit: UnitOfWork, directive: UUID, steps: Sequence[PlannedStep], ids: Sequence[UUID]) -> None:
    """Keep which orders the steps serve. Raises HTTPException 422 for an order that isn't the directive's."""
    served = [(step_id, order) for step_id, step in zip(ids, steps, strict=True) for order in step.orders]
    if not served:
        return
    asked = SERVE_ORDERS(
        directive=directive,
        steps=[i for i, _ in served],
        orders=[o for _, o in served],
        held_by=None,  # a step that is held holds what it serves with it
    )
    kept = set(await unit.fetch(asked))
    for at, step in enumerate(steps):
        for order in step.orders:
            if order not in kept:
                raise HTTPException(
                    f"steps[{at}] ({step.name!r}): order {order} isn't linked to this directive, or was cancelled",
                    status_code=422,
                )
