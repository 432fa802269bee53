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


class DatabaseTooNew(RuntimeError):
    """A database that a newer makima has changed: this one would not know what it reads."""


def migrate(url: str, owner: str | None = None) -> list[str]:
    """Bring the database up to date, with this owner in it; what was applied. Safe from any number of processes.

    Raises DatabaseTooNew.
    """
    applied = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        connection.execute(_TABLE)
        done = {row[0] for row in connection.execute("SELECT number FROM public.makima_migration")}
        _refuse_newer(connection)
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


def refuse_newer(url: str) -> None:
    """Raise DatabaseTooNew if a newer makima has changed this database."""
    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        known = connection.execute("SELECT to_regclass('public.makima_migration')").fetchone()
        if known != (None,):
            _refuse_newer(connection)


def _refuse_newer(connection: psycopg.Connection) -> None:
    newest, *_ = reversed(_files("up"))
    found = connection.execute(
        "SELECT name FROM public.makima_migration WHERE number > %s ORDER BY number DESC LIMIT 1", (newest[0],)
    ).fetchone()
    if found:
        raise DatabaseTooNew(
            f"the database is a newer makima's: it has {found[0]}, and this one knows up to {newest[1]}; "
            "install that version or a newer one, or restore a backup into a new home"
        )


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
