"""Migrations: `NNN_name.up.sql` applied in order, each in its transaction, under an advisory lock."""

from __future__ import annotations

from importlib import resources
from typing import LiteralString

import psycopg

from shared.domain.ids import new_id
from shared.failpoints import hit

LOCK = 0x6D616B69
_TABLE: LiteralString = (
    "CREATE TABLE IF NOT EXISTS public.makima_migration (number integer PRIMARY KEY, name text NOT NULL)"
)


_OWNER: LiteralString = "INSERT INTO makima.owner (id, name) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"


def migrate(url: str, owner: str | None = None) -> list[str]:
    """Bring the database up to date, with this owner in it; what was applied. Safe from any number of processes."""
    applied = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        connection.execute(_TABLE)
        done = {row[0] for row in connection.execute("SELECT number FROM public.makima_migration")}
        for number, name, text in _files("up"):
            if number not in done:
                hit("store.migrate", "before")
                with connection.transaction():
                    connection.execute(text)
                    connection.execute("INSERT INTO public.makima_migration VALUES (%s, %s)", (number, name))
                hit("store.migrate", "after")
                applied.append(name)
        if owner is not None:
            connection.execute(_OWNER, (new_id(), owner))
    return applied


def revert(url: str, to: int = 0) -> list[str]:
    """Take back every migration above number `to`, newest first; the names of what was taken back."""
    reverted = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        done = {row[0] for row in connection.execute("SELECT number FROM public.makima_migration")}
        for number, name, text in reversed(_files("down")):
            if number > to and number in done:
                hit("store.revert", "before")
                with connection.transaction():
                    connection.execute(text)
                    connection.execute("DELETE FROM public.makima_migration WHERE number = %s", (number,))
                hit("store.revert", "after")
                reverted.append(name)
    return reverted


def _files(direction: str) -> list[tuple[int, str, LiteralString]]:
    folder = resources.files("shared.store").joinpath("migrations")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(f".{direction}.sql"))
    return [(int(n[:3]), n.split(".")[0], folder.joinpath(n).read_text(encoding="utf-8")) for n in names]
