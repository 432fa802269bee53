"""Daemons: listed, drained."""

from __future__ import annotations

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath, JSONBody

from services.gateway.access import SQL, Caller
from services.gateway.answers import Accepted, DaemonRow, answers
from shared.messages.events import SlotsFree
from shared.store.database import Database


@get("/v1/daemons")
async def list_daemons(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> list[DaemonRow]:
    """The owner's daemons."""
    return answers(DaemonRow, await database.rows(SQL["daemons"], {"owner": caller.person().owner}))


class Wish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/daemons/{name}/drain."""

    on: bool = True


@post("/v1/daemons/{name:str}/drain", status_code=202)
async def drain(
    name: FromPath[str], data: JSONBody[Wish], caller: NamedDependency[Caller], database: NamedDependency[Database]
) -> Accepted:
    """A daemon takes no more work, or takes work again; what runs on it goes on."""
    async with database.unit_of_work("gateway.drain") as unit:
        asked = {"owner": caller.person().owner, "name": name, "on": data.on}
        if not await unit.rows(SQL["drain"], asked):
            raise NotFoundException(f"no daemon {name!r}; `makima daemon list` shows them")
        unit.record(SlotsFree())
    return Accepted(status="it takes no more work" if data.on else "it takes work again")


ROUTES = (list_daemons, drain)
