"""Directives and their steps: what people and planning tasks change, each a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar.exceptions import HTTPException, NotFoundException

from services.gateway.access import SQL, Caller
from shared.domain.ids import new_id
from shared.domain.plans import PlannedStep, PlanRefused, resolve
from shared.domain.statuses import DirectiveStatus, TransitionRefused, check_directive
from shared.messages.events import (
    DirectiveChanged,
    DirectiveCreated,
    PlanRequested,
    StepAdded,
    StepReady,
    StepRemoved,
)
from shared.store.database import Database, Row, UnitOfWork


class NewDirective(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives."""

    title: Annotated[str, msgspec.Meta(min_length=1)]
    goal: str = ""
    repository_url: str | None = None
    base_branch: str | None = None
    agent: str | None = None
    on_failure: Literal["replan", "pause", "continue"] = "replan"
    max_parallel: Annotated[int, msgspec.Meta(ge=1)] = 4
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] | None = None
    steps: list[PlannedStep] | None = None
    start: bool = False


class NewSteps(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives/{id}/steps."""

    steps: list[PlannedStep]


class Directives:
    """What may be done to an owner's directives."""

    def __init__(self, database: Database, max_attempts: int) -> None:
        self._database = database
        self._max_attempts = max_attempts

    async def create(self, caller: Caller, new: NewDirective) -> dict[str, Any]:
        """Store a directive, with its plan if it has one. Raises HTTPException 422."""
        if not new.title.strip() or not (new.goal.strip() or new.steps):
            raise HTTPException("a directive needs a title, and a goal or a plan", status_code=422)
        if any("\0" in text for text in (new.title, new.goal, new.repository_url or "", new.base_branch or "")):
            raise HTTPException("a text holds a NUL byte; remove it", status_code=422)
        directive = new_id()
        async with self._database.unit_of_work() as unit:
            await unit.rows(
                SQL["create"],
                {
                    "id": directive,
                    "owner": caller.owner,
                    "title": new.title,
                    "goal": new.goal,
                    "repository": new.repository_url,
                    "base": new.base_branch,
                    "agent": new.agent,
                    "on_failure": new.on_failure,
                    "max_parallel": new.max_parallel,
                    "max_attempts": new.max_attempts or self._max_attempts,
                },
            )
            unit.record(DirectiveCreated(directive=directive))
            if new.steps is not None:
                await _add(unit, directive, new.steps, generation=0, held_by=None)
            if new.start:
                await _activate(unit, directive)
        return await self.show(caller, directive)

    async def change(
        self, caller: Caller, directive: UUID, status: DirectiveStatus, reason: str | None
    ) -> dict[str, Any]:
        """A person's change of status. Raises HTTPException 409 when the table doesn't allow it."""
        async with self._database.unit_of_work() as unit:
            row = await _lock(unit, caller, directive)
            try:
                check_directive(DirectiveStatus(row["status"]), status)
            except TransitionRefused as error:
                raise HTTPException(str(error), status_code=409) from None
            if status is DirectiveStatus.ACTIVE:
                await _activate(unit, directive)
            else:
                await unit.rows(SQL["set_status"], {"id": directive, "status": status.value, "reason": reason})
                unit.record(DirectiveChanged(directive=directive, status=status, reason=reason))
        return await self.show(caller, directive)

    async def add_steps(self, caller: Caller, directive: UUID, steps: Sequence[PlannedStep]) -> list[dict[str, Any]]:
        """Add a batch whole or not at all; a planning task's is held until it ends. Raises HTTPException 422."""
        planning = caller.task if caller.kind == "plan" else None
        async with self._database.unit_of_work() as unit:
            row = await _lock(unit, caller, directive)
            ids = await _add(unit, directive, steps, row["generation"] + (planning is not None), planning)
            if planning is None:
                await _reopen(unit, row)
        return [{"id": str(i), "name": s.name} for i, s in zip(ids, steps, strict=True)]

    async def remove_step(self, caller: Caller, directive: UUID, step: UUID) -> None:
        """Remove a step that hasn't run. Raises HTTPException 409."""
        async with self._database.unit_of_work() as unit:
            await _lock(unit, caller, directive)
            if not await unit.rows(SQL["remove_step"], {"step": step, "directive": directive, "task": caller.task}):
                raise HTTPException(f"step {step} is not there, or runs or completed already", status_code=409)
            unit.record(StepRemoved(directive=directive, step=step))
            await _make_ready(unit, directive)

    async def show(self, caller: Caller, directive: UUID) -> dict[str, Any]:
        """The directive with its steps. Raises NotFoundException."""
        rows = await self._database.rows(SQL["show"], {"id": directive, "owner": caller.owner})
        if not rows:
            raise NotFoundException(f"no directive {directive}")
        return {**rows[0], "steps": await self._database.rows(SQL["steps"], {"id": directive})}


async def _lock(unit: UnitOfWork, caller: Caller, directive: UUID) -> Row:
    rows = await unit.rows(SQL["lock"], {"id": directive, "owner": caller.owner})
    if not rows:
        raise NotFoundException(f"no directive {directive}")
    return rows[0]


async def _reopen(unit: UnitOfWork, row: Row) -> None:
    """New steps reopen what was idle or completed; an active directive may have more to run at once."""
    if row["status"] in (DirectiveStatus.IDLE, DirectiveStatus.COMPLETED):
        await _activate(unit, row["id"])
    elif row["status"] == DirectiveStatus.ACTIVE:
        await _make_ready(unit, row["id"])


async def _activate(unit: UnitOfWork, directive: UUID) -> None:
    await unit.rows(SQL["set_status"], {"id": directive, "status": "active", "reason": None})
    unit.record(DirectiveChanged(directive=directive, status="active"))
    if (await unit.rows(SQL["needs_plan"], {"id": directive}))[0]["needed"]:
        await unit.rows(SQL["request_plan"], {"id": new_id(), "directive": directive, "reason": "goal"})
        unit.record(PlanRequested(directive=directive, reason="goal"))
    await _make_ready(unit, directive)


async def _make_ready(unit: UnitOfWork, directive: UUID) -> None:
    if ready := await unit.rows(SQL["make_ready"], {"directive": directive}):
        unit.record(StepReady(directive=directive, steps=tuple(r["id"] for r in ready)))


async def _add(
    unit: UnitOfWork, directive: UUID, steps: Sequence[PlannedStep], generation: int, held_by: UUID | None
) -> list[UUID]:
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
