"""The whole at a glance: what is counted, for `makima status`."""

from __future__ import annotations

import msgspec
from litestar import get
from litestar.di import NamedDependency

from services.gateway.access import VIEWER, Caller
from services.gateway.rows.counts import OVERVIEW
from services.gateway.rows.why import WHY_SLOTS
from shared.api.cluster import Held, Overview
from shared.domain.explanation import unable
from shared.store.database import Database


@get("/v1/overview", operation_id="showOverview", opt=VIEWER, tags=["cluster"])
async def overview(caller: NamedDependency[Caller], database: NamedDependency[Database]) -> Overview:
    """Directives, live tasks, daemons and slots, counted by status; and why no daemon takes work, where none does."""
    owner = caller.owner
    counts, (slots,) = await database.fetch_all(OVERVIEW(owner=owner), WHY_SLOTS(owner=owner))
    counted: dict[str, dict[str, int]] = {what: {} for what in ("directives", "standings", "tasks", "daemons", "slots")}
    for count in counts:
        counted[count.what][count.status] = count.many
    why = unable(slots)
    held = Held(why=why.text, fix=why.fix or "makima daemon list") if why is not None else None
    return msgspec.structs.replace(msgspec.convert(counted, Overview), held=held)


ROUTES = (overview,)
