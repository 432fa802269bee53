"""Writing a batch of decisions: tasks, attempts, steps; then what follows. All in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from services.monitor import consequences, rows
from services.monitor.decisions import Decision, Known
from services.monitor.rows import TaskRow
from shared.domain.outcomes import Live
from shared.domain.statuses import StepStatus, TaskKind, TaskStatus
from shared.messages.events import TaskChanged
from shared.store.database import UnitOfWork

NewId = Callable[[], UUID]


async def read(unit: UnitOfWork, tasks: Iterable[UUID]) -> dict[UUID, Known]:
    """The tasks, locked with their directives."""
    return {row.id: known(row) for row in await unit.fetch(rows.TASKS(tasks=list(tasks)))}


def known(row: TaskRow) -> Known:
    """A row of the `tasks` statement as the pure part takes it."""
    return Known(
        id=row.id,
        directive=row.directive_id,
        step=row.step_id,
        kind=row.kind,
        owner=row.owner,
        name=row.name,
        on_failure=row.on_failure,
        approve_plan=row.approve_plan,
        has_budget=row.has_budget,
        serves=row.serves,
        cancel_cause=row.cancel_cause,
        gave_up=row.gave_up,
        spent_usd=row.spent_usd,
        spent_tokens=row.spent_tokens,
        live=Live(
            status=row.status,
            attempt=row.attempt,
            failures=row.failures,
            losses=row.losses,
            max_attempts=row.max_attempts,
            daemon=row.daemon,
        ),
    )


async def write(unit: UnitOfWork, decisions: Sequence[Decision], lease_seconds: float, new_id: NewId) -> None:
    """Write decisions and all that follows from them. `new_id` gives the ids of requests to re-plan."""
    if not decisions:
        return
    completed = _completed(unit, decisions)
    apply = rows.APPLY(decisions=[_row(d) for d in decisions], lease=lease_seconds)
    if completed:
        changed, advanced = await unit.fetch_all(apply, rows.ADVANCE(steps=list(completed)))
        consequences.made_ready(unit, advanced)
    else:
        changed = await unit.fetch(apply)
    consequences.steps_changed(unit, changed)
    await _respond(unit, decisions, new_id)
    ended = {*completed.values(), *(step.directive_id for step in changed if step.status == StepStatus.FAILED)}
    if ended:
        consequences.became_idle(unit, await unit.fetch(rows.IDLE(directives=list(ended))))


async def write_last(unit: UnitOfWork, decisions: Sequence[Decision], lease_seconds: float) -> None:
    """Write decisions that are `ordinary`, and commit: what follows from them is known beforehand."""
    completed = _completed(unit, decisions)
    apply = rows.APPLY(decisions=[_row(d) for d in decisions], lease=lease_seconds)
    if not completed:
        consequences.steps_changed(unit, await unit.fetch_last(apply))
        return
    changed, advanced, idle = await unit.fetch_all_last(
        apply, rows.ADVANCE(steps=list(completed)), rows.IDLE(directives=list(set(completed.values())))
    )
    consequences.made_ready(unit, advanced)
    consequences.steps_changed(unit, changed)
    consequences.became_idle(unit, idle)


def ordinary(decision: Decision) -> bool:
    """Whether nothing follows from a decision but that steps become ready, and its directive idle."""
    task, status = decision.task, decision.verdict.status
    return not (
        task.serves
        or decision.agent
        or decision.blocked
        or decision.unchecked
        or status in (TaskStatus.FAILED, TaskStatus.CANCELLED)
        or (task.kind is TaskKind.PLAN and decision.verdict.ended)
        or _spends(decision)
    )


def _completed(unit: UnitOfWork, decisions: Sequence[Decision]) -> dict[UUID, UUID]:
    """Say how tasks have changed; the steps that complete by it, each with its directive."""
    unit.record(*(_task_changed(d) for d in decisions if d.verdict.status is not d.task.live.status))
    return {d.task.step: d.task.directive for d in decisions if d.task.step and d.verdict.step is StepStatus.COMPLETED}


async def _respond(unit: UnitOfWork, decisions: Sequence[Decision], new_id: NewId) -> None:
    """What follows besides."""
    if named := [d for d in decisions if d.agent]:
        unit.execute(
            rows.AGENTS(
                tasks=[d.task.id for d in named],
                attempts=[d.attempt for d in named],
                agents=[d.agent for d in named],
            )
        )
    if unchecked := [d.task.directive for d in decisions if d.unchecked]:
        unit.execute(rows.GO_UNCHECKED(directives=unchecked))
    if plans := [d for d in decisions if d.task.kind is TaskKind.PLAN and d.verdict.ended]:
        await consequences.settle_plans(unit, plans)
    if over := [d for d in decisions if d.verdict.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)]:
        await consequences.respond(unit, over, new_id)
    if blocked := [d for d in decisions if d.blocked]:
        await consequences.pause_blocked(unit, blocked)
    if serving := [d.task.step for d in decisions if d.task.serves and d.task.step]:
        await consequences.settle_orders(unit, serving)
    if spending := {d.task.directive for d in decisions if _spends(d)}:
        await consequences.hold_to_budgets(unit, list(spending))


def _spends(decision: Decision) -> bool:
    return decision.task.has_budget and bool(decision.cost_usd or decision.tokens)


def _row(decision: Decision) -> dict[str, object]:
    verdict = decision.verdict
    return {
        "id": decision.task.id,
        "attempt": decision.attempt,
        "status": verdict.status,
        "next_attempt": verdict.attempt,
        "failures": verdict.failures,
        "losses": verdict.losses,
        "delay": verdict.delay_seconds,
        "daemon": decision.daemon,
        "branch": decision.branch,
        "head": decision.head,
        "base": decision.base,
        "session": decision.session,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "cost": decision.cost_usd,
        "kept_branch": decision.kept_branch,
        "tokens": decision.tokens,
        "ended_as": verdict.ended,
        "tail": decision.tail,
        "exit_code": decision.exit_code,
        "step_status": verdict.step if decision.task.step else None,
        "result": decision.result,
        "files": decision.files_changed,
        "commits": decision.commits or None,
    }


def _task_changed(decision: Decision) -> TaskChanged:
    return TaskChanged(
        directive=decision.task.directive,
        task=decision.task.id,
        attempt=decision.verdict.attempt,
        kind=decision.task.kind,
        status=decision.verdict.status,
        daemon=decision.daemon,
        reason=decision.reason,
    )
