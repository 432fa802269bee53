"""Steps: added as whole batches, removed one by one."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec
from litestar import delete, post
from litestar.exceptions import HTTPException

from services.gateway import answers
from services.gateway.access import SQL, Caller
from services.gateway.changes import lock, make_ready, reopen
from services.gateway.idempotency import Once
from shared.domain.ids import new_id
from shared.domain.plans import PlannedStep, PlanRefused, resolve
from shared.messages.events import StepAdded, StepRemoved
from shared.store.database import Database, UnitOfWork


class NewSteps(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives/{id}/steps."""

    steps: list[PlannedStep]


@post("/v1/directives/{directive:uuid}/steps")
async def add_steps(
    directive: UUID, data: NewSteps, caller: Caller, database: Database, once: Once
) -> list[answers.StepAdded]:
    """Add a batch whole or not at all; a planning task's is held until it ends."""
    caller.on(directive)
    planning = caller.task if caller.kind == "plan" else None
    async with database.unit_of_work("gateway.add_steps") as unit:
        if known := await once.known(unit, list[answers.StepAdded]):
            return known
        row = await lock(unit, caller, directive)
        ids = await store(unit, directive, data.steps, row["generation"] + (planning is not None), planning)
        if planning is None:
            await reopen(unit, row)
        added = [answers.StepAdded(id=i, name=s.name) for i, s in zip(ids, data.steps, strict=True)]
        return await once.keep(unit, added)


@delete("/v1/directives/{directive:uuid}/steps/{step:uuid}")
async def remove_step(directive: UUID, step: UUID, caller: Caller, database: Database) -> None:
    """Remove a step that hasn't run; a planning task's removal counts when it ends well."""
    caller.on(directive)
    async with database.unit_of_work("gateway.remove_step") as unit:
        await lock(unit, caller, directive)
        if not await unit.rows(SQL["remove_step"], {"step": step, "directive": directive, "task": caller.task}):
            raise HTTPException(f"step {step} is not there, or runs or completed already", status_code=409)
        unit.record(StepRemoved(directive=directive, step=step))
        await make_ready(unit, directive)


async def store(
    unit: UnitOfWork, directive: UUID, steps: Sequence[PlannedStep], generation: int, held_by: UUID | None
) -> list[UUID]:
    """Store a valid batch; its ids, in order. Raises HTTPException 422 when it isn't valid."""
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
            "held_by": held_by,
            "ids": ids,
            "names": [s.name for s in steps],
            "descriptions": [s.description for s in steps],
            "task_plans": [s.task_plan for s in steps],
            "files": [_array(s.files) for s in steps],
            "order_indexes": [s.order_index for s in steps],
            "generations": [generation if s.generation is None else s.generation for s in steps],
        },
    )
    edges = [(i, need, at) for i, all_of in zip(ids, needs, strict=True) for at, need in enumerate(all_of)]
    if edges:
        columns = dict(zip(("steps", "needs", "positions"), map(list, zip(*edges, strict=True)), strict=True))
        await unit.rows(SQL["add_dependencies"], columns)
    unit.record(StepAdded(directive=directive, steps=tuple(ids)))
    return ids


def _array(items: Sequence[str]) -> str:
    escaped = (i.replace("\\", "\\\\").replace('"', '\\"') for i in items)
    return "{" + ",".join(f'"{i}"' for i in escaped) + "}"


ROUTES = (add_steps, remove_step)
