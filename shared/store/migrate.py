"""The schema, brought up to date: migrations, each once, then the definitions of functions, views and triggers.

`migrations/NNN_name.up.sql` change tables, types and indexes. They are applied in order, each in its transaction, under
an advisory lock, and never edited afterwards; schema.sql shows what they come to. `definitions/*.sql` show themselves:
all of them are applied anew after an upgrade that changed one, so that no migration repeats a function's body.
"""

from __future__ import annotations

from hashlib import sha256
from importlib import resources
from typing import LiteralString, NamedTuple

import psycopg

from shared.domain.ids import new_id
from shared.failpoints import hit
from shared.store.statements import with_fragments

LOCK = 0x6D616B69
OLDEST = 14
"""The oldest major version of Postgres that it works on."""
_TABLE: tuple[LiteralString, ...] = (
    "CREATE TABLE IF NOT EXISTS public.makima_migration (number integer PRIMARY KEY, name text NOT NULL)",
    "ALTER TABLE public.makima_migration ADD COLUMN IF NOT EXISTS checksum text",
)
_APPLIED: LiteralString = "SELECT number, to_jsonb(m) ->> 'checksum' FROM public.makima_migration m"
"""Also where an earlier version made the table, without checksums."""
_KEEP: LiteralString = "UPDATE public.makima_migration SET checksum = %s WHERE number = %s"
_OWNER: LiteralString = "INSERT INTO makima.owner (id, name) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"
_DEFINED: LiteralString = "SELECT obj_description(to_regnamespace('makima'), 'pg_namespace')"
_UNDEFINE: LiteralString = """
    DO $$
    DECLARE
        named text;
    BEGIN
        SELECT string_agg(format('makima.%I', viewname), ', ') INTO named FROM pg_views WHERE schemaname = 'makima';
        IF named IS NOT NULL THEN
            EXECUTE 'DROP VIEW ' || named;
        END IF;
        COMMENT ON SCHEMA makima IS NULL;
    END $$
"""


class DatabaseRefused(RuntimeError):
    """A database that this makima doesn't work on: it would not know what it reads."""


class DatabaseTooNew(DatabaseRefused):
    """A database that a newer makima has changed."""


class MigrationChanged(DatabaseRefused):
    """A migration that was changed after it had been applied."""


class _Migration(NamedTuple):
    number: int
    name: str
    text: LiteralString

    @property
    def checksum(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    @property
    def row(self) -> tuple[int, str, str]:
        return self.number, self.name, self.checksum


def migrate(url: str, owner: str | None = None) -> list[str]:
    """Bring the database up to date, with this owner in it; what was applied. Safe from any number of processes.

    Raises DatabaseTooNew, MigrationChanged.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        done = _prepare(connection)
        _refuse_newer(connection)
        _refuse_changed(done)
        _keep_checksums(connection, done)
        due = [migration for migration in _files("up") if migration.number not in done]
        if due and _defined(connection):
            connection.execute(_UNDEFINE)  # nothing stands in the way of a table's change
        for migration in due:
            hit("store.migrate", "before")
            with connection.transaction():
                connection.execute(migration.text)
                connection.execute("INSERT INTO public.makima_migration VALUES (%s, %s, %s)", migration.row)
            hit("store.migrate", "after")
        _define(connection)
        if owner is not None:
            connection.execute(_OWNER, (new_id(), owner))
    return [migration.name for migration in due]


def refuse_foreign(url: str) -> None:
    """Raise DatabaseRefused if this database is not one that this makima would have made, or could work on."""
    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        refuse_unfit(connection.info.server_version, connection.info.parameter_status("server_encoding"))
        known = connection.execute("SELECT to_regclass('public.makima_migration')").fetchone()
        if known != (None,):
            _refuse_newer(connection)
            _refuse_changed(_applied(connection))


class Schema(NamedTuple):
    """A database beside what this makima would make of it."""

    newest: str | None
    """The last migration that it has."""
    due: list[str]
    definitions_change: bool
    refused: str | None


def compare(url: str) -> Schema:
    """What `migrate` would do to a database; nothing is done. Raises psycopg.Error."""
    with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
        if connection.execute("SELECT to_regclass('public.makima_migration')").fetchone() == (None,):
            return Schema(None, [migration.name for migration in _files("up")], True, None)
        done = _applied(connection)
        newest = connection.execute("SELECT name FROM public.makima_migration ORDER BY number DESC LIMIT 1").fetchone()
        refused = None
        try:
            _refuse_newer(connection)
            _refuse_changed(done)
        except DatabaseRefused as error:
            refused = str(error)
        due = [migration.name for migration in _files("up") if migration.number not in done]
        changes = _defined(connection) != sha256(definitions().encode()).hexdigest()
        return Schema(newest[0] if newest else None, due, changes, refused)


def revert(url: str, to: int = 0) -> list[str]:
    """Take back every migration above number `to`, newest first; the names of what was taken back.

    Views are gone with the first, and functions stay; the next makima to start applies its own definitions.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        done = _prepare(connection)
        due = [
            migration for migration in reversed(_files("down")) if to < migration.number and migration.number in done
        ]
        if due and _defined(connection):
            connection.execute(_UNDEFINE)
        for migration in due:
            hit("store.revert", "before")
            with connection.transaction():
                connection.execute(migration.text)
                connection.execute("DELETE FROM public.makima_migration WHERE number = %s", (migration.number,))
            hit("store.revert", "after")
    return [migration.name for migration in due]


def definitions() -> LiteralString:
    """The functions, views and triggers as they are applied, in the order of their files' names."""
    folder = resources.files("shared.store").joinpath("definitions")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return with_fragments("\n".join(file.read_text(encoding="utf-8") for file in files))


def _prepare(connection: psycopg.Connection) -> dict[int, str | None]:
    """Take the lock, and have a table of what is applied; that."""
    connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
    for statement in _TABLE:
        connection.execute(statement)
    return _applied(connection)


def _applied(connection: psycopg.Connection) -> dict[int, str | None]:
    """The migrations that were applied, with their checksums."""
    return dict(connection.execute(_APPLIED).fetchall())


def refuse_unfit(version: int, encoding: str | None) -> None:
    """Raise DatabaseRefused for a server that is too old, or a database in which not every text can be kept."""
    if version < OLDEST * 10_000:
        raise DatabaseRefused(f"Postgres {version // 10_000} is too old; makima needs {OLDEST} or newer")
    if encoding != "UTF8":
        raise DatabaseRefused(
            f"the database is encoded in {encoding}, and makima needs UTF8; "
            "make another: CREATE DATABASE makima ENCODING 'UTF8' TEMPLATE template0"
        )


def _refuse_newer(connection: psycopg.Connection) -> None:
    newest = _files("up")[-1]
    found = connection.execute(
        "SELECT name FROM public.makima_migration WHERE number > %s ORDER BY number DESC LIMIT 1", (newest.number,)
    ).fetchone()
    if found:
        raise DatabaseTooNew(
            f"the database is a newer makima's: it has {found[0]}, and this one knows up to {newest.name}; "
            "install that version or a newer one, or restore a backup into a new home"
        )


def _refuse_changed(done: dict[int, str | None]) -> None:
    for migration in _files("up"):
        if done.get(migration.number) not in (None, migration.checksum):
            raise MigrationChanged(
                f"migration {migration.name} is not the one that this database was made with: it was changed after it "
                "had been applied; reinstall makima, and put changes of the schema into a new migration"
            )


def _keep_checksums(connection: psycopg.Connection, done: dict[int, str | None]) -> None:
    """Take what earlier versions applied, which kept no checksums, as it stands."""
    for migration in _files("up"):
        if migration.number in done and done[migration.number] is None:
            connection.execute(_KEEP, (migration.checksum, migration.number))


def _define(connection: psycopg.Connection) -> None:
    """Apply the definitions, unless these are the ones that are there."""
    text = definitions()
    checksum = sha256(text.encode()).hexdigest()
    if _defined(connection) != checksum:
        hit("store.define", "before")
        with connection.transaction():
            connection.execute(_UNDEFINE)
            connection.execute(text)
            connection.execute(f"COMMENT ON SCHEMA makima IS '{checksum}'".encode())
        hit("store.define", "after")


def _defined(connection: psycopg.Connection) -> str | None:
    """The checksum of the definitions that are there; None when they are not, or not known to be."""
    row = connection.execute(_DEFINED).fetchone()
    return row[0] if row else None


def _files(direction: str) -> list[_Migration]:
    folder = resources.files("shared.store").joinpath("migrations")
    names = sorted(f.name for f in folder.iterdir() if f.name.endswith(f".{direction}.sql"))
    return [_Migration(int(n[:3]), n.split(".")[0], folder.joinpath(n).read_text(encoding="utf-8")) for n in names]
