"""The HTTP interface: routes, problem details, and the server's life."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import uvicorn
from litestar import Litestar, Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotFoundException

from services.gateway.access import SQL, Caller, Gate, hash_of, person_token
from services.gateway.directives import Directives, NewDirective, NewSteps
from shared.config import Settings
from shared.domain.ids import new_id
from shared.domain.statuses import DirectiveStatus
from shared.messages.events import (
    DirectiveChanged,
    DirectiveCreated,
    Event,
    PlanRequested,
    StepAdded,
    StepReady,
    StepRemoved,
    TaskChanged,
)
from shared.service.phase import surroundings
from shared.service.process import ready
from shared.service.tokens import load_secret
from shared.store.database import Database

EMITS: frozenset[type[Event]] = frozenset(
    {DirectiveCreated, DirectiveChanged, PlanRequested, StepAdded, StepRemoved, StepReady, TaskChanged}
)
CONSUMES: frozenset[type[Event]] = frozenset()
VERBS = {
    "start": DirectiveStatus.ACTIVE,
    "resume": DirectiveStatus.ACTIVE,
    "pause": DirectiveStatus.PAUSED,
    "archive": DirectiveStatus.ARCHIVED,
}
AnyRequest = Request[Any, Any, State]


async def caller(request: AnyRequest, state: State) -> Caller:
    """Who asks."""
    gate: Gate = state.gate
    return await gate.caller(request.headers.get("authorization"))


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@get("/readyz")
async def readyz(state: State) -> dict[str, str]:
    """Postgres answers."""
    await state.database.rows("SELECT 1")
    return {"status": "ok"}


@post("/v1/directives")
async def create(data: NewDirective, caller: Caller, state: State) -> dict[str, Any]:
    """Make a directive, with or without its plan, started or as a draft."""
    made: dict[str, Any] = await state.directives.create(caller.person(), data)
    return made


@get("/v1/directives")
async def list_directives(caller: Caller, state: State) -> list[dict[str, Any]]:
    """All directives, oldest first."""
    return await _rows(state, "list", owner=caller.person().owner)


@get("/v1/directives/{directive:uuid}")
async def show(directive: UUID, caller: Caller, state: State) -> dict[str, Any]:
    """One directive with its steps."""
    found: dict[str, Any] = await state.directives.show(caller.on(directive), directive)
    return found


@post("/v1/directives/{directive:uuid}/{verb:str}", status_code=200)
async def change(directive: UUID, verb: str, caller: Caller, state: State) -> dict[str, Any]:
    """Start, pause, resume or archive."""
    if verb not in VERBS:
        raise NotFoundException(f"a directive can't be asked to {verb}; it can: {', '.join(VERBS)}")
    reason = "paused by a person" if verb == "pause" else None
    changed: dict[str, Any] = await state.directives.change(caller.person(), directive, VERBS[verb], reason)
    return changed


@post("/v1/directives/{directive:uuid}/steps")
async def add_steps(directive: UUID, data: NewSteps, caller: Caller, state: State) -> list[dict[str, Any]]:
    """Add a batch of steps, whole or not at all."""
    added: list[dict[str, Any]] = await state.directives.add_steps(caller.on(directive), directive, data.steps)
    return added


@delete("/v1/directives/{directive:uuid}/steps/{step:uuid}")
async def remove_step(directive: UUID, step: UUID, caller: Caller, state: State) -> None:
    """Remove a step that hasn't run."""
    await state.directives.remove_step(caller.on(directive), directive, step)


@get("/v1/tasks")
async def tasks(caller: Caller, state: State, directive: UUID | None = None) -> list[dict[str, Any]]:
    """The newest tasks first."""
    return await _rows(state, "tasks", owner=caller.person().owner, directive=directive)


@get("/v1/tasks/{task:uuid}/log")
async def task_log(task: UUID, caller: Caller, state: State) -> list[dict[str, Any]]:
    """What a task printed, in order."""
    return await _rows(state, "output", owner=caller.person().owner, task=task)


@post("/v1/tasks/{task:uuid}/cancel", status_code=202)
async def cancel(task: UUID, caller: Caller, state: State) -> dict[str, str]:
    """Ask for a task's end; the row holds the promise until it is kept."""
    database: Database = state.database
    async with database.unit_of_work() as unit:
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


@get("/v1/daemons")
async def daemons(caller: Caller, state: State) -> list[dict[str, Any]]:
    """The owner's daemons."""
    return await _rows(state, "daemons", owner=caller.person().owner)


@get("/v1/events")
async def events(caller: Caller, state: State, directive: UUID, after: int = 0) -> list[dict[str, Any]]:
    """A directive's audit log after a sequence number."""
    return await _rows(state, "events", owner=caller.on(directive).owner, directive=directive, after=after)


async def _rows(state: State, statement: str, **parameters: object) -> list[dict[str, Any]]:
    database: Database = state.database
    return await database.rows(SQL[statement], parameters)


def problem(_: AnyRequest, error: HTTPException) -> Response[dict[str, Any]]:
    """Every error as RFC 9457 says."""
    detail = error.detail
    if error.extra:
        extra = error.extra if isinstance(error.extra, list) else [error.extra]
        detail += ": " + "; ".join(
            f"{e.get('key', '')} {e.get('message', e)}".strip() if isinstance(e, dict) else str(e) for e in extra
        )
    body = {"type": "about:blank", "title": type(error).__name__, "status": error.status_code, "detail": detail}
    return Response(body, status_code=error.status_code, media_type="application/problem+json")


ROUTES = (
    healthz,
    readyz,
    create,
    list_directives,
    show,
    change,
    add_steps,
    remove_step,
    tasks,
    task_log,
    cancel,
    daemons,
    events,
)


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    async with surroundings(settings, "gateway", EMITS) as around:
        token = person_token(settings.home)
        async with around.database.unit_of_work() as unit:
            rows = await unit.rows(SQL["own"], {"id": new_id(), "name": settings.owner, "hash": hash_of(token)})
        app = Litestar(
            ROUTES,
            dependencies={"caller": Provide(caller)},
            exception_handlers={HTTPException: problem},
            state=State(
                {
                    "database": around.database,
                    "gate": Gate(around.database, load_secret(settings.home), token, rows[0]["id"]),
                    "directives": Directives(around.database, settings.max_attempts),
                }
            ),
            request_max_body_size=20_000_000,
        )
        server = Server(
            uvicorn.Config(
                app, host=settings.host, port=settings.port, log_config=None, lifespan="off", access_log=False
            )
        )
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        ready()
        await stop.wait()
        server.should_exit = True
        await serving
