"""The whole at a glance: what is counted, for `makima status`."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency

from services.gateway.access import SQL, Caller
from shared.store.database import Database


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by status; of tasks, those that have not ended."""

    directives: dict[str, int]
    tasks: dict[str, int]
    daemons: dict[str, int]
    slots: dict[str, int]


@get("/v1/overview")
async def overview(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> Overview:
    """Directives, live tasks, daemons and slots, counted by status."""
    counted: dict[str, dict[str, int]] = {"directives": {}, "tasks": {}, "daemons": {}, "slots": {}}
    for row in await database.rows(SQL["overview"], {"owner": caller.person().owner}):
        counted[row["what"]][row["status"]] = row["many"]
    return msgspec.convert(counted, Overview)


ROUTES = (overview,)
