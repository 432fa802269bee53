"""Events: a directive's audit log, and the live stream (server-sent events)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter
from litestar.response import Stream

from services.gateway.access import SQL, Caller
from services.gateway.answers import EventRow, answers
from services.gateway.live import Interest, Live
from shared.config import Settings
from shared.store.database import Database

Limit = Annotated[int, QueryParameter(ge=1, le=10_000, description="How many at most.")]
LAST = 2**63 - 1
"""The largest number that an event can have."""


@get("/v1/directives/{directive:uuid}/events")
async def list_events(
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    after: Annotated[int, QueryParameter(ge=0, le=LAST)] = 0,
    limit: Limit = 1000,
) -> list[EventRow]:
    """A directive's audit log after a number, oldest first."""
    asked = {"owner": caller.on(directive).owner, "directive": directive, "after": after, "limit": limit}
    return answers(EventRow, await database.rows(SQL["events"], asked))


@get("/v1/events", media_type="text/event-stream", sync_to_thread=False)
def stream(
    caller: NamedDependency[Caller],
    live: NamedDependency[Live],
    settings: NamedDependency[Settings],
    directive: FromQuery[UUID | None] = None,
    task: FromQuery[UUID | None] = None,
    after: Annotated[int | None, QueryParameter(ge=0, le=LAST)] = None,
    last_event_id: Annotated[int | None, HeaderParameter(name="Last-Event-ID", ge=0, le=LAST)] = None,
) -> Stream:
    """Every event as it comes (server-sent events; each `data` is an EventRow), of one directive or task, or of all.

    After a number (`after`, or Last-Event-ID as a browser sends it) the audit log comes first, then what is live. An
    event without an id passes by without being kept: output, daemons. A client too slow to take them gets `cut_off` and
    the end of its stream, and asks again with the last id that it saw.
    """
    if directive is not None:
        caller.on(directive)
    else:
        caller.person()
    after = after if last_event_id is None else last_event_id
    interest = Interest(
        owner=caller.owner, owner_name=settings.owner, directive=directive, task=task, output=caller.task is None
    )
    return Stream(_frames(live, interest, after), headers={"cache-control": "no-store", "x-accel-buffering": "no"})


async def _frames(live: Live, interest: Interest, after: int | None) -> AsyncIterator[bytes]:
    sending = asyncio.current_task()
    async with live.listening(interest, after) as (client, position):
        client.on_end = lambda: _let_go(sending)
        yield b"retry: 1000\n\n"
        if after is not None:
            async with aclosing(live.replay(interest, after, position)) as old:  # type: ignore[type-var]
                async for chunk in old:
                    yield chunk
        async for chunk in client.frames():
            yield chunk


def _let_go(sending: asyncio.Task[None] | None) -> None:
    """A stream that is stuck in sending never comes back to see that it has ended: it gets a moment, then is ended."""
    if sending is not None:
        asyncio.get_running_loop().call_later(1.0, sending.cancel)


ROUTES = (list_events, stream)
