"""Room on the disk of the embedded Postgres, kept by a file that gives way when all else is taken.

From then on only what a person asks to stop is written: a pause, an archiving, a cancellation. Everything else waits,
since the server takes its writes only from those who ask for a transaction that writes. With room again the file is
made again, and then the server takes all writes. Neither depends on anything that this process remembers.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import psycopg
import structlog

from shared.config.embedded_url import SUPERUSER, embedded_url
from shared.places import disk_full, disk_reserve

log = structlog.get_logger()

KEPT_BYTES = 64 << 20
LEAST_BYTES = 32 << 20
"""Less is none: two segments of Postgres's log, without room for the next of which it dies."""
_WRITABLE = "-c default_transaction_read_only=off"


class DiskReserve:
    """The kept room of one home. `look` is called every second."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._told: bool | None = None
        """Whether the server was told that the disk is full; None: it may know something else from an earlier life."""

    def look(self) -> None:
        """Give way, or keep room again; and tell the server, which may have to be told again later."""
        kept = disk_reserve(self._home)
        with suppress(OSError):  # the next time, then
            free = shutil.disk_usage(kept.parent).free
            if free < LEAST_BYTES and kept.exists():
                kept.unlink()
                log.error("disk full", says=disk_full(self._home))
            elif free >= KEPT_BYTES + 2 * LEAST_BYTES and not kept.exists():
                _make(kept)
                log.info("room kept", file=str(kept), bytes=KEPT_BYTES)
        full = disk_full(self._home) is not None
        if full != self._told and _tell(self._home, full):
            self._told = full


def _make(kept: Path) -> None:
    draft = kept.with_name(f".{kept.name}")
    with draft.open("wb") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, KEPT_BYTES)
        except OSError:
            draft.unlink()
            raise
    draft.replace(kept)


def _tell(home: Path, full: bool) -> bool:
    """Whether the server could be told."""
    change = "SET default_transaction_read_only = on" if full else "RESET default_transaction_read_only"
    url = embedded_url(home, "postgres", SUPERUSER)
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=2, options=_WRITABLE) as connection:
            connection.execute(f"ALTER SYSTEM {change}".encode())
            connection.execute("SELECT pg_reload_conf()")
    except psycopg.Error:
        return False
    return True
