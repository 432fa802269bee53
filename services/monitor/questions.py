"""Questions of agents: a task whose agent asks is paused, and goes on when it is answered or the time is up."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.monitor import rows
from services.monitor.rows import Questioned
from shared.domain.statuses import TaskStatus
from shared.messages.events import QuestionAnswered, QuestionAsked, TaskChanged
from shared.messages.topics import ALL, Consumes
from shared.service.phase import Context

CONSUMES: Consumes = {QuestionAsked: ALL, QuestionAnswered: ALL}


async def reconcile(context: Context, directives: frozenset[UUID] | None) -> None:
    """Bring tasks in line with their questions: of these directives, or (None) of all."""
    chosen = None if directives is None else list(directives)
    async with context.database.unit_of_work("monitor.questions") as unit:
        expired, answered, asking = await unit.fetch_all(
            rows.EXPIRE_QUESTIONS(directives=chosen),
            rows.RESUME_ANSWERED(directives=chosen),
            rows.PAUSE_ASKING(directives=chosen),
        )
        unit.record(
            *(
                QuestionAnswered(directive=q.directive_id, question=q.id, task=q.task_id, settled=q.settled)
                for q in expired
            ),
            *_changed(answered, TaskStatus.RUNNING, None),
            *_changed(asking, TaskStatus.PAUSED, "waits for an answer"),
        )


def _changed(tasks: Sequence[Questioned], status: TaskStatus, reason: str | None) -> list[TaskChanged]:
    return [
        TaskChanged(
            directive=task.directive_id,
            task=task.id,
            attempt=task.attempt,
            kind=task.kind,
            status=status,
            daemon=task.daemon,
            reason=reason,
        )
        for task in tasks
    ]
