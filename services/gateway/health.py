"""Health: whether the process lives, and whether it can serve."""

from __future__ import annotations

from litestar import get

from shared.store.database import Database


@get("/healthz", sync_to_thread=False)
def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@get("/readyz")
async def readyz(database: Database) -> dict[str, str]:
    """Postgres answers."""
    await database.rows("SELECT 1")
    return {"status": "ok"}


ROUTES = (healthz, readyz)
