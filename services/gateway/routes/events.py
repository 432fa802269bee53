"""Events: a directive's audit log, and the live stream (server-sent events)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.params import FromPath, FromQuery, HeaderParameter, QueryParameter
from litestar.response import Stream

from services.gateway.access import VIEWER_OR_TASK, Caller
from services.gateway.feed.clients import CUT_OFF, Interest
from services.gateway.feed.held import Held
from services.gateway.feed.live import Live, NotFollowed
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, page
from services.gateway.pages import after as place_of
from services.gateway.rows.directives import OWN_DIRECTIVE
from services.gateway.rows.events import EVENTS
from services.gateway.rows.steps import STEP_NAMES
from services.gateway.showing import show
from shared.api.events import EventShown
from shared.messages.sentences import read, sentence
from shared.store.database import Database

LAST = 2**53 - 1
"""The largest number that an event may be asked for by: every reader of JSON holds it exactly."""
Number = Annotated[int, QueryParameter(ge=0, le=LAST, description="Only what has a larger number.")]


class _Place(msgspec.Struct, frozen=True):
    seq: int | None


@get(
    "/v1/directives/{directive:uuid}/events",
    operation_id="listEvents",
    opt=VIEWER_OR_TASK,
    tags=["events"],
    response_headers=[NEXT],
)
async def list_events(
    request: AnyRequest,
    directive: FromPath[UUID],
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    after: Number = 0,
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[EventShown]]:
    """A directive's audit log, oldest first."""
    begins = place_of(cursor, _Place, _Place(after)).seq
    asked = EVENTS(owner=caller.on(directive).owner, directive=directive, after=begins, limit=limit + 1)
    entries, steps = await database.fetch_all(asked, STEP_NAMES(id=directive))
    names = {step.id: step.name for step in steps}
    found = [
        msgspec.structs.replace(show(EventShown, e), said=sentence(read(e.type, e.directive_id, e.body), names))
        for e in entries
    ]
    if not found:
        await _refuse_unknown(database, caller, directive)
    return page(request, found, limit, lambda event: _Place(event.seq))


@get(
    "/v1/events",
    media_type="text/event-stream",
    operation_id="streamEvents",
    opt=VIEWER_OR_TASK,
    tags=["events"],
)
async def stream(
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    live: NamedDependency[Live],
    held: NamedDependency[Held],
    directive: FromQuery[UUID | None] = None,
    task: FromQuery[UUID | None] = None,
    after: Annotated[int | None, QueryParameter(ge=0, le=LAST, description="Only what has a larger number.")] = None,
    last_event_id: Annotated[
        int | None, HeaderParameter(name="Last-Event-ID", ge=0, le=LAST, description="As `after`; a browser sends it.")
    ] = None,
) -> Stream:
    """Every event as it comes (server-sent events; each `data` is an EventShown), of one directive or task, or of all.

    After a number (`after`, or Last-Event-ID as a browser sends it) the audit log comes first, then what is live. An
    event without an id passes by without being kept: output, daemons. A client too slow to take them gets `cut_off` and
    the end of its stream, and asks again with the last id that it saw.
    """
    if directive is None:
        caller.no_task()
    else:
        await _refuse_unknown(database, caller.on(directive), directive)
    after = after if last_event_id is None else last_event_id
    interest = Interest(
        owner=caller.owner, owner_name=caller.owner_name, directive=directive, task=task, output=caller.task is None
    )
    return Stream(
        _frames(live, held, caller, interest, after), headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


async def _refuse_unknown(database: Database, caller: Caller, directive: UUID) -> None:
    """Raise NotFoundException for a directive that is none of the owner's: whoever asks by its id hears all of it."""
    if not await database.fetch(OWN_DIRECTIVE(id=directive, owner=caller.owner)):
        raise NotFoundException(f"no directive {directive}")


async def _frames(
    live: Live, held: Held, caller: Caller, interest: Interest, after: int | None
) -> AsyncIterator[bytes]:
    sending = asyncio.current_task()
    try:
        async with live.listening(interest, after) as (client, position), held.open(caller, client.end):
            client.on_end = lambda: _let_go(sending)
            yield b"retry: 1000\n\n"
            if after is not None:
                async with aclosing(live.replay(interest, after, position)) as old:
                    async for chunk in old:
                        yield chunk
            async for chunk in client.frames():
                yield chunk
    except (NotFollowed, NotAuthorizedException):
        yield CUT_OFF


def _let_go(sending: asyncio.Task[None] | None) -> None:
    """A stream that is stuck in sending never comes back to see that it has ended: it gets a moment, then is ended."""
    if sending is not None:
        asyncio.get_running_loop().call_later(1.0, sending.cancel)


ROUTES = (list_events, stream)
