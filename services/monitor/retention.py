"""What is old goes: output and the audit log, by age, in batches that hold nothing up."""

from __future__ import annotations

import asyncio
from typing import LiteralString

import structlog

from shared.service.phase import Surroundings
from shared.store.database import UNAVAILABLE
from shared.store.statements import statements

log = structlog.get_logger()

SQL = statements("services.monitor")
BETWEEN_BATCHES_SECONDS = 1.0
BATCH = 2_000
_BITMAPS: LiteralString = "SET LOCAL enable_bitmapscan = on"
"""Ages are indexed by BRIN, which only bitmaps read; a service's connections plan without them."""


async def retain(around: Surroundings) -> None:
    """Delete what is older than the settings keep, for ever."""
    settings = around.settings
    while True:
        await asyncio.sleep(settings.retention_seconds * (0.75 + around.chance.random() / 2))
        for name, days in (("forget_output", settings.keep_output_days), ("forget_events", settings.keep_events_days)):
            try:
                while await forget(around, name, days) == BATCH:
                    await asyncio.sleep(BETWEEN_BATCHES_SECONDS)
            except UNAVAILABLE as error:
                log.warning("retention waits", of=name, error=str(error))


async def forget(around: Surroundings, name: str, days: float) -> int:
    """Delete one batch; how many rows it was."""
    async with around.database.unit_of_work("monitor.retention") as unit:
        _, rows = await unit.rows_of_each((_BITMAPS, None), (SQL[name], {"days": days, "most": BATCH}))
    return int(rows[0]["deleted"])
