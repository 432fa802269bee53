"""The whole at a glance: what is counted, for `makima status`."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency

from services.gateway.access import Caller
from services.gateway.rows.counts import OVERVIEW
from shared.api.cluster import Overview
from shared.store.database import Database


@get("/v1/overview", operation_id="showOverview", tags=["cluster"])
async def overview(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> Overview:
    """Directives, live tasks, daemons and slots, counted by status."""
    counted: dict[str, dict[str, int]] = {"directives": {}, "tasks": {}, "daemons": {}, "slots": {}}
    for count in await database.fetch(OVERVIEW(owner=caller.person().owner)):
        counted[count.what][count.status] = count.many
    return msgspec.convert(counted, Overview)


ROUTES = (overview,)
