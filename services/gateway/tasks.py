"""Tasks: listed, their output, their end asked for."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import get, post
from litestar.exceptions import HTTPException

from services.gateway.access import SQL, Caller
from shared.messages.events import TaskChanged
from shared.store.database import Database


@get("/v1/tasks")
async def list_tasks(caller: Caller, database: Database, directive: UUID | None = None) -> list[dict[str, Any]]:
    """The newest tasks first."""
    return await database.rows(SQL["tasks"], {"owner": caller.person().owner, "directive": directive})


@get("/v1/tasks/{task:uuid}/log")
async def task_log(task: UUID, caller: Caller, database: Database) -> list[dict[str, Any]]:
    """What a task printed, in order."""
    return await database.rows(SQL["output"], {"owner": caller.person().owner, "task": task})


@post("/v1/tasks/{task:uuid}/cancel", status_code=202)
async def cancel(task: UUID, caller: Caller, database: Database) -> dict[str, str]:
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
                )
            )
            return {"status": "cancel asked"}
    raise HTTPException(f"task {task} is not there, or has ended", status_code=409)


ROUTES = (list_tasks, task_log, cancel)
