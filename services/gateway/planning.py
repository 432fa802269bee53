"""Planning by a person's word: a goal changed, a plan asked for, approved or rejected, policies changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from litestar import patch, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway.access import SQL, Caller
from services.gateway.answers import DirectiveShown
from services.gateway.changes import activate, changed, lock, refuse_bad_text, request_plan, settle_orders, withdraw
from services.gateway.directives import shown
from services.gateway.idempotency import Once
from shared.domain.statuses import DirectiveStatus, PauseCause
from shared.messages.events import PlanFinished, StepRemoved
from shared.store.database import Database, Row, UnitOfWork

MENDED_BY_A_PLAN = (PauseCause.PLANNING, PauseCause.FAILURE, PauseCause.STUCK)
"""Causes of a pause that a person's wish for a new plan settles."""


class NewGoal(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives/{id}/goal."""

    goal: str


class Wish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/directives/{id}/replan and /reject: what the planner is told, in a person's words."""

    reason: str = ""


class Changes(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of PATCH /v1/directives/{id}: what isn't given stays. Null lifts a limit; money in US dollars."""

    on_failure: Literal["replan", "pause", "continue"] | msgspec.UnsetType = msgspec.UNSET
    approve_plan: bool | msgspec.UnsetType = msgspec.UNSET
    max_parallel: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType = msgspec.UNSET
    max_attempts: Annotated[int, msgspec.Meta(ge=1)] | msgspec.UnsetType = msgspec.UNSET
    max_cost_usd: Annotated[float, msgspec.Meta(gt=0)] | msgspec.UnsetType | None = msgspec.UNSET
    max_tokens: Annotated[int, msgspec.Meta(gt=0)] | msgspec.UnsetType | None = msgspec.UNSET
    deadline: Annotated[datetime, msgspec.Meta(tz=True)] | msgspec.UnsetType | None = msgspec.UNSET
    stop_now: bool | msgspec.UnsetType = msgspec.UNSET


@post("/v1/directives/{directive:uuid}/goal", status_code=200)
async def change_goal(
    directive: FromPath[UUID],
    data: JSONBody[NewGoal],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
    version: FromQuery[int | None] = None,
) -> DirectiveShown:
    """Replace the goal: the old one is kept, and planning is due; a planning for the old one is cancelled."""
    refuse_bad_text("goal", data.goal)
    async with database.unit_of_work("gateway.goal") as unit:
        if known := await once.known(unit, DirectiveShown):
            return known
        row = await lock(unit, caller.person(), directive, version)
        _refuse_archived(row)
        await unit.rows(SQL["change_goal"], {"id": directive, "goal": data.goal})
        await changed(unit, directive, "goal")
        await _plan_anew(unit, row, "goal", "", "the goal changed")
        return await once.keep(unit, await shown(unit, caller, directive))


@post("/v1/directives/{directive:uuid}/replan", status_code=200)
async def replan(
    directive: FromPath[UUID],
    data: JSONBody[Wish],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
    version: FromQuery[int | None] = None,
) -> DirectiveShown:
    """Ask for a new plan of the same goal, with a word for the planner."""
    async with database.unit_of_work("gateway.replan") as unit:
        if known := await once.known(unit, DirectiveShown):
            return known
        row = await lock(unit, caller.person(), directive, version)
        _refuse_archived(row)
        await _plan_anew(unit, row, "user", data.reason, "a new plan was asked for")
        return await once.keep(unit, await shown(unit, caller, directive))


@post("/v1/directives/{directive:uuid}/approve", status_code=200)
async def approve(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
    version: FromQuery[int | None] = None,
) -> DirectiveShown:
    """Let what waits for it come into force: a plan, and what steps' tasks added and removed."""
    async with database.unit_of_work("gateway.approve") as unit:
        if known := await once.known(unit, DirectiveShown):
            return known
        row, awaited = await _awaiting(unit, caller, directive, version)
        for enforced in await unit.rows(SQL["enforce_plans"], {"tasks": awaited}):
            unit.record(PlanFinished(directive=directive, steps=len(enforced["steps"])))
            unit.record(*(StepRemoved(directive=directive, step=step) for step in enforced["gone"]))
            await settle_orders(unit, enforced["steps"])
        await _go_on(unit, row)
        return await once.keep(unit, await shown(unit, caller, directive))


@post("/v1/directives/{directive:uuid}/reject", status_code=200)
async def reject(
    directive: FromPath[UUID],
    data: JSONBody[Wish],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    once: NamedDependency[Once],
    version: FromQuery[int | None] = None,
) -> DirectiveShown:
    """Withdraw what waits for approval. Was a plan among it, planning is due again, told the reason."""
    if not data.reason.strip():
        raise HTTPException("say why, for the planner: give a reason", status_code=422)
    async with database.unit_of_work("gateway.reject") as unit:
        if known := await once.known(unit, DirectiveShown):
            return known
        row, awaited = await _awaiting(unit, caller, directive, version)
        for gone in await unit.rows(SQL["withdraw_plans"], {"tasks": [t for t in awaited if t != row["awaited_plan"]]}):
            unit.record(StepRemoved(directive=directive, step=gone["id"]))
        if row["awaited_plan"] is None:
            await _go_on(unit, row)
        else:
            await _plan_anew(unit, row, "user", f"The last plan was rejected: {data.reason}", "the plan was rejected")
        return await once.keep(unit, await shown(unit, caller, directive))


@patch("/v1/directives/{directive:uuid}")
async def change_policies(
    directive: FromPath[UUID],
    data: JSONBody[Changes],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    version: FromQuery[int | None] = None,
) -> DirectiveShown:
    """Change policies and limits; what was paused by a limit goes on, and is paused again if it is still past one."""
    async with database.unit_of_work("gateway.policies") as unit:
        row = await lock(unit, caller.person(), directive, version)
        _refuse_archived(row)
        wanted = {field: getattr(data, field) for field in data.__struct_fields__}
        given = {field: value for field, value in wanted.items() if value is not msgspec.UNSET}
        await unit.rows(SQL["change_policies"], {"id": directive, **{f: row[f] for f in wanted}, **given})
        await changed(unit, directive, *given)
        if row["paused_for"] == PauseCause.BUDGET:
            await activate(unit, directive)
        return await shown(unit, caller, directive)


def _refuse_archived(row: Row) -> None:
    if row["status"] == DirectiveStatus.ARCHIVED:
        raise HTTPException("the directive is archived: nothing of it changes any more", status_code=409)


async def _awaiting(
    unit: UnitOfWork, caller: Caller, directive: UUID, version: int | None
) -> tuple[Row, Sequence[UUID]]:
    """The directive, locked, and the tasks whose changes wait for approval."""
    row = await lock(unit, caller.person(), directive, version)
    _refuse_archived(row)
    awaited = (await unit.rows(SQL["awaited"], {"id": directive}))[0]["tasks"]
    if not awaited:
        raise HTTPException(f"nothing of directive {directive} waits for approval", status_code=409)
    return row, awaited


async def _go_on(unit: UnitOfWork, row: Row) -> None:
    """What waited for approval is settled: a directive that a person or a limit has paused stays so."""
    if row["awaited_plan"] is not None or row["status"] != DirectiveStatus.PAUSED:
        await activate(unit, row["id"])


async def _plan_anew(unit: UnitOfWork, row: Row, reason: str, text: str, why: str) -> None:
    """Planning is due, instead of what is being planned or waits for approval; a draft plans when it is started."""
    if row["status"] == DirectiveStatus.DRAFT:
        return
    directive = row["id"]
    await withdraw(unit, row, why)
    await request_plan(unit, directive, reason, {"text": text} if text else {})
    stays = row["status"] == DirectiveStatus.PAUSED and row["paused_for"] not in MENDED_BY_A_PLAN
    if row["status"] != DirectiveStatus.ACTIVE and not stays:
        await activate(unit, directive)


ROUTES = (change_goal, replan, approve, reject, change_policies)
