"""Writing a batch of decisions: tasks, attempts, steps; then what follows. All in the caller's transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from services.monitor import consequences
from services.monitor.consequences import SQL
from services.monitor.decisions import Decision, Known
from shared.domain.outcomes import Live
from shared.domain.policies import OnFailure
from shared.domain.statuses import CancelCause, StepStatus, TaskKind, TaskStatus
from shared.messages.events import TaskChanged
from shared.store.database import Row, UnitOfWork

NewId = Callable[[], UUID]
_json = msgspec.json.Encoder()


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
    changed = await unit.rows(SQL["apply"], {**_columns(decisions), "lease": lease_seconds})
    unit.record(*(_task_changed(d) for d in decisions if d.verdict.status is not d.task.live.status))
    consequences.record_steps(unit, changed)
    if named := [d for d in decisions if d.agent]:
        columns = {"tasks": [d.task.id for d in named], "attempts": [d.attempt for d in named]}
        await unit.rows(SQL["agents"], {**columns, "agents": [d.agent for d in named]})
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
    settled = [row["id"] for row in changed if row["status"] == StepStatus.COMPLETED]
    if settled:
        await consequences.make_ready(unit, await unit.rows(SQL["advance"], {"steps": settled}))
    ended = {row["directive_id"] for row in changed if row["status"] in (StepStatus.COMPLETED, StepStatus.FAILED)}
    if ended:
        await consequences.idle(unit, list(ended))


def _columns(decisions: Sequence[Decision]) -> dict[str, list[Any]]:
    return {
        "ids": [d.task.id for d in decisions],
        "attempts": [d.attempt for d in decisions],
        "statuses": [d.verdict.status.value for d in decisions],
        "next_attempts": [d.verdict.attempt for d in decisions],
        "failures": [d.verdict.failures for d in decisions],
        "losses": [d.verdict.losses for d in decisions],
        "delays": [d.verdict.delay_seconds for d in decisions],
        "daemons": [d.daemon for d in decisions],
        "branches": [d.branch for d in decisions],
        "heads": [d.head for d in decisions],
        "sessions": [d.session for d in decisions],
        "outcomes": [d.outcome for d in decisions],
        "reasons": [d.reason for d in decisions],
        "kept": [d.kept_branch for d in decisions],
        "costs": [d.cost_usd for d in decisions],
        "tokens": [d.tokens for d in decisions],
        "ends": [d.verdict.ended for d in decisions],
        "tails": [d.tail for d in decisions],
        "exit_codes": [d.exit_code for d in decisions],
        "results": [_json.encode(d.result).decode().replace("\\u0000", "") if d.result else None for d in decisions],
        "commits": [_json.encode(d.commits).decode().replace("\\u0000", "") if d.commits else None for d in decisions],
        "files": [array(d.files_changed) for d in decisions],
        "step_statuses": [d.verdict.step if d.task.step else None for d in decisions],
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


def array(items: Sequence[str]) -> str:
    """Texts as Postgres writes an array of them: a column of arrays of different lengths travels as text."""
    escaped = (i.replace("\\", "\\\\").replace('"', '\\"') for i in items)
    return "{" + ",".join(f'"{i}"' for i in escaped) + "}"
