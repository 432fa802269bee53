"""The gateway's process: the application put together from its routes, and the server's life."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import get_args

import uvicorn
from litestar import Litestar
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, YamlRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from services.gateway import (
    daemons,
    delivery,
    directives,
    events,
    health,
    metrics,
    orders,
    overview,
    planning,
    problems,
    questions,
    steps,
    tasks,
    why,
)
from services.gateway.access import SQL, Caller, Gate, hash_of, person_token
from services.gateway.connections import Connection
from services.gateway.idempotency import once
from services.gateway.listening import BACKLOG, listening
from services.gateway.live import Live
from services.gateway.problems import AnyRequest
from services.gateway.questions import Answers
from services.gateway.request import PlainRequest, admitted
from shared.config import Settings
from shared.domain.ids import new_id
from shared.messages.events import (
    AnyEvent,
    DirectiveChanged,
    DirectiveCreated,
    Event,
    OrderChanged,
    PlanFinished,
    PlanRequested,
    QuestionAnswered,
    QuestionAsked,
    SlotsFree,
    StepAdded,
    StepChanged,
    StepReady,
    StepRemoved,
    TaskChanged,
)
from shared.service.phase import surroundings
from shared.service.process import ready
from shared.service.tokens import load_secret
from shared.store.database import Database

EMITS: frozenset[type[Event]] = frozenset(
    {
        DirectiveCreated,
        DirectiveChanged,
        PlanRequested,
        StepAdded,
        StepRemoved,
        StepReady,
        StepChanged,
        TaskChanged,
        SlotsFree,
        PlanFinished,
        OrderChanged,
        QuestionAsked,
        QuestionAnswered,
    }
)
CONSUMES: frozenset[type[Event]] = frozenset(get_args(AnyEvent))
"""All: clients of the live stream hear them."""
ROUTES = (
    *health.ROUTES,
    *metrics.ROUTES,
    *overview.ROUTES,
    *directives.ROUTES,
    *delivery.ROUTES,
    *planning.ROUTES,
    *steps.ROUTES,
    *orders.ROUTES,
    *questions.ROUTES,
    *why.ROUTES,
    *tasks.ROUTES,
    *daemons.ROUTES,
    *events.ROUTES,
)
OPENAPI = OpenAPIConfig(
    title="makima",
    version="1",
    description="Goals on git repositories, their steps, tasks and events. Every error is a problem detail (RFC 9457).",
    path="/schema",
    render_plugins=[JsonRenderPlugin(path=["/", "/openapi.json"]), YamlRenderPlugin()],
    components=Components(security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer")}),
    security=[{"bearer": []}],
)


def application(database: Database, settings: Settings, gate: Gate, live: Live, waiters: Answers) -> Litestar:
    """The HTTP interface. A handler asks for `caller`, `once`, `database`, `settings`, `live`, `waiters` by name."""

    async def caller(request: AnyRequest) -> Caller:
        known: Caller = request.state.caller  # whom the guards let in
        return known

    return Litestar(
        ROUTES,
        dependencies={
            "caller": Provide(caller),
            "database": Provide(lambda: database, sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
            "live": Provide(lambda: live, sync_to_thread=False),
            "waiters": Provide(lambda: waiters, sync_to_thread=False),
            "once": Provide(once),
        },
        guards=admitted(gate, settings),
        request_class=PlainRequest,
        exception_handlers=problems.HANDLERS,
        middleware=[metrics.timed],
        openapi_config=OPENAPI,
        request_max_body_size=problems.LARGEST_BODY,
    )


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    async with surroundings(settings, "gateway", EMITS, promises=True) as around:
        token = person_token(settings.home)
        async with around.database.unit_of_work("gateway.own") as unit:
            rows = await unit.rows(
                SQL["own"],
                {"id": new_id(), "name": settings.owner, "hash": hash_of(token), "max_running": settings.max_running},
            )
        gate = Gate(around.database, load_secret(settings.home), token, rows[0]["id"])
        live = Live(around.database, around.bus, settings.sweep_seconds)
        config = uvicorn.Config(
            application(around.database, settings, gate, live, Answers(around.bus)),
            log_config=None,
            lifespan="off",
            access_log=False,
            http=Connection,
            backlog=BACKLOG,
            timeout_graceful_shutdown=2,
        )
        server = Server(config)
        with listening(settings) as sockets:
            serving = asyncio.create_task(server.serve(sockets))
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            ready()
            await stop.wait()
            live.close()
            server.should_exit = True
            await serving
