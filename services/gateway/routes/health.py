"""Health: whether the process lives, and whether it can serve."""

from __future__ import annotations

import asyncio

import zmq
from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from services.gateway.access import ANYBODY
from services.gateway.rows.counts import READ_ONLY
from services.gateway.troubles import troubles
from shared.api.cluster import Health, Readiness
from shared.bus.keys import introduce
from shared.config import ConfigError, Settings
from shared.store.database import Database

PATIENCE_SECONDS = 2.0


@get("/healthz", sync_to_thread=False, operation_id="showHealth", opt=ANYBODY, tags=["cluster"], security=[{}])
def healthz() -> Health:
    """The process lives."""
    return Health(status="ok")


@get("/readyz", operation_id="showReadiness", opt=ANYBODY, tags=["cluster"], security=[{}])
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
    """Whether it admits us: a process that is stopped or gone doesn't, though its socket's file may still be there."""
    admitted = await asyncio.to_thread(_admitted, settings)
    return None if admitted else f"the broker doesn't answer within {PATIENCE_SECONDS:.0f} s"


def _admitted(settings: Settings) -> bool:
    context = zmq.Context()
    try:
        socket = context.socket(zmq.SUB)
        introduce(socket, settings, "gateway")
        told = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        socket.connect(settings.socket("events-out"))
        return bool(told.poll(int(PATIENCE_SECONDS * 1000)))
    except (ConfigError, zmq.ZMQError):
        return False
    finally:
        context.destroy(linger=0)


ROUTES = (healthz, readyz)
