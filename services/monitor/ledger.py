"""Writing a batch of decisions: tasks, attempts, steps; then the DAG moves on. All in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from services.monitor.decisions import Decision, Known
from shared.domain.outcomes import Live
from shared.domain.statuses import StepStatus, TaskKind, TaskStatus
from shared.messages.events import DirectiveChanged, PlanFinished, StepChanged, StepReady, TaskChanged
from shared.store.database import Row, UnitOfWork
from shared.store.statements import statements

SQL = statements("services.monitor")
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
        on_failure=row["on_failure"],
        live=Live(
            status=TaskStatus(row["status"]),
            attempt=row["attempt"],
            failures=row["failures"],
            losses=row["losses"],
            max_attempts=row["max_attempts"],
            daemon=row["daemon"],
        ),
    )


async def write(unit: UnitOfWork, decisions: Sequence[Decision], lease_seconds: float) -> None:
    """Write decisions and all that follows from them."""
    if not decisions:
        return
    changed = await unit.rows(SQL["apply"], {**_columns(decisions), "lease": lease_seconds})
    unit.record(*(_task_changed(d) for d in decisions if d.verdict.status is not d.task.live.status))
    unit.record(*(_step_changed(row) for row in changed))
    await _plans(unit, [d for d in decisions if d.task.kind is TaskKind.PLAN])
    await _failures(unit, decisions, [row["id"] for row in changed if row["status"] == StepStatus.FAILED])
    settled = [row["id"] for row in changed if row["status"] == StepStatus.COMPLETED]
    if settled:
        await _ready(unit, await unit.rows(SQL["advance"], {"steps": settled}))
    ended = {row["directive_id"] for row in changed if row["status"] in (StepStatus.COMPLETED, StepStatus.FAILED)}
    if ended:
        await idle(unit, list(ended))


async def advance_all(unit: UnitOfWork, directives: list[UUID] | None) -> None:
    """Readiness and idleness of whole directives (None: of all)."""
    await _ready(unit, await unit.rows(SQL["advance_all"], {"directives": directives}))
    await idle(unit, directives)


async def idle(unit: UnitOfWork, directives: list[UUID] | None) -> None:
    """Directives in which nothing is left to do become idle."""
    for row in await unit.rows(SQL["idle"], {"directives": directives}):
        unit.record(DirectiveChanged(directive=row["id"], status="idle"))


async def _ready(unit: UnitOfWork, rows: Sequence[Row]) -> None:
    unit.record(*(StepReady(directive=row["directive_id"], steps=tuple(row["steps"])) for row in rows))


async def _plans(unit: UnitOfWork, plans: Sequence[Decision]) -> None:
    """A plan that ended well comes into force whole; one that ended badly is withdrawn whole (rule 5)."""
    good = [d for d in plans if d.verdict.status is TaskStatus.COMPLETED]
    bad = [d for d in plans if d.verdict.ended and d not in good]
    if good:
        await unit.rows(SQL["enforce_plan"], {"tasks": [d.task.id for d in good]})
        unit.record(*(PlanFinished(directive=d.task.directive) for d in good))
        await advance_all(unit, [d.task.directive for d in good])
    if bad:
        over = [d.task.id for d in bad if d.verdict.status is not TaskStatus.PENDING]
        await unit.rows(SQL["withdraw_plan"], {"tasks": [d.task.id for d in bad], "ended": over})


async def _failures(unit: UnitOfWork, decisions: Sequence[Decision], failed: Sequence[UUID]) -> None:
    """What has finally failed: by the directive's policy its dependents are skipped, or the directive is paused."""
    over = [d for d in decisions if d.verdict.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)]
    going_on = {d.task.step for d in over if d.task.kind is TaskKind.STEP and d.task.on_failure == "continue"}
    if doomed := [step for step in failed if step in going_on]:
        skipped = await unit.rows(SQL["skip_dependents"], {"steps": doomed})
        unit.record(*(_step_changed(row) for row in skipped))
        await advance_all(unit, [d.task.directive for d in over if d.task.step in going_on])
    pauses = {d.task.directive: _pause_reason(d) for d in over if d.task.step is None or d.task.step not in going_on}
    pauses |= {d.task.directive: d.reason or "" for d in decisions if d.blocked}
    if pauses:
        rows = await unit.rows(SQL["pause"], {"directives": list(pauses), "reasons": list(pauses.values())})
        unit.record(*(DirectiveChanged(directive=r["id"], status="paused", reason=r["pause_reason"]) for r in rows))


def _pause_reason(decision: Decision) -> str:
    what = {TaskKind.PLAN: "planning", TaskKind.COMPLETION: "the delivery", TaskKind.VERIFICATION: "the verification"}
    ended = "was cancelled" if decision.verdict.status is TaskStatus.CANCELLED else "failed"
    return f"{what.get(decision.task.kind, 'a step')} {ended}: {decision.reason}"


def _columns(decisions: Sequence[Decision]) -> dict[str, list[Any]]:
    return {
        "ids": [d.task.id for d in decisions],
        "attempts": [d.attempt for d in decisions],
        "statuses": [d.verdict.status.value for d in decisions],
        "next_attempts": [d.verdict.attempt for d in decisions],
        "failures": [d.verdict.failures for d in decisions],
        "losses": [d.verdict.losses for d in decisions],
        "delays": [d.verdict.delay_seconds for d in decisions],
        "daemons": [None if d.verdict.status is TaskStatus.PENDING else d.daemon for d in decisions],
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


def _step_changed(row: Row) -> StepChanged:
    return StepChanged(
        directive=row["directive_id"], step=row["id"], name=row["name"], status=row["status"], reason=row["reason"]
    )
