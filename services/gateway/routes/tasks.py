"""Tasks: listed, their output, their end asked for."""

from __future__ import annotations

from typing import Annotated, NoReturn
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException, NotFoundException, PermissionDeniedException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from services.gateway.access import OPERATOR, OPERATOR_OR_TASK, VIEWER, Caller
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.tasks import ATTEMPTS, CANCEL, GIVE_UP, OUTPUT, TASK, TASKS, TELL
from services.gateway.showing import show_all
from services.gateway.texts import refuse_bad_text
from services.gateway.transactions import Change
from shared.api.tasks import Accepted, AttemptShown, GivenUp, OutputBatch, TaskListed, TaskShown, Words
from shared.config import Settings
from shared.domain.ids import new_id
from shared.domain.masking import Mask
from shared.domain.statuses import TaskStatus
from shared.messages.events import TaskChanged
from shared.store.database import Database, Reader

CANCELLED_BY_A_PERSON = "cancelled by a person"
Position = Annotated[int, QueryParameter(ge=-1, le=2**31 - 1)]


class _Place(msgspec.Struct, frozen=True):
    id: UUID | None = None


class _Batch(msgspec.Struct, frozen=True):
    attempt: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]
    first_seq: Annotated[int, msgspec.Meta(ge=-1, le=2**31 - 1)]


@get("/v1/tasks", operation_id="listTasks", opt=VIEWER, tags=["tasks"], response_headers=[NEXT])
async def list_tasks(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    directive: FromQuery[UUID | None] = None,
    status: FromQuery[TaskStatus | None] = None,
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[TaskListed]]:
    """The owner's tasks, or a directive's, the newest first."""
    before = after(cursor, _Place, _Place()).id
    owner = caller.owner
    asked = TASKS(owner=owner, directive=directive, status=status, before=before, limit=limit + 1)
    return page(request, show_all(TaskListed, await database.fetch(asked)), limit, lambda task: _Place(task.id))


@get("/v1/tasks/{task:uuid}", operation_id="showTask", opt=VIEWER, tags=["tasks"])
async def show_task(
    task: FromPath[UUID], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> TaskShown:
    """One task with its attempts."""
    found, attempts = await database.fetch_all(TASK(owner=caller.owner, task=task), ATTEMPTS(task=task))
    if not found:
        raise NotFoundException(f"no task {task}")
    told = {field: getattr(found[0], field) for field in found[0].__struct_fields__}
    return TaskShown(**told, attempts=show_all(AttemptShown, attempts))


@get("/v1/tasks/{task:uuid}/log", operation_id="showOutput", opt=VIEWER, tags=["tasks"], response_headers=[NEXT])
async def task_log(
    request: AnyRequest,
    task: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    after_attempt: Position = 0,
    after_seq: Position = -1,
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[OutputBatch]]:
    """What a task printed, in order; after a batch, or from the beginning."""
    owner = caller.owner
    await _refuse_unknown(database, owner, task)
    place = after(cursor, _Batch, _Batch(after_attempt, after_seq))
    asked = OUTPUT(owner=owner, task=task, after_attempt=place.attempt, after_seq=place.first_seq, limit=limit + 1)
    found = show_all(OutputBatch, await database.fetch(asked))
    return page(request, found, limit, lambda batch: _Batch(batch.attempt, batch.first_seq))


@post("/v1/tasks/{task:uuid}/cancel", status_code=202, operation_id="cancelTask", opt=OPERATOR, tags=["tasks"])
async def cancel(
    task: FromPath[UUID],
    caller: NamedDependency[Caller],
    change: NamedDependency[Change],
    settings: NamedDependency[Settings],
) -> Response[Accepted]:
    """Ask for a task's end; the row holds the promise until it is kept."""
    owner = caller.owner
    change.even_when_the_disk_is_full(settings)
    async with change.begin("gateway.cancel") as begun:
        asked = await begun.unit.fetch_first(CANCEL(task=task, owner=owner, reason=CANCELLED_BY_A_PERSON))
        if asked is None:
            await _refuse_ended(begun.unit, owner, task)
        begun.unit.record(
            TaskChanged(
                directive=asked.directive_id,
                task=task,
                attempt=asked.attempt,
                kind=asked.kind,
                status=asked.status,
                reason="cancel asked",
                asked=True,
            )
        )
        return begun.answer(Accepted(status="cancel asked"))


@post("/v1/tasks/{task:uuid}/tell", status_code=202, operation_id="tellTask", opt=OPERATOR, tags=["tasks"])
async def tell(
    task: FromPath[UUID], data: JSONBody[Words], caller: NamedDependency[Caller], change: NamedDependency[Change]
) -> Response[Accepted]:
    """Tell a task's agent something: while it runs where it listens, else as its next turn."""
    refuse_bad_text("text", data.text)
    owner = caller.owner
    async with change.begin("gateway.tell") as begun:
        told = await begun.unit.fetch_first(TELL(id=new_id(), task=task, owner=owner, text=data.text))
        if told is None:
            await _refuse_ended(begun.unit, owner, task)
        begun.unit.record(
            TaskChanged(
                directive=told.directive_id,
                task=task,
                attempt=told.attempt,
                kind=told.kind,
                status=told.status,
                reason="a message waits",
                asked=True,
            )
        )
        return begun.answer(Accepted(status="the message waits for its agent"))


@post("/v1/tasks/{task:uuid}/fail", status_code=202, operation_id="failTask", opt=OPERATOR_OR_TASK, tags=["tasks"])
async def give_up(
    task: FromPath[UUID], data: JSONBody[GivenUp], caller: NamedDependency[Caller], change: NamedDependency[Change]
) -> Response[Accepted]:
    """A task's own agent says that it can't do it: when it ends, the attempt has failed with this reason."""
    refuse_bad_text("reason", data.reason)
    if caller.task != task:
        raise PermissionDeniedException("only a task's own agent can say that it fails; a person cancels it")
    async with change.begin("gateway.give_up") as begun:
        begun.unit.execute(GIVE_UP(task=task, attempt=caller.attempt, reason=Mask()(data.reason)))
        return begun.answer(Accepted(status="noted: end now"))


async def _refuse_unknown(reader: Reader, owner: UUID, task: UUID) -> None:
    if not await reader.fetch(TASK(owner=owner, task=task)):
        raise NotFoundException(f"no task {task}")


async def _refuse_ended(reader: Reader, owner: UUID, task: UUID) -> NoReturn:
    await _refuse_unknown(reader, owner, task)
    raise HTTPException(f"task {task} has ended", status_code=409)


ROUTES = (list_tasks, show_task, task_log, cancel, tell, give_up)
