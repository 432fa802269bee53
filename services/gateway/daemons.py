"""Daemons: listed."""

from __future__ import annotations

from litestar import get

from services.gateway.access import SQL, Caller
from services.gateway.answers import DaemonRow, answers
from shared.store.database import Database


@get("/v1/daemons")
async def list_daemons(caller: Caller, database: Database) -> list[DaemonRow]:
    """The owner's daemons."""
    return answers(DaemonRow, await database.rows(SQL["daemons"], {"owner": caller.person().owner}))


ROUTES = (list_daemons,)
