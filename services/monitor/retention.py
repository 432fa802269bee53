"""What is old goes: output and the audit log, by age, in batches that hold nothing up."""

from __future__ import annotations

import asyncio

import structlog

from services.monitor import rows
from shared.service.phase import Context
from shared.store.database import UNAVAILABLE
from shared.store.statements import Query

log = structlog.get_logger()

BETWEEN_BATCHES_SECONDS = 1.0
BATCH = 2_000


async def retain(context: Context) -> None:
    """Delete what is older than the settings keep, for ever."""
    settings = context.settings
    while True:
        await asyncio.sleep(settings.retention_seconds * (0.75 + context.rng.random() / 2))
        for statement, days in (
            (rows.FORGET_OUTPUT, settings.keep_output_days),
            (rows.FORGET_EVENTS, settings.keep_events_days),
        ):
            try:
                while await forget(context, statement, days) == BATCH:
                    await asyncio.sleep(BETWEEN_BATCHES_SECONDS)
            except UNAVAILABLE as error:
                log.warning("retention waits", of=statement.name, error=str(error))


async def forget(context: Context, statement: Query[int], days: float) -> int:
    """Delete one batch; how many rows it was."""
    async with context.database.unit_of_work("monitor.retention") as unit:
        unit.execute(rows.BITMAPS())
        return await unit.fetch_one(statement(days=days, most=BATCH))
