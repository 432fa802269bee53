"""Health: whether the process lives, and whether it can serve."""

from __future__ import annotations

import asyncio

from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from services.gateway.rows.counts import READ_ONLY
from services.gateway.troubles import troubles
from shared.api.cluster import Health, Readiness
from shared.config import Settings
from shared.store.database import Database

PATIENCE_SECONDS = 2.0
ZMTP_SIGNATURE = b"\xff"
"""The first byte that a ZeroMQ socket says to whoever connects (ZMTP 3.1, section 2.2)."""


@get("/healthz", sync_to_thread=False, operation_id="showHealth", tags=["cluster"], security=[{}])
def healthz() -> Health:
    """The process lives."""
    return Health(status="ok")


@get("/readyz", operation_id="showReadiness", tags=["cluster"], security=[{}])
async def readyz(database: NamedDependency[Database], settings: NamedDependency[Settings]) -> Readiness:
    """Postgres and the broker answer; 503 with what doesn't. `processes`: others that don't, since when."""
    found = dict(zip(("postgres", "broker"), await asyncio.gather(_postgres(database), _broker(settings)), strict=True))
    others = troubles(settings)
    if any(found.values()):
        said = [text + (f", {others[name]}" if name in others else "") for name, text in found.items() if text]
        raise HTTPException("; ".join(said), status_code=503)
    return Readiness(status="degraded" if others else "ok", postgres="ok", broker="ok", processes=others)


async def _postgres(database: Database) -> str | None:
    try:
        (read_only,) = await asyncio.wait_for(database.fetch(READ_ONLY()), PATIENCE_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what keeps us from serving
        return f"Postgres doesn't answer within {PATIENCE_SECONDS:.0f} s ({type(error).__name__})"
    return "Postgres takes no writes (transaction_read_only is on)" if read_only else None


async def _broker(settings: Settings) -> str | None:
    """Whether it greets: a process that is stopped or gone doesn't, though its socket's file may still be there."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            kind, _, where = settings.socket("events-out").partition("://")
            host, _, port = where.rpartition(":")
            opening = asyncio.open_unix_connection(where) if kind == "ipc" else asyncio.open_connection(host, port)
            reader, writer = await opening
            if await reader.readexactly(1) != ZMTP_SIGNATURE:
                return "something that is no broker answers in its place"
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        return f"the broker doesn't answer within {PATIENCE_SECONDS:.0f} s ({type(error).__name__})"
    finally:
        if writer is not None:
            writer.close()
    return None


ROUTES = (healthz, readyz)
