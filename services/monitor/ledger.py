"""Writing a batch of decisions: tasks, attempts, steps; then what follows. All in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from services.monitor import consequences
from services.monitor.consequences import SQL
from services.monitor.decisions import Decision, Known
from shared.domain.outcomes import Live
from shared.domain.policies import OnFailure
from shared.domain.statuses import CancelCause, StepStatus, TaskKind, TaskStatus
from shared.messages.events import TaskChanged
from shared.store.database import Asking, Row, UnitOfWork, as_json

NewId = Callable[[], UUID]


async def read(unit: UnitOfWork, tasks: Iterable[UUID]) -> dict[UUID, Known]:
    """The tasks, locked with their directives."""
    return {row["id"]: known(row) for row in await unit.rows(SQL["tasks"], {"tasks": list(tasks)})}


def known(row: Row) -> Known:
    """A row of the `tasks` statement as the pure part takes it."""
    return Known(
        id=row["id"],
        directive=row["directive_id"],
        step=row["step_id"],
        kind=TaskKind(row["kind"]),
        name=row["name"],
        on_failure=OnFailure(row["on_failure"]),
        approve_plan=row["approve_plan"],
        has_budget=row["has_budget"],
        cancel_cause=CancelCause(row["cancel_cause"]) if row["cancel_cause"] else None,
        gave_up=row["gave_up"],
        live=Live(
            status=TaskStatus(row["status"]),
            attempt=row["attempt"],
            failures=row["failures"],
            losses=row["losses"],
            max_attempts=row["max_attempts"],
            daemon=row["daemon"],
        ),
    )


async def write(unit: UnitOfWork, decisions: Sequence[Decision], lease_seconds: float, new_id: NewId) -> None:
    """Write decisions and all that follows from them. `new_id` gives the ids of requests to re-plan."""
    if not decisions:
        return
    completed = [d.task.step for d in decisions if d.task.step and d.verdict.step is StepStatus.COMPLETED]
    asked: list[Asking] = [(SQL["apply"], {"decisions": as_json([_row(d) for d in decisions]), "lease": lease_seconds})]
    if completed:
        asked.append((SQL["advance"], {"steps": completed}))
    changed, *found = await unit.rows_of_each(*asked)
    unit.record(*(_task_changed(d) for d in decisions if d.verdict.status is not d.task.live.status))
    consequences.record_steps(unit, changed)
    if named := [d for d in decisions if d.agent]:
        columns = {"tasks": [d.task.id for d in named], "attempts": [d.attempt for d in named]}
        await unit.rows(SQL["agents"], {**columns, "agents": [d.agent for d in named]})
    if unchecked := [d.task.directive for d in decisions if d.unchecked]:
        await unit.rows(SQL["go_unchecked"], {"directives": unchecked})
    if plans := [d for d in decisions if d.task.kind is TaskKind.PLAN and d.verdict.ended]:
        await consequences.settle_plans(unit, plans)
    if over := [d for d in decisions if d.verdict.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)]:
        await consequences.respond(unit, over, new_id)
    if blocked := [d for d in decisions if d.blocked]:
        await consequences.pause_blocked(unit, blocked)
    if serving := [row["id"] for row in changed if row["serves"]]:
        await consequences.settle_orders(unit, serving)
    if spending := {d.task.directive for d in decisions if d.task.has_budget and (d.cost_usd or d.tokens)}:
        await consequences.hold_to_budgets(unit, list(spending))
    advanced = [row for rows in found for row in rows]
    consequences.made_ready(unit, advanced)
    ended = {row["directive_id"] for row in advanced if not row["goes_on"]}
    ended |= {row["directive_id"] for row in changed if row["status"] == StepStatus.FAILED}
    if ended:
        consequences.became_idle(unit, await unit.rows(SQL["idle"], {"directives": list(ended)}))


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
