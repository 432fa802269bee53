"""What follows from decisions: plans in force, failures answered, budgets held, the DAG moved on. Asked of the rules,
written set by set, all in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from services.monitor import rows
from services.monitor.decisions import Decision
from services.monitor.rows import Advanced, OrderRow, Step
from shared.domain.budgets import Limits, Spent, exceeded
from shared.domain.policies import (
    OnFailure,
    Response,
    Rounds,
    after_cancel,
    after_failure,
    needs_failed,
    nothing_can_run,
)
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
from shared.store.database import UnitOfWork

SPENT = "the budget is spent"
FAILED_TOO = "another step failed meanwhile: one planning serves both"
_PAUSES = {
    TaskKind.PLAN: (PauseCause.PLANNING, "planning"),
    TaskKind.COMPLETION: (PauseCause.DELIVERY, "the delivery"),
    TaskKind.VERIFICATION: (PauseCause.DELIVERY, "the verification"),
}


async def settle_plans(unit: UnitOfWork, plans: Sequence[Decision]) -> None:
    """A plan that ended well comes into force whole, or waits for its approval; any other is withdrawn (rule 5)."""
    good = [d for d in plans if d.verdict.status is TaskStatus.COMPLETED]
    if asked := [d.task.id for d in good if d.task.approve_plan]:
        for row in await unit.fetch(rows.AWAIT_APPROVAL(tasks=asked)):
            unit.record(DirectiveChanged(directive=row.id, status=row.status, reason="the plan waits for approval"))
    if agreed := [d.task.id for d in good if not d.task.approve_plan]:
        await enforce(unit, agreed)
    if bad := [d for d in plans if d.verdict.status is not TaskStatus.COMPLETED]:
        gone = await unit.fetch(rows.WITHDRAW_PLANS(tasks=[d.task.id for d in bad]))
        unit.record(*(StepRemoved(directive=row.directive_id, step=row.id) for row in gone))
        unit.execute(rows.UNSERVE(tasks=[d.task.id for d in bad if d.verdict.status is not TaskStatus.PENDING]))


async def enforce(unit: UnitOfWork, plans: Sequence[UUID]) -> None:
    """Plans come into force; what may run at once is made ready."""
    enforced = await unit.fetch(rows.ENFORCE_PLANS(tasks=list(plans)))
    unit.record(*(PlanFinished(directive=one.directive_id, steps=len(one.steps)) for one in enforced))
    unit.record(*(StepRemoved(directive=one.directive_id, step=step) for one in enforced for step in one.gone))
    if orders := [order for one in enforced for order in one.orders]:
        _say_orders(unit, await unit.fetch(rows.SETTLE_THESE_ORDERS(orders=orders)))
    await advance_all(unit, [one.directive_id for one in enforced])


async def respond(unit: UnitOfWork, over: Sequence[Decision], new_id: Callable[[], UUID]) -> None:
    """Answer what has finally failed or was cancelled by a person, as each directive's policy says (rule 10)."""
    over = [d for d in over if d.task.cancel_cause is None]
    steps = [d for d in over if d.task.kind is TaskKind.STEP]
    responses = await _responses(unit, steps)
    going_on = [d for d in steps if responses[d.task.id].action is OnFailure.CONTINUE and d.task.step]
    if going_on:
        skipped = await unit.fetch(
            rows.SKIP_DEPENDENTS(
                steps=[d.task.step for d in going_on], reasons=[needs_failed(d.task.name) for d in going_on]
            )
        )
        unit.record(*map(_step_changed, skipped))
        await settle_orders(unit, [step.id for step in skipped])
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
    """Pause where a person must fix something, e.g. sign an agent in, before the task may go on."""
    await pause(unit, {d.task.directive: (PauseCause.BLOCKED, d.reason or "") for d in blocked})


async def _responses(unit: UnitOfWork, steps: Sequence[Decision]) -> dict[UUID, Response]:
    failed = {d.task.directive for d in steps if d.verdict.status is TaskStatus.FAILED}
    rounds: dict[UUID, Rounds] = {}
    if failed:
        for row in await unit.fetch(rows.ROUNDS(directives=list(failed))):
            rounds[row.id] = Rounds(has_goal=row.has_goal, in_a_row=row.in_a_row, under_this_goal=row.under_this_goal)
    return {d.task.id: _response(d, rounds) for d in steps}


def _response(decision: Decision, rounds: Mapping[UUID, Rounds]) -> Response:
    task, why = decision.task, decision.reason or "no reason given"
    if decision.verdict.status is TaskStatus.CANCELLED:
        return after_cancel(task.on_failure, task.name, why)
    return after_failure(task.on_failure, task.name, why, rounds.get(task.directive, Rounds()))


async def _request_replans(unit: UnitOfWork, failed: Sequence[Decision], new_id: Callable[[], UUID]) -> None:
    unit.execute(
        rows.REQUEST_REPLANS(
            ids=[new_id() for _ in failed],
            directives=[d.task.directive for d in failed],
            payloads=[
                {
                    "step": str(d.task.step),
                    "name": d.task.name,
                    "reason": d.reason or "",
                    "tail": (d.tail or "")[-2000:],
                }
                for d in failed
            ],
        )
    )
    unit.record(*(PlanRequested(directive=d.task.directive, reason="failure") for d in failed))
    directives = list({d.task.directive for d in failed})
    _ends_asked(unit, await unit.fetch(rows.SUPERSEDE_REPLANS(directives=directives, reason=FAILED_TOO)), FAILED_TOO)


async def hold_to_budgets(unit: UnitOfWork, directives: list[UUID] | None) -> None:
    """Pause whatever has spent its budget or is past its deadline (rule 18). None: all that are past a deadline."""
    limited = await unit.fetch(rows.SPENT(directives=directives))
    pauses = {}
    for one in limited:
        limits = Limits(max_cost_usd=one.max_cost_usd, max_tokens=one.max_tokens, deadline=one.deadline)
        if reason := exceeded(Spent(cost_usd=one.cost_usd, tokens=one.tokens), limits, one.now):
            pauses[one.id] = (PauseCause.BUDGET, reason)
    await pause(unit, pauses)
    if stopping := [one.id for one in limited if one.stop_now and one.id in pauses]:
        _ends_asked(unit, await unit.fetch(rows.STOP_TASKS(directives=stopping, reason=SPENT)), SPENT)


def _ends_asked(unit: UnitOfWork, tasks: Sequence[rows.Asked], why: str) -> None:
    """Say of which tasks the end was asked for."""
    unit.record(
        *(
            TaskChanged(
                directive=task.directive_id,
                task=task.id,
                attempt=task.attempt,
                kind=task.kind,
                status=task.status,
                reason=f"cancel asked: {why}",
                asked=True,
            )
            for task in tasks
        )
    )


async def pause(unit: UnitOfWork, pauses: Mapping[UUID, tuple[PauseCause, str]]) -> None:
    """Pause directives that can't go on by themselves, each with its cause and the reason in words."""
    if pauses:
        paused = await unit.fetch(
            rows.PAUSE(
                directives=list(pauses),
                causes=[cause for cause, _ in pauses.values()],
                reasons=[reason for _, reason in pauses.values()],
            )
        )
        unit.record(*(DirectiveChanged(directive=p.id, status="paused", reason=p.pause_reason) for p in paused))


async def settle_orders(unit: UnitOfWork, steps: Sequence[UUID]) -> None:
    """Bring the orders that these steps serve up to date."""
    if steps:
        _say_orders(unit, await unit.fetch(rows.SETTLE_ORDERS(steps=list(steps))))


def _say_orders(unit: UnitOfWork, orders: Sequence[OrderRow]) -> None:
    unit.record(*(OrderChanged(directive=o.directive_id, order=o.id, status=o.status) for o in orders))


async def advance_all(unit: UnitOfWork, directives: list[UUID] | None) -> None:
    """Readiness, idleness and dead ends of whole directives (None: of all)."""
    ready, idle, awaiting, stuck = await unit.fetch_all(
        rows.ADVANCE_ALL(directives=directives),
        rows.IDLE(directives=directives),
        rows.AWAIT_FOUND(directives=directives),
        rows.STUCK(directives=directives),
    )
    made_ready(unit, ready)
    became_idle(unit, idle)
    found = "work that its steps found"
    unit.record(*(DirectiveChanged(directive=d, status="awaiting_approval", reason=found) for d in awaiting))
    await pause(unit, {d.id: (PauseCause.STUCK, nothing_can_run(d.failed)) for d in stuck})


def became_idle(unit: UnitOfWork, directives: Sequence[UUID]) -> None:
    """Tell in which directives nothing is left to do, as their statement has logged."""
    unit.announce(*(DirectiveChanged(directive=d, status="idle") for d in directives))


def made_ready(unit: UnitOfWork, advanced: Sequence[Advanced]) -> None:
    """Tell which steps were made ready, as their statement has logged."""
    unit.announce(*(StepReady(directive=one.directive_id, steps=one.steps) for one in advanced))


def steps_changed(unit: UnitOfWork, steps: Sequence[Step]) -> None:
    """Tell what became of steps, as their statement has logged."""
    unit.announce(*map(_step_changed, steps))


def _step_changed(step: Step) -> StepChanged:
    return StepChanged(
        directive=step.directive_id, step=step.id, name=step.name, status=step.status, reason=step.reason
    )
