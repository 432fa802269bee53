"""Tasks: listed, their output, their end asked for."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.params import FromPath, FromQuery, JSONBody

from services.gateway.access import SQL, Caller
from services.gateway.answers import Accepted, OutputBatch, TaskRow, TaskShown, answer, answers
from services.gateway.changes import refuse_bad_text
from services.gateway.events import Limit
from shared.domain.ids import new_id
from shared.domain.masking import Mask
from shared.domain.statuses import TaskStatus
from shared.messages.events import TaskChanged
from shared.store.database import Database


@get("/v1/tasks")
async def list_tasks(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    directive: FromQuery[UUID | None] = None,
    status: FromQuery[TaskStatus | None] = None,
    before: FromQuery[UUID | None] = None,
    limit: Limit = 1000,
) -> list[TaskRow]:
    """The newest tasks first (before one, for the next page)."""
    asked = {
        "owner": caller.person().owner,
        "directive": directive,
        "status": status,
        "before": before,
        "limit": limit,
    }
    return answers(TaskRow, await database.rows(SQL["tasks"], asked))


@get("/v1/tasks/{task:uuid}")
async def show_task(
    task: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> TaskShown:
    """One task with its attempts."""
    rows = await database.rows(SQL["task"], {"owner": caller.person().owner, "task": task})
    if not rows:
        raise NotFoundException(f"no task {task}")
    return answer(TaskShown, {**rows[0], "attempts": await database.rows(SQL["attempts"], {"task": task})})


@get("/v1/tasks/{task:uuid}/log")
async def task_log(
    task: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    after_attempt: FromQuery[int] = 0,
    after_seq: FromQuery[int] = -1,
    limit: Limit = 1000,
) -> list[OutputBatch]:
    """What a task printed, in order; after a batch, for the next page."""
    owner = caller.person().owner
    if not await database.rows(SQL["task"], {"owner": owner, "task": task}):
        raise NotFoundException(f"no task {task}")
    asked = {"owner": owner, "task": task, "after_attempt": after_attempt, "after_seq": after_seq, "limit": limit}
    return answers(OutputBatch, await database.rows(SQL["output"], asked))


@post("/v1/tasks/{task:uuid}/cancel", status_code=202)
async def cancel(
    task: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> Accepted:
    """Ask for a task's end; the row holds the promise until it is kept."""
    async with database.unit_of_work("gateway.cancel") as unit:
        for row in await unit.rows(SQL["cancel"], {"task": task, "owner": caller.person().owner}):
            unit.record(
                TaskChanged(
                    directive=row["directive_id"],
                    task=task,
                    attempt=row["attempt"],
                    kind=row["kind"],
                    status=row["status"],
                    reason="cancel asked",
                    asked=True,
                )
            )
            return Accepted(status="cancel asked")
    raise HTTPException(f"task {task} is not there, or has ended", status_code=409)


class Words(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/tasks/{id}/tell."""

    text: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]


@post("/v1/tasks/{task:uuid}/tell", status_code=202)
async def tell(
    task: FromPath[UUID], data: JSONBody[Words], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> Accepted:
    """Tell a task's agent something: while it runs where it listens, else as its next turn."""
    if "\0" in data.text:
        raise HTTPException("the text holds a NUL byte; remove it", status_code=422)
    async with database.unit_of_work("gateway.tell") as unit:
        asked = {"id": new_id(), "task": task, "owner": caller.person().owner, "text": data.text}
        for row in await unit.rows(SQL["tell"], asked):
            unit.record(TaskChanged(**row, task=task, reason="a message waits", asked=True))
            return Accepted(status="the message waits for its agent")
    raise HTTPException(f"task {task} is not there, or has ended", status_code=409)


class GivenUp(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/tasks/{id}/fail."""

    reason: Annotated[str, msgspec.Meta(max_length=4000)]


@post("/v1/tasks/{task:uuid}/fail", status_code=202)
async def give_up(
    task: FromPath[UUID], data: JSONBody[GivenUp], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> Accepted:
    """A task's own agent says that it can't do it: when it ends, the attempt has failed with this reason."""
    refuse_bad_text("reason", data.reason)
    if caller.task != task:
        raise PermissionDeniedException("only a task's own agent can say that it fails; a person cancels it")
    async with database.unit_of_work("gateway.give_up") as unit:
        await unit.rows(SQL["give_up"], {"task": task, "attempt": caller.attempt, "reason": Mask()(data.reason)})
    return Accepted(status="noted: end now")


ROUTES = (list_tasks, show_task, task_log, cancel, tell, give_up)
