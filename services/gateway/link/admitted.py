"""The file of keys that may connect to the link: what the rows say, for the broker, which has no database.

It is written after each commit that changed a key, when the gateway starts, and by a sweep: one that died in between
leaves rows that are right and a file that is not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

import structlog
from litestar.exceptions import HTTPException

from services.gateway.link.enrolling import key_changed
from services.gateway.rows.daemon_keys import ADMITTED_KEYS, EXPIRE_KEYS, LOCK_KEYS, AdmittedKey
from shared.bus.link import Admitted, AdmittedKeys, admitted_path, read_admitted, write_admitted
from shared.config import ConfigError, Settings
from shared.domain.statuses import KeyStatus
from shared.store.database import UNAVAILABLE, Database

log = structlog.get_logger()


class AdmittedFile:
    """Keeps the file to what the rows say."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def rewrite(self) -> None:
        """Have the file say what the rows do. Raises OSError."""
        async with self._database.unit_of_work("gateway.admitted") as unit:
            unit.execute(LOCK_KEYS())
            keys = await unit.fetch(ADMITTED_KEYS())
            await asyncio.to_thread(self._write, keys)

    async def take_effect(self) -> None:
        """The same, for whoever has just asked for a change. Raises HTTPException 503 when it can't be written."""
        try:
            await self.rewrite()
        except OSError as error:
            path = admitted_path(self._settings.home)
            said = f"it is kept, but has no effect yet: {path} can't be written ({error.strerror}); it is tried again"
            raise HTTPException(said, status_code=503) from None

    async def sweep(self) -> None:
        """End what has expired, and put the file right where it isn't."""
        try:
            async with self._database.unit_of_work("gateway.expire_keys") as unit:
                unit.execute(LOCK_KEYS())
                for ended in await unit.fetch(EXPIRE_KEYS()):
                    unit.record(
                        key_changed(ended.public_key, ended.name, ended.owner, ended.status, "its time is over")
                    )
            await self.rewrite()
        except (*UNAVAILABLE, OSError) as error:
            log.warning("the keys that may connect can't be brought up to date", error=str(error))

    def _write(self, keys: Sequence[AdmittedKey]) -> None:
        """Write the file, unless it says so already."""
        home = self._settings.home
        wanted = AdmittedKeys(keys=tuple(map(_admitted, keys)), asking=self._settings.link_asking)
        try:
            if read_admitted(home) == wanted and admitted_path(home).exists():
                return
        except ConfigError:
            pass  # what can't be read is written anew
        admitted_path(home).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_admitted(home, wanted.keys, wanted.asking)


def _admitted(key: AdmittedKey) -> Admitted:
    is_daemon = key.status is KeyStatus.ACCEPTED
    kind: Literal["daemon", "invitation"] = "daemon" if is_daemon else "invitation"
    return Admitted(
        key=key.public_key,
        name=key.name,
        kind=kind,
        owner=key.owner,
        until=key.until,
        labels=tuple(key.labels),
        slots=key.slots,
    )
