"""Planning by a person's word: a goal changed, a plan asked for, approved or rejected, policies changed."""

from __future__ import annotations

from uuid import UUID

import msgspec
from litestar import Response, patch, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, JSONBody

from services.gateway.access import OPERATOR, Caller
from services.gateway.effects import (
    activate,
    changed,
    hand_over_planning,
    request_plan,
    settle_orders,
    withdraw,
    withdraw_plans,
)
from services.gateway.rows.directives import LockedDirective
from services.gateway.rows.planning import AWAITED, CHANGE_GOAL, CHANGE_POLICIES, ENFORCE_PLANS
from services.gateway.showing import shown
from services.gateway.texts import refuse_bad_text, refuse_reserved
from services.gateway.transactions import DirectiveChange, DirectiveTransaction, refuse_archived
from services.gateway.versions import ETAG
from shared.api.directives import DirectiveChanges, DirectiveShown, NewGoal, PlanWish
from shared.config import Settings
from shared.domain.statuses import DirectiveStatus, PauseCause
from shared.messages.events import PlanFinished, StepRemoved
from shared.store.database import UnitOfWork

FIXED_BY_A_PLAN = (PauseCause.PLANNING, PauseCause.FAILURE, PauseCause.STUCK)
"""Causes of a pause that a person's wish for a new plan settles."""


@post(
    "/v1/directives/{directive:uuid}/goal",
    status_code=200,
    operation_id="changeGoal",
    opt=OPERATOR,
    tags=["planning"],
    response_headers=[ETAG],
)
async def change_goal(
    directive: FromPath[UUID],
    data: JSONBody[NewGoal],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Replace the goal: the old one is kept, and planning is due; a planning for the old one is cancelled."""
    refuse_bad_text("goal", data.goal)
    async with directive_change.begin_on("gateway.goal", directive) as begun:
        refuse_archived(begun.directive)
        begun.unit.execute(CHANGE_GOAL(id=directive, goal=data.goal))
        await changed(begun.unit, directive, "goal")
        await _plan_anew(begun.unit, begun.directive, "goal", "", "the goal changed")
        return begun.answer(await shown(begun.unit, caller, directive))


@post(
    "/v1/directives/{directive:uuid}/replan",
    status_code=200,
    operation_id="replan",
    opt=OPERATOR,
    tags=["planning"],
    response_headers=[ETAG],
)
async def replan(
    directive: FromPath[UUID],
    data: JSONBody[PlanWish],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Ask for a new plan of the same goal, with a word for the planner."""
    async with directive_change.begin_on("gateway.replan", directive) as begun:
        refuse_archived(begun.directive)
        await _plan_anew(begun.unit, begun.directive, "user", data.reason, "a new plan was asked for")
        return begun.answer(await shown(begun.unit, caller, directive))


@post(
    "/v1/directives/{directive:uuid}/approve",
    status_code=200,
    operation_id="approvePlan",
    opt=OPERATOR,
    tags=["planning"],
    response_headers=[ETAG],
)
async def approve(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Let what waits for it come into force: a plan, and what steps' tasks added and removed."""
    async with directive_change.begin_on("gateway.approve", directive) as begun:
        awaited = await _awaited(begun)
        for plan in await begun.unit.fetch(ENFORCE_PLANS(tasks=awaited)):
            begun.unit.record(PlanFinished(directive=directive, steps=len(plan.steps)))
            begun.unit.record(*(StepRemoved(directive=directive, step=step) for step in plan.gone))
            await settle_orders(begun.unit, plan.orders)
        await _go_on(begun.unit, begun.directive)
        return begun.answer(await shown(begun.unit, caller, directive))


@post(
    "/v1/directives/{directive:uuid}/reject",
    status_code=200,
    operation_id="rejectPlan",
    opt=OPERATOR,
    tags=["planning"],
    response_headers=[ETAG],
)
async def reject(
    directive: FromPath[UUID],
    data: JSONBody[PlanWish],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
) -> Response[DirectiveShown]:
    """Withdraw what waits for approval. Was a plan among it, planning is due again, told the reason."""
    if not data.reason.strip():
        raise HTTPException("say why, for the planner: give a reason", status_code=422)
    async with directive_change.begin_on("gateway.reject", directive) as begun:
        unit, row = begun.unit, begun.directive
        awaited = await _awaited(begun)
        await withdraw_plans(unit, [task for task in awaited if task != row.awaited_plan])
        if row.awaited_plan is None:
            await _go_on(unit, row)
        else:
            await _plan_anew(unit, row, "user", f"The last plan was rejected: {data.reason}", "the plan was rejected")
        return begun.answer(await shown(unit, caller, directive))


@patch(
    "/v1/directives/{directive:uuid}",
    operation_id="changeDirective",
    opt=OPERATOR,
    tags=["directives"],
    response_headers=[ETAG],
)
async def change_policies(
    directive: FromPath[UUID],
    data: JSONBody[DirectiveChanges],
    caller: NamedDependency[Caller],
    directive_change: NamedDependency[DirectiveChange],
    settings: NamedDependency[Settings],
) -> Response[DirectiveShown]:
    """Change policies and limits; what was paused by a limit goes on, and is paused again if it is still past one.

    A planning that waits is the new agent's; tasks that have begun keep theirs.
    """
    async with directive_change.begin_on("gateway.policies", directive) as begun:
        refuse_archived(begun.directive)
        for name in ("agent", "base_branch", "check"):
            if given_text := getattr(data, name):
                refuse_bad_text(name.replace("_", " "), given_text)
        refuse_reserved(data.agent)
        wanted = {field: getattr(data, field) for field in data.__struct_fields__}
        given = {field: value for field, value in wanted.items() if value is not msgspec.UNSET}
        stays = {field: getattr(begun.directive, field) for field in wanted}
        begun.unit.execute(CHANGE_POLICIES(id=directive, **{**stays, **given}))
        await changed(begun.unit, directive, *given)
        if "agent" in given:
            await hand_over_planning(begun.unit, directive, data.agent or settings.agent)
        if begun.directive.paused_for == PauseCause.BUDGET:
            await activate(begun.unit, directive)
        return begun.answer(await shown(begun.unit, caller, directive))


async def _awaited(begun: DirectiveTransaction) -> list[UUID]:
    """The tasks whose changes wait for approval. Raises HTTPException 409 when there are none."""
    refuse_archived(begun.directive)
    awaited = await begun.unit.fetch_one(AWAITED(id=begun.directive.id))
    if not awaited:
        raise HTTPException(f"nothing of directive {begun.directive.id} waits for approval", status_code=409)
    return awaited


async def _go_on(unit: UnitOfWork, directive: LockedDirective) -> None:
    """What waited for approval is settled: a directive that a person or a limit has paused stays so."""
    if directive.awaited_plan is not None or directive.status != DirectiveStatus.PAUSED:
        await activate(unit, directive.id)


async def _plan_anew(unit: UnitOfWork, directive: LockedDirective, reason: str, text: str, why: str) -> None:
    """Planning is due, instead of what is being planned or waits for approval; a draft plans when it is started."""
    if directive.status == DirectiveStatus.DRAFT:
        return
    await withdraw(unit, directive, why)
    request_plan(unit, directive.id, reason, {"text": text} if text else {})
    stays = directive.status == DirectiveStatus.PAUSED and directive.paused_for not in FIXED_BY_A_PLAN
    if directive.status != DirectiveStatus.ACTIVE and not stays:
        await activate(unit, directive.id)


ROUTES = (change_goal, replan, approve, reject, change_policies)
