"""Questions of agents: a task whose agent asks is paused, and goes on when it is answered or the time is up."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.monitor.consequences import SQL
from shared.domain.statuses import TaskStatus
from shared.messages.events import QuestionAnswered, QuestionAsked, TaskChanged
from shared.messages.topics import ALL, Consumes
from shared.service.phase import Surroundings
from shared.store.database import Row

CONSUMES: Consumes = {QuestionAsked: ALL, QuestionAnswered: ALL}


async def reconcile(around: Surroundings, directives: frozenset[UUID] | None) -> None:
    """Bring tasks in line with their questions: of these directives, or (None) of all."""
    chosen = {"directives": None if directives is None else list(directives)}
    async with around.database.unit_of_work("monitor.questions") as unit:
        expired, answered, asking = await unit.rows_of_each(
            (SQL["expire_questions"], chosen), (SQL["resume_answered"], chosen), (SQL["pause_asking"], chosen)
        )
        unit.record(
            *(
                QuestionAnswered(
                    directive=row["directive_id"], question=row["id"], task=row["task_id"], settled=row["settled"]
                )
                for row in expired
            ),
            *_changed(answered, TaskStatus.RUNNING, None),
            *_changed(asking, TaskStatus.PAUSED, "waits for an answer"),
        )


def _changed(rows: Sequence[Row], status: TaskStatus, reason: str | None) -> list[TaskChanged]:
    return [
        TaskChanged(
            directive=row["directive_id"],
            task=row["id"],
            attempt=row["attempt"],
            kind=row["kind"],
            status=status,
            daemon=row["daemon"],
            reason=reason,
        )
        for row in rows
    ]
