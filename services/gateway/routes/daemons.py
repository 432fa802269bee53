"""Daemons: listed, drained."""

from __future__ import annotations

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, JSONBody

from services.gateway.access import ADMIN, VIEWER, Caller
from services.gateway.http.problems import AnyRequest
from services.gateway.pages import NEXT, Cursor, Limit, after, page
from services.gateway.rows.daemons import DAEMONS, DRAIN
from services.gateway.showing import show_all
from services.gateway.transactions import Change
from shared.api.cluster import DaemonShown, DrainWish
from shared.api.tasks import Accepted
from shared.messages.events import SlotsFree
from shared.store.database import Database


class _Place(msgspec.Struct, frozen=True):
    name: str = ""


@get("/v1/daemons", operation_id="listDaemons", opt=VIEWER, tags=["daemons"], response_headers=[NEXT])
async def list_daemons(
    request: AnyRequest,
    caller: NamedDependency[Caller],
    database: NamedDependency[Database],
    cursor: Cursor = None,
    limit: Limit = 1000,
) -> Response[list[DaemonShown]]:
    """The owner's daemons, by name."""
    asked = DAEMONS(owner=caller.owner, after=after(cursor, _Place, _Place()).name, limit=limit + 1)
    found = show_all(DaemonShown, await database.fetch(asked))
    return page(request, found, limit, lambda daemon: _Place(daemon.name))


@post("/v1/daemons/{name:str}/drain", status_code=202, operation_id="drainDaemon", opt=ADMIN, tags=["daemons"])
async def drain(
    name: FromPath[str], data: JSONBody[DrainWish], caller: NamedDependency[Caller], change: NamedDependency[Change]
) -> Response[Accepted]:
    """A daemon takes no more work, or takes work again; what runs on it goes on."""
    owner = caller.owner
    async with change.begin("gateway.drain") as begun:
        if not await begun.unit.fetch(DRAIN(owner=owner, name=name, on=data.on)):
            raise NotFoundException(f"no daemon {name!r}; `makima daemon list` shows them")
        begun.unit.record(SlotsFree())
        return begun.answer(Accepted(status="it takes no more work" if data.on else "it takes work again"))


ROUTES = (list_daemons, drain)
