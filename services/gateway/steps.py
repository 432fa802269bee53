"""Steps: added as whole batches, removed one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.params import FromPath, JSONBody

from services.gateway import answers
from services.gateway.access import SQL, Caller
from services.gateway.changes import activate, lock, make_ready, reopen, settle_orders
from services.gateway.idempotency import Once
from shared.config import Settings
from shared.domain.ids import new_id
from shared.domain.plans import PlannedStep, PlanRefused, resolve
from shared.domain.review import review
from shared.domain.statuses import DirectiveStatus, PauseCause, TaskKind
from shared.messages.events import OrderChanged, StepAdded, StepChanged, StepRemoved
from shared.store.database import Database, Row, UnitOfWork, as_array

SETTLED_BY_A_STEP = (PauseCause.FAILURE, PauseCause.STUCK)
"""Causes of a pause that end with the last failed step retried or skipped."""


class NewSteps(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives/{id}/steps."""

    steps: list[PlannedStep]


@post("/v1/directives/{directive:uuid}/steps")
async def add_steps(
    directive: FromPath[UUID],
    data: JSONBody[NewSteps],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    settings: NamedDependency[Settings],
    once: NamedDependency[Once],
) -> answers.StepsAdded:
    """Add a batch whole or not at all: a planning's is held until it ends, other tasks' for approval where that is on.

    Warnings never refuse.
    """
    caller.on(directive)
    async with database.unit_of_work("gateway.add_steps") as unit:
        if known := await once.known(unit, answers.StepsAdded):
            return known
        row = await lock(unit, caller, directive)
        await _refuse_ended(unit, caller)
        if caller.finds:
            await _refuse_too_many(unit, row, len(data.steps), settings.max_found_steps)
        ids, warnings = await store(unit, row, data.steps, caller)
        if caller.kind != TaskKind.PLAN:
            if holder_of(caller, row) is None:
                await settle_orders(unit, ids)
            await reopen(unit, row)
        added = [answers.StepAdded(id=i, name=s.name) for i, s in zip(ids, data.steps, strict=True)]
        return await once.keep(unit, answers.StepsAdded(steps=added, warnings=warnings))


@delete("/v1/directives/{directive:uuid}/steps/{step:uuid}", status_code=200)
async def remove_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
) -> answers.StepRemoved:
    """Remove a step that hasn't run. A planning's removal counts when it ends well; other tasks take back their own."""
    caller.on(directive)
    async with database.unit_of_work("gateway.remove_step") as unit:
        row = await lock(unit, caller, directive)
        await _refuse_ended(unit, caller)
        if caller.finds:
            await _refuse_others(unit, caller, directive, step)
        holder = holder_of(caller, row)
        left = await unit.rows(SQL["dependents"], {"step": step})
        serving = {"steps": [step]}
        orders = [row["order_id"] for row in await unit.rows(SQL["orders_of_steps"], serving)]
        removed = await unit.rows(SQL["remove_step"], {"step": step, "directive": directive, "held_by": holder})
        if not removed:
            raise HTTPException(f"step {step} is not there, or runs or completed already", status_code=409)
        unit.record(*(_removed(directive, one, caller.kind == TaskKind.PLAN) for one in removed))
        if holder is None and orders:
            for row in await unit.rows(SQL["settle_these_orders"], {"orders": orders}):
                unit.record(OrderChanged(directive=directive, order=row["id"], status=row["status"]))
        await make_ready(unit, directive)
    return answers.StepRemoved(
        id=step, warnings=[f"{row['name']!r} depends on it: remove it too, or it runs without" for row in left]
    )


@post("/v1/directives/{directive:uuid}/steps/{step:uuid}/retry", status_code=200)
async def retry_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
) -> answers.StepMoved:
    """Let a failed step run again, and what was skipped because it had failed."""
    return await _settle(directive, step, caller.person(), database, SQL["retry_step"], "has not failed")


@post("/v1/directives/{directive:uuid}/steps/{step:uuid}/skip", status_code=200)
async def skip_step(
    directive: FromPath[UUID],
    step: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
) -> answers.StepMoved:
    """Go on without a step that is pending, ready or failed: what depends on it may run."""
    return await _settle(
        directive, step, caller.person(), database, SQL["skip_step"], "is not pending, ready or failed, or runs"
    )


@get("/v1/steps/{step:uuid}")
async def find_step(
    step: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> answers.StepFound:
    """Which directive a step is of."""
    rows = await database.rows(SQL["find_step"], {"step": step, "owner": caller.owner})
    if not rows:
        raise NotFoundException(f"no step {step}")
    caller.on(rows[0]["directive_id"])
    return answers.answer(answers.StepFound, rows[0])


async def _settle(
    directive: UUID, step: UUID, caller: Caller, database: Database, statement: LiteralString, unless: str
) -> answers.StepMoved:
    """A person's word on a step; a directive that is paused for no other failure goes on."""
    async with database.unit_of_work("gateway.settle_step") as unit:
        row = await lock(unit, caller, directive)
        moved = await unit.rows(statement, {"step": step, "directive": directive})
        if not any(m["id"] == step for m in moved):
            raise HTTPException(f"step {step} is not there, or {unless}", status_code=409)
        for m in moved:
            unit.record(
                StepChanged(
                    directive=directive, step=m["id"], name=m["name"], status=m["status"], reason="a person said so"
                )
            )
        await settle_orders(unit, [m["id"] for m in moved])
        failed = (await unit.rows(SQL["failed_steps"], {"directive": directive}))[0]["failed"]
        if row["status"] == DirectiveStatus.PAUSED and row["paused_for"] in SETTLED_BY_A_STEP and not failed:
            await activate(unit, directive)
        else:
            await reopen(unit, row)
        status = (await unit.rows(SQL["version"], {"id": directive}))[0]["status"]
    (settled,) = (m for m in moved if m["id"] == step)
    return answers.StepMoved(id=step, name=settled["name"], status=settled["status"], directive_status=status)


def holder_of(caller: Caller, directive: Row) -> UUID | None:
    """The task with whose changes one of the caller's comes into force; None: it counts at once (rule 5).

    A planning's come into force when it ends well; what other tasks change, where plans are approved, when a person
    approves it.
    """
    return caller.task if caller.kind == TaskKind.PLAN or directive["approve_plan"] else None


async def _refuse_too_many(unit: UnitOfWork, row: Row, count: int, most: int) -> None:
    """Raise HTTPException 409 for a task that adds more than is left for work that tasks find, or after the end."""
    if row["status"] in (DirectiveStatus.COMPLETED, DirectiveStatus.ARCHIVED):
        raise HTTPException(f"the directive is {row['status']}: a task can't add to it any more", status_code=409)
    found = (await unit.rows(SQL["found_steps"], {"directive": row["id"]}))[0]["found"]
    if found + count > most:
        raise HTTPException(
            f"tasks may add {most} steps after a plan, for work that they find (max_found_steps), and have added "
            f"{found}: leave the rest to a person, by `makima ask` or in your outcome",
            status_code=409,
        )


async def _refuse_others(unit: UnitOfWork, caller: Caller, directive: UUID, step: UUID) -> None:
    """Raise PermissionDeniedException for a step that the calling task did not add."""
    for row in await unit.rows(SQL["added_by"], {"directive": directive, "step": step}):
        if row["added_by"] != caller.task:
            raise PermissionDeniedException("a task removes only steps that it added itself; ask a person: makima ask")


def _removed(directive: UUID, row: Row, planning: bool) -> StepRemoved | StepChanged:
    """What to say of a step that is removed: at once, or when that comes into force."""
    if row["gone"]:
        return StepRemoved(directive=directive, step=row["id"])
    reason = "the plan in the making leaves it out" if planning else "to be removed once that is approved"
    return StepChanged(directive=directive, step=row["id"], name=row["name"], status=row["status"], reason=reason)


async def _refuse_ended(unit: UnitOfWork, caller: Caller) -> None:
    """Raise HTTPException 409 when the calling task ended before the directive was locked: its word comes too late."""
    if caller.task and not await unit.rows(SQL["live_task"], {"task": caller.task, "attempt": caller.attempt}):
        raise HTTPException("the token's task has ended", status_code=409)


async def store(
    unit: UnitOfWork, row: Row, steps: Sequence[PlannedStep], caller: Caller
) -> tuple[list[UUID], list[str]]:
    """Store a valid batch in a locked directive; its ids, in order, and the warnings.

    Only a person's may say which generation they are of. Raises HTTPException 422 when it isn't valid.
    """
    directive: UUID = row["id"]
    generation = row["generation"] + (caller.kind == TaskKind.PLAN)
    existing = {row["id"]: row["name"] for row in await unit.rows(SQL["step_names"], {"id": directive})}
    ids = [new_id() for _ in steps]
    try:
        needs = resolve(steps, existing, ids)
    except PlanRefused as error:
        raise HTTPException(str(error), status_code=422) from None
    await unit.rows(
        SQL["add_steps"],
        {
            "directive": directive,
            "held_by": holder_of(caller, row),
            "added_by": caller.task,
            "ids": ids,
            "names": [s.name for s in steps],
            "descriptions": [s.description for s in steps],
            "task_plans": [s.task_plan for s in steps],
            "files": [as_array(s.files) for s in steps],
            "order_indexes": [s.order_index for s in steps],
            "generations": [generation if caller.task or s.generation is None else s.generation for s in steps],
        },
    )
    edges = [(i, need, at) for i, all_of in zip(ids, needs, strict=True) for at, need in enumerate(all_of)]
    if edges:
        columns = dict(zip(("steps", "needs", "positions"), map(list, zip(*edges, strict=True)), strict=True))
        await unit.rows(SQL["add_dependencies"], columns)
    await _serve(unit, directive, steps, ids)
    unit.record(StepAdded(directive=directive, steps=tuple(ids)))
    return ids, review(steps, ids, needs)


async def _serve(unit: UnitOfWork, directive: UUID, steps: Sequence[PlannedStep], ids: Sequence[UUID]) -> None:
    """Keep which orders the steps serve. Raises HTTPException 422 for an order that isn't the directive's."""
    served = [(step_id, order) for step_id, step in zip(ids, steps, strict=True) for order in step.order_ids]
    if not served:
        return
    columns = {"directive": directive, "steps": [i for i, _ in served], "orders": [o for _, o in served]}
    kept = {row["order_id"] for row in await unit.rows(SQL["serve_orders"], columns)}
    for at, step in enumerate(steps):
        for order in step.order_ids:
            if order not in kept:
                raise HTTPException(
                    f"steps[{at}] ({step.name!r}): order {order} isn't linked to this directive, or was cancelled",
                    status_code=422,
                )


ROUTES = (add_steps, remove_step, retry_step, skip_step, find_step)
