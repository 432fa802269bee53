"""Daemons: listed."""

from __future__ import annotations

from typing import Any

from litestar import get

from services.gateway.access import SQL, Caller
from shared.store.database import Database


@get("/v1/daemons")
async def list_daemons(caller: Caller, database: Database) -> list[dict[str, Any]]:
    """The owner's daemons."""
    return await database.rows(SQL["daemons"], {"owner": caller.person().owner})


ROUTES = (list_daemons,)
