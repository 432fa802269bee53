"""Events: a directive's audit log."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import get

from services.gateway.access import SQL, Caller
from shared.store.database import Database


@get("/v1/events")
async def events(caller: Caller, database: Database, directive: UUID, after: int = 0) -> list[dict[str, Any]]:
    """A directive's audit log after a sequence number."""
    return await database.rows(
        SQL["events"], {"owner": caller.on(directive).owner, "directive": directive, "after": after}
    )


ROUTES = (events,)
