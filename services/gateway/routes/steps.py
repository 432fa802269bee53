"""Steps: added as whole batches, removed one by one, retried and skipped by a person."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.params import FromPath, JSONBody

from services.gateway.access import OPERATOR, OPERATOR_OR_TASK, VIEWER_OR_TASK, Caller
from services.gateway.batches import holder_of, store, warnings_of
from services.gateway.effects import activate, make_ready, reopen, settle_orders, settle_orders_of
from services.gateway.rows.directives import STANDING, LockedDirective
from services.gateway.rows.orders import ORDERS_OF_STEPS
from services.gateway.rows.steps import (
    ADDED_BY,
    CALLED_STEPS,
    DEPENDENTS,
    EDIT_STEP,
    FAILED_STEPS,
    FIND_STEP,
    FOUND_STEPS,
    REMOVE_STEP,
    RETRY_STEP,
    SKIP_STEP,
    STEP_AS_IT_IS,
    MovedStep,
    RemovedStep,
)
from services.gateway.showing import show
from services.gateway.transactions import DirectiveChange, refuse_archived, refuse_ended
from shared.api.steps import (
    NewSteps,
    StepAdded,
    StepChanged,
    StepChanges,
    StepFound,
    StepMoved,
    StepRemoved,
    StepsAdded,
)
from shared.config import Settings
from shared.domain.plans import PlannedStep, PlanRefused, check_step
from shared.domain.statuses import DirectiveStatus, PauseCause, StepStatus, TaskKind
from shared.messages import events
from shared.store.database import Database, UnitOfWork
from shared.store.statements import Asked

MENDED_BY_STEPS = (PauseCause.DELIVERY, PauseCause.STUCK)
"""Causes of a pause that a person's new steps settle."""
SETTLED_BY_A_STEP = (PauseCause.FAILURE, PauseCause.STUCK, PauseCause.DELIVERY)
"""Causes of a pause that end with the last failed step retried or skipped."""
SKIPPED_BY_A_PERSON = "skipped by a person"


@post("/v1/directives/{directive:uuid}/steps", operation_id="addSteps", opt=OPERATOR_OR_TASK, tags=["steps"])
async def add_steps(
    directive: FromPath[UUID],
    data: JSONBody[NewSteps],
    caller: NamedDependency[Caller],
    settings: NamedDependency[Settings],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[StepsAdded]:
    """Add a batch whole or not at all: a planning's is held until it ends, other tasks' for approval where that is on.

    Warnings never refuse.
    """
    caller.on(directive)
    async with directive_change.begin_on("gateway.add_steps", directive) as begun:
        unit, row = begun.unit, begun.directive
        refuse_archived(row)
        await refuse_ended(unit, caller)
        if caller.finds:
            await _refuse_too_many(unit, row, len(data.steps), settings.max_found_steps)
        ids, warnings = await store(unit, row, data.steps, caller, settings)
        if caller.kind != TaskKind.PLAN:
            if holder_of(caller, row) is None:
                await settle_orders_of(unit, ids)
            warnings = [*await _go_on(unit, row, caller), *warnings]
        called = {one.id: one.called for one in await unit.fetch(CALLED_STEPS(steps=ids))}
        added = [StepAdded(id=i, called=called[i], name=s.name) for i, s in zip(ids, data.steps, strict=True)]
        return begun.answer(StepsAdded(steps=added, warnings=warnings))


@delete(
    "/v1/directives/{directive:uuid}/steps/{step:uuid}",
    status_code=200,
    operation_id="removeStep",
    opt=OPERATOR_OR_TASK,
    tags=["steps"],
)
async def remove_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[StepRemoved]:
    """Remove a step that hasn't run. A planning's removal counts when it ends well; other tasks take back their own."""
    caller.on(directive)
    async with directive_change.begin_on("gateway.remove_step", directive) as begun:
        unit = begun.unit
        refuse_archived(begun.directive)
        await refuse_ended(unit, caller)
        if caller.finds:
            await _refuse_others(unit, caller, directive, step)
        holder = holder_of(caller, begun.directive)
        left, orders, removed = await unit.fetch_all(
            DEPENDENTS(step=step),
            ORDERS_OF_STEPS(steps=[step]),
            REMOVE_STEP(step=step, directive=directive, held_by=holder),
        )
        if not removed:
            raise HTTPException(f"step {step} is not there, or runs or completed already", status_code=409)
        unit.record(*(_removed(directive, one, caller.kind == TaskKind.PLAN) for one in removed))
        if holder is None:
            await settle_orders(unit, orders)
        await make_ready(unit, directive)
        warnings = [f"{name!r} depends on it: remove it too, or it runs without" for name in left]
        return begun.answer(StepRemoved(id=step, warnings=warnings))


@patch("/v1/directives/{directive:uuid}/steps/{step:uuid}", operation_id="changeStep", opt=OPERATOR, tags=["steps"])
async def change_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    data: JSONBody[StepChanges],
    caller: NamedDependency[Caller],
    settings: NamedDependency[Settings],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[StepChanged]:
    """Change what a step asks for, while nothing of it runs; its texts, before it is dispatched for the first time."""
    async with directive_change.begin_on("gateway.change_step", directive) as begun:
        unit = begun.unit
        refuse_archived(begun.directive)
        given = {f: v for f in data.__struct_fields__ if (v := getattr(data, f)) is not msgspec.UNSET}
        before = await unit.fetch_first(STEP_AS_IT_IS(step=step, directive=directive))
        if before is None:
            raise NotFoundException(f"no step {step}")
        stays = {f: getattr(before, f) for f in data.__struct_fields__}
        wanted = PlannedStep(**{**stays, **given})
        texts = bool(given.keys() & {"name", "description", "task_plan", "files"})
        try:
            check_step(f"step {wanted.name!r}", wanted)
        except PlanRefused as error:
            raise HTTPException(str(error), status_code=422) from None
        columns = {field: getattr(wanted, field) for field in stays} | {"files": list(wanted.files)}
        asked = EDIT_STEP(step=step, directive=directive, texts=texts, **{**columns, "labels": list(wanted.labels)})
        changed = await unit.fetch_first(asked)
        if changed is None:
            raise HTTPException(f"step {step} {_unchangeable(before.status)}", status_code=409)
        unit.record(
            events.StepChanged(
                directive=directive, step=step, name=changed.name, status=changed.status, reason="a person changed it"
            )
        )
        warnings = await warnings_of(unit, begun.directive, [wanted], caller, settings)
        return begun.answer(StepChanged(id=step, name=changed.name, status=changed.status, warnings=warnings))


def _unchangeable(status: StepStatus) -> str:
    if status in (StepStatus.COMPLETED, StepStatus.SKIPPED):
        return f"is {status}: add another one instead"
    return "is under way, or part of a plan that isn't in force: end it or wait for it, then change it"


@post(
    "/v1/directives/{directive:uuid}/steps/{step:uuid}/retry",
    status_code=200,
    operation_id="retryStep",
    opt=OPERATOR,
    tags=["steps"],
)
async def retry_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[StepMoved]:
    """Let a failed step run again, and what was skipped because it had failed."""
    return await _settle(
        directive_change, directive, step, RETRY_STEP(directive=directive, step=step), "has not failed"
    )


@post(
    "/v1/directives/{directive:uuid}/steps/{step:uuid}/skip",
    status_code=200,
    operation_id="skipStep",
    opt=OPERATOR,
    tags=["steps"],
)
async def skip_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[StepMoved]:
    """Go on without a step that is pending, ready or failed: what depends on it may run."""
    skipping = SKIP_STEP(directive=directive, step=step, reason=SKIPPED_BY_A_PERSON)
    return await _settle(directive_change, directive, step, skipping, "is not pending, ready or failed, or runs")


@get("/v1/steps/{step:uuid}", operation_id="findStep", opt=VIEWER_OR_TASK, tags=["steps"])
async def find_step(
    step: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> StepFound:
    """Which directive a step is of."""
    found = await database.fetch_first(FIND_STEP(step=step, owner=caller.owner))
    if found is None:
        raise NotFoundException(f"no step {step}")
    caller.on(found.directive_id)
    return show(StepFound, found)


async def _go_on(unit: UnitOfWork, directive: LockedDirective, caller: Caller) -> list[str]:
    """A person's new steps are the fix of what couldn't be delivered or had come to a dead end; any other pause stays,
    and is said."""
    if directive.status != DirectiveStatus.PAUSED or caller.task is not None:
        await reopen(unit, directive)
        return []
    if directive.paused_for in MENDED_BY_STEPS:
        await activate(unit, directive.id)
        return []
    return [f"the directive is paused: `makima directive resume {directive.id}` lets it go on"]


async def _settle(
    directive_change: DirectiveChange, directive: UUID, step: UUID, settling: Asked[MovedStep], unless: str
) -> Response[StepMoved]:
    """A person's word on a step; a directive that is paused for no other failure goes on."""
    async with directive_change.begin_on("gateway.settle_step", directive) as begun:
        unit, row = begun.unit, begun.directive
        refuse_archived(row)
        moved = await unit.fetch(settling)
        settled = next((one for one in moved if one.id == step), None)
        if settled is None:
            raise HTTPException(f"step {step} is not there, or {unless}", status_code=409)
        unit.record(*(_moved(directive, one) for one in moved))
        await settle_orders_of(unit, [one.id for one in moved])
        failed = await unit.fetch_one(FAILED_STEPS(directive=directive))
        if row.status == DirectiveStatus.PAUSED and row.paused_for in SETTLED_BY_A_STEP and not failed:
            await activate(unit, directive)
        else:
            await reopen(unit, row)
        now = await unit.fetch_one(STANDING(id=directive))
        return begun.answer(StepMoved(id=step, name=settled.name, status=settled.status, directive_status=now.status))


def _moved(directive: UUID, step: MovedStep) -> events.StepChanged:
    return events.StepChanged(
        directive=directive, step=step.id, name=step.name, status=step.status, reason="a person said so"
    )


def _removed(directive: UUID, step: RemovedStep, planning: bool) -> events.StepRemoved | events.StepChanged:
    """What to say of a step that is removed: at once, or when that comes into force."""
    if step.gone:
        return events.StepRemoved(directive=directive, step=step.id)
    reason = "the plan in the making leaves it out" if planning else "to be removed once that is approved"
    return events.StepChanged(directive=directive, step=step.id, name=step.name, status=step.status, reason=reason)


async def _refuse_too_many(unit: UnitOfWork, directive: LockedDirective, count: int, most: int) -> None:
    """Raise HTTPException 409 for a task that adds more than is left for work that tasks find, or after the end."""
    if directive.status in (DirectiveStatus.COMPLETED, DirectiveStatus.ARCHIVED):
        raise HTTPException(f"the directive is {directive.status}: a task can't add to it any more", status_code=409)
    found = await unit.fetch_one(FOUND_STEPS(directive=directive.id))
    if found + count > most:
        raise HTTPException(
            f"tasks may add {most} steps after a plan, for work that they find (max_found_steps), and have added "
            f"{found}: leave the rest to a person, by `makima ask` or in your outcome",
            status_code=409,
        )


async def _refuse_others(unit: UnitOfWork, caller: Caller, directive: UUID, step: UUID) -> None:
    """Raise PermissionDeniedException for a step that the calling task did not add."""
    for found in await unit.fetch(ADDED_BY(directive=directive, step=step)):
        if found.added_by != caller.task:
            raise PermissionDeniedException("a task removes only steps that it added itself; ask a person: makima ask")


ROUTES = (add_steps, remove_step, change_step, retry_step, skip_step, find_step)
