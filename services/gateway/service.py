"""The gateway's process: what it is handed, and the server's life."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import get_args

import uvicorn
from litestar import Litestar

from services.gateway.access import Gate, cluster_token, hash_of
from services.gateway.application import application
from services.gateway.feed.live import Live
from services.gateway.feed.waiters import Answers
from services.gateway.git.serving import Git
from services.gateway.http.connections import Connection
from services.gateway.http.edge import Edge
from services.gateway.http.listening import BACKLOG, listening
from services.gateway.http.proxies import Proxies
from services.gateway.http.serving import Server
from services.gateway.http.tls import certificate_of
from services.gateway.link.calls import Link
from services.gateway.rows.access import OWN
from services.gateway.sessions import Sessions
from services.gateway.signin.signing import sign_in
from shared.config import Settings
from shared.domain.ids import new_id
from shared.messages.channels import ByChannel
from shared.messages.events import (
    AnyEvent,
    DaemonKeyChanged,
    DirectiveChanged,
    DirectiveCreated,
    Event,
    MemberChanged,
    OrderChanged,
    OwnerChanged,
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
    TokenChanged,
)
from shared.messages.link import Close, Joined, NotJoined, Piece, Taken, Upward
from shared.service.phase import open_context
from shared.service.process import ready
from shared.service.tokens import load_secret

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
        DaemonKeyChanged,
        OwnerChanged,
        MemberChanged,
        TokenChanged,
    }
)
SENDS: ByChannel = {"calls": frozenset({Joined, NotJoined, Piece, Taken, Close})}
RECEIVES: ByChannel = {"calls": frozenset(get_args(Upward))}
CONSUMES: frozenset[type[Event]] = frozenset(get_args(AnyEvent))
"""All: clients of the live stream hear them."""


async def main(settings: Settings, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises ConfigError."""
    secret = load_secret(settings.home)
    signing = sign_in(settings, secret)
    async with open_context(settings, "gateway", EMITS, promises=True) as context:
        token = cluster_token(settings.home)
        async with context.database.unit_of_work("gateway.own") as unit:
            owner = await unit.fetch_one(
                OWN(id=new_id(), name=settings.owner, hash=hash_of(token), max_running=settings.max_running)
            )
        sessions = Sessions(token, settings.port)
        gate = Gate(context.database, secret, token, sessions, owner, settings.owner)
        git = Git(context.database, secret)
        live = Live(context.database, context.bus, settings.sweep_seconds)
        link = Link(context.database, context.bus, settings)
        answers = Answers(context.bus)
        app = application(context.database, settings, gate, live, answers, link.admitted, signing)
        certificate = certificate_of(settings)
        with listening(settings) as sockets:
            async with live.running():
                config = _config(app, git, Proxies(settings.trusted_proxies))
                await _serve(Server(config, certificate), sockets, live, answers, link, stop)


def _config(app: Litestar, git: Git, proxies: Proxies) -> uvicorn.Config:
    return uvicorn.Config(
        Edge(app, git, proxies),
        log_config=None,
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        http=partial(Connection, proxies),  # type: ignore[arg-type] # called as the class would be
        backlog=BACKLOG,
        timeout_graceful_shutdown=2,
    )


async def _serve(
    server: Server, sockets: list[socket.socket], live: Live, answers: Answers, link: Link, stop: asyncio.Event
) -> None:
    serving = asyncio.create_task(server.serve(sockets))
    while not server.started and not serving.done():
        await asyncio.sleep(0.005)
    ready()
    async with link.running():
        await stop.wait()
        live.close()
        answers.close()
        server.should_exit = True
        await serving
