"""What follows from decisions: plans in force, failures answered, budgets held, the DAG moved on. Asked of the rules,
written set by set, all in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec

from services.monitor.decisions import Decision
from shared.domain.budgets import Limits, Spent, exceeded
from shared.domain.policies import OnFailure, Response, Rounds, after_cancel, after_failure
from shared.domain.statuses import PauseCause, TaskKind, TaskStatus
from shared.messages.events import (
    DirectiveChanged,
    OrderChanged,
    PlanFinished,
    PlanRequested,
    StepChanged,
    StepReady,
    StepRemoved,
    TaskChanged,
)
from shared.store.database import Row, UnitOfWork
from shared.store.statements import statements

SQL = statements("services.monitor")
_PAUSES = {
    TaskKind.PLAN: (PauseCause.PLANNING, "planning"),
    TaskKind.COMPLETION: (PauseCause.DELIVERY, "the delivery"),
    TaskKind.VERIFICATION: (PauseCause.DELIVERY, "the verification"),
}


async def settle_plans(unit: UnitOfWork, plans: Sequence[Decision]) -> None:
    """A plan that ended well comes into force whole, or waits for its approval; any other is withdrawn (rule 5)."""
    good = [d for d in plans if d.verdict.status is TaskStatus.COMPLETED]
    if asked := [d.task.id for d in good if d.task.approve_plan]:
        for row in await unit.rows(SQL["await_approval"], {"tasks": asked}):
            unit.record(
                DirectiveChanged(directive=row["id"], status=row["status"], reason="the plan waits for approval")
            )
    if agreed := [d.task.id for d in good if not d.task.approve_plan]:
        await enforce(unit, agreed)
    if bad := [d for d in plans if d.verdict.status is not TaskStatus.COMPLETED]:
        gone = await unit.rows(SQL["withdraw_plans"], {"tasks": [d.task.id for d in bad]})
        unit.record(*(StepRemoved(directive=row["directive_id"], step=row["id"]) for row in gone))
        over = [d.task.id for d in bad if d.verdict.status is not TaskStatus.PENDING]
        await unit.rows(SQL["unserve"], {"tasks": over})


async def enforce(unit: UnitOfWork, plans: Sequence[UUID]) -> None:
    """Plans come into force; what may run at once is made ready."""
    rows = await unit.rows(SQL["enforce_plans"], {"tasks": list(plans)})
    unit.record(*(PlanFinished(directive=row["directive_id"], steps=len(row["steps"])) for row in rows))
    unit.record(*(StepRemoved(directive=row["directive_id"], step=step) for row in rows for step in row["gone"]))
    await settle_orders(unit, [step for row in rows for step in row["steps"]])
    await advance_all(unit, [row["directive_id"] for row in rows])


async def respond(unit: UnitOfWork, over: Sequence[Decision], new_id: Callable[[], UUID]) -> None:
    """Answer what has finally failed or was cancelled by a person, as each directive's policy says (rule 10)."""
    over = [d for d in over if d.task.cancel_cause is None]
    steps = [d for d in over if d.task.kind is TaskKind.STEP]
    responses = await _responses(unit, steps)
    going_on = [d for d in steps if responses[d.task.id].action is OnFailure.CONTINUE and d.task.step]
    if going_on:
        skipped = await unit.rows(SQL["skip_dependents"], {"steps": [d.task.step for d in going_on]})
        record_steps(unit, skipped)
        await settle_orders(unit, [row["id"] for row in skipped])
        await advance_all(unit, [d.task.directive for d in going_on])
    if again := [d for d in steps if responses[d.task.id].action is OnFailure.REPLAN]:
        await _request_replans(unit, again, new_id)
    pauses = {
        d.task.directive: (PauseCause.FAILURE, responses[d.task.id].reason)
        for d in steps
        if responses[d.task.id].action is OnFailure.PAUSE
    }
    for decision in over:
        if decision.task.kind in _PAUSES:
            cause, what = _PAUSES[decision.task.kind]
            ended = "was cancelled" if decision.verdict.status is TaskStatus.CANCELLED else "failed"
            pauses[decision.task.directive] = (cause, f"{what} {ended}: {decision.reason}")
    await pause(unit, pauses)


async def pause_blocked(unit: UnitOfWork, blocked: Sequence[Decision]) -> None:
    """Pause where a person must mend something, e.g. sign an agent in, before the task may go on."""
    await pause(unit, {d.task.directive: (PauseCause.BLOCKED, d.reason or "") for d in blocked})


async def _responses(unit: UnitOfWork, steps: Sequence[Decision]) -> dict[UUID, Response]:
    failed = {d.task.directive for d in steps if d.verdict.status is TaskStatus.FAILED}
    rounds: dict[UUID, Rounds] = {}
    if failed:
        for row in await unit.rows(SQL["rounds"], {"directives": list(failed)}):
            rounds[row["id"]] = Rounds(
                has_goal=row["has_goal"], in_a_row=row["in_a_row"], under_this_goal=row["under_this_goal"]
            )
    return {d.task.id: _response(d, rounds) for d in steps}


def _response(decision: Decision, rounds: Mapping[UUID, Rounds]) -> Response:
    task, why = decision.task, decision.reason or "no reason given"
    if decision.verdict.status is TaskStatus.CANCELLED:
        return after_cancel(task.on_failure, task.name, why)
    return after_failure(task.on_failure, task.name, why, rounds.get(task.directive, Rounds()))


async def _request_replans(unit: UnitOfWork, failed: Sequence[Decision], new_id: Callable[[], UUID]) -> None:
    payloads = [
        {"step": str(d.task.step), "name": d.task.name, "reason": d.reason or "", "tail": (d.tail or "")[-2000:]}
        for d in failed
    ]
    columns = {
        "ids": [new_id() for _ in failed],
        "directives": [d.task.directive for d in failed],
        "payloads": [msgspec.json.encode(p).decode() for p in payloads],
    }
    await unit.rows(SQL["request_replans"], columns)
    unit.record(*(PlanRequested(directive=d.task.directive, reason="failure") for d in failed))


async def hold_to_budgets(unit: UnitOfWork, directives: list[UUID] | None) -> None:
    """Pause whatever has spent its budget or is past its deadline (rule 18). None: all that are past a deadline."""
    rows = await unit.rows(SQL["spent"], {"directives": directives})
    pauses = {}
    for row in rows:
        limits = Limits(max_cost_usd=row["max_cost_usd"], max_tokens=row["max_tokens"], deadline=row["deadline"])
        if reason := exceeded(Spent(cost_usd=row["cost_usd"], tokens=row["tokens"]), limits, row["now"]):
            pauses[row["id"]] = (PauseCause.BUDGET, reason)
    await pause(unit, pauses)
    if stopping := [row["id"] for row in rows if row["stop_now"] and row["id"] in pauses]:
        for row in await unit.rows(SQL["stop_tasks"], {"directives": stopping, "reason": "the budget is spent"}):
            unit.record(
                TaskChanged(
                    directive=row["directive_id"],
                    task=row["id"],
                    attempt=row["attempt"],
                    kind=row["kind"],
                    status=row["status"],
                    reason="cancel asked: the budget is spent",
                    asked=True,
                )
            )


async def pause(unit: UnitOfWork, pauses: Mapping[UUID, tuple[PauseCause, str]]) -> None:
    """Pause directives that can't go on by themselves, each with its cause and the reason in words."""
    if pauses:
        columns = {
            "directives": list(pauses),
            "causes": [cause for cause, _ in pauses.values()],
            "reasons": [reason for _, reason in pauses.values()],
        }
        rows = await unit.rows(SQL["pause"], columns)
        unit.record(*(DirectiveChanged(directive=r["id"], status="paused", reason=r["pause_reason"]) for r in rows))


async def settle_orders(unit: UnitOfWork, steps: Sequence[UUID]) -> None:
    """Bring the orders that these steps serve up to date."""
    if steps:
        rows = await unit.rows(SQL["settle_orders"], {"steps": list(steps)})
        unit.record(*(OrderChanged(directive=r["directive_id"], order=r["id"], status=r["status"]) for r in rows))


async def advance_all(unit: UnitOfWork, directives: list[UUID] | None) -> None:
    """Readiness, idleness and dead ends of whole directives (None: of all)."""
    chosen = {"directives": directives}
    names = ("advance_all", "idle", "await_found", "stuck")
    ready, idle, awaiting, stuck = await unit.rows_of_each(*((SQL[name], chosen) for name in names))
    made_ready(unit, ready)
    became_idle(unit, idle)
    unit.record(
        *(
            DirectiveChanged(directive=r["id"], status="awaiting_approval", reason="work that its steps found")
            for r in awaiting
        )
    )
    unit.record(*(DirectiveChanged(directive=r["id"], status="paused", reason=r["pause_reason"]) for r in stuck))


def became_idle(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    """Say in which directives nothing is left to do."""
    unit.record(*(DirectiveChanged(directive=row["id"], status="idle") for row in rows))


def made_ready(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    """Say which steps were made ready, a directive a row."""
    unit.record(*(StepReady(directive=r["directive_id"], steps=tuple(r["steps"])) for r in rows if r["steps"]))


def record_steps(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    """Say what became of steps."""
    unit.record(
        *(
            StepChanged(
                directive=r["directive_id"], step=r["id"], name=r["name"], status=r["status"], reason=r["reason"]
            )
            for r in rows
        )
    )
