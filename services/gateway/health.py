"""Health: whether the process lives, and whether it can serve."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import get
from litestar.exceptions import HTTPException

from shared.config import Settings
from shared.store.database import Database

PATIENCE_SECONDS = 2.0
ZMTP_SIGNATURE = b"\xff"
"""The first byte that a ZeroMQ socket says to whoever connects (ZMTP 3.1, section 2.2)."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """What was found."""

    status: str


class Readiness(Health, frozen=True, kw_only=True):
    """What was found of what the gateway needs."""

    postgres: str
    broker: str


@get("/healthz", sync_to_thread=False)
def healthz() -> Health:
    """The process lives."""
    return Health(status="ok")


@get("/readyz")
async def readyz(database: Database, settings: Settings) -> Readiness:
    """Postgres and the broker answer; 503 with what doesn't."""
    postgres, broker = await asyncio.gather(_postgres(database), _broker(settings))
    if postgres or broker:
        raise HTTPException("; ".join(filter(None, (postgres, broker))), status_code=503)
    return Readiness(status="ok", postgres="ok", broker="ok")


async def _postgres(database: Database) -> str | None:
    try:
        await asyncio.wait_for(database.rows("SELECT 1"), PATIENCE_SECONDS)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what keeps us from serving
        return f"Postgres doesn't answer within {PATIENCE_SECONDS:.0f} s ({type(error).__name__})"
    return None


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
