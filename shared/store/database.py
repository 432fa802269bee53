"""The pool, and the unit of work: a phase's writes and audit events in one transaction, then what to publish."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, LiteralString, Protocol

import msgspec
from psycopg import AsyncConnection, OperationalError, errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from shared.failpoints import hit
from shared.messages.events import Event
from shared.messages.topics import event_type

UNAVAILABLE = (OperationalError, errors.ReadOnlySqlTransaction)
"""What Postgres can't do now and may do later: it is away, out of connections or disk, or takes no writes."""
PATIENCE_SECONDS = 10.0
"""So long whoever asks waits for a free connection."""
RETRY_SECONDS = 1.0
Publish = Callable[[Sequence[Event]], Awaitable[None]]
Row = DictRow
Asked = tuple[LiteralString, dict[str, Any] | None]
"""A statement and its parameters."""

_AUDIT: LiteralString = """
    INSERT INTO makima.event (type, directive_id, body)
    SELECT e.type, e.directive, e.body
      FROM jsonb_to_recordset(%s::jsonb) AS e (type text, directive uuid, body jsonb)
"""
PLANS = "-c plan_cache_mode=force_generic_plan " + " ".join(
    f"-c enable_{kind}=off" for kind in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")
)
"""Every statement goes by its indexes, planned once a connection: a new database has no statistics yet, and a plan that
follows the tables' size of the moment is slow a moment later."""
_json = msgspec.json.Encoder()
_NUL = re.compile(r"((?<!\\)(?:\\\\)*)\\u0000")


def as_json(value: object) -> str:
    """A value as a jsonb parameter, without the NULs that Postgres can't hold.

    Rows for `jsonb_to_recordset` are sent so: an array for each of many columns costs far more.

    >>> as_json([{"said": "a\\0b"}])
    '[{"said":"ab"}]'
    """
    text = _json.encode(value).decode()
    return _NUL.sub(r"\1", text) if r"\u0000" in text else text


def as_array(items: Iterable[str]) -> str:
    """Texts as Postgres writes an array of them: a column of arrays of different lengths travels as text."""
    escaped = (i.replace("\\", "\\\\").replace('"', '\\"') for i in items)
    return "{" + ",".join(f'"{i}"' for i in escaped) + "}"


class Cursor(Protocol):
    """What a statement gave."""

    @property
    def description(self) -> Sequence[Any] | None:
        """None when it gives no rows."""

    async def fetchall(self) -> list[DictRow]:
        """Its rows."""


class Connection(Protocol):
    """One connection to Postgres; a transaction is begun by BEGIN."""

    async def execute(self, query: LiteralString, params: Any = None, *, prepare: bool | None = None) -> Cursor:  # noqa: ANN401
        """Run a statement."""

    async def commit(self) -> None:
        """End the transaction; what it wrote is durable."""

    def pipeline(self) -> AbstractAsyncContextManager[object]:
        """What is executed meanwhile goes out at once, and its results are there at the end: one round trip."""


class Pool(Protocol):
    """Hands out connections: psycopg's pool, or whatever stands in for it in a simulation."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a while; rolled back when an exception ends that while."""


class UnitOfWork:
    """One transaction. `record` keeps events for the audit log and for publishing after the commit."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._begun = False
        self.events: list[Event] = []
        self._told: list[Callable[[], Awaitable[None]]] = []

    async def rows(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[DictRow]:
        """Run one statement, prepared at once; its rows, none when it returns none."""
        (rows,) = await self.rows_of_each((statement, parameters))
        return rows

    async def rows_of_each(self, *asked: Asked) -> list[list[DictRow]]:
        """Run statements one after another in one round trip; the rows of each."""
        if self._begun and len(asked) == 1:
            return [await _rows(await self._connection.execute(*asked[0], prepare=True))]
        if self._begun:
            return await _rows_of_each(self._connection, *asked)
        self._begun = True
        _, *rows = await _rows_of_each(self._connection, ("BEGIN", None), *asked)
        return rows

    def record(self, *events: Event) -> None:
        """Keep events: written to the audit log before the commit, published after it."""
        self.events.extend(events)

    def after_commit(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Have this done once it is committed, before its events are published: what is waited for goes out first."""
        self._told.append(tell)

    async def tell(self) -> None:
        """Do what is to be done after the commit."""
        for tell in self._told:
            await tell()

    async def flush(self) -> None:
        """Write what was recorded to the audit log."""
        if self.events:
            entries = [{"type": event_type(e), "directive": e.directive, "body": e} for e in self.events]
            await self._connection.execute(_AUDIT, (as_json(entries),), prepare=True)


class Database:
    """A pool of connections to one Postgres, opened by `connect`."""

    def __init__(self, pool: Pool, publish: Publish | None = None) -> None:
        self._pool = pool
        self.publish = publish

    @asynccontextmanager
    async def unit_of_work(self, point: str) -> AsyncIterator[UnitOfWork]:
        """A transaction, committed at the end and rolled back on an exception; its events go out after the commit.

        `point` names the failpoints around commit and publishing: the service and what it does here.
        """
        async with self._pool.connection() as connection:
            unit = UnitOfWork(connection)
            yield unit
            hit(point, "before_commit")
            async with connection.pipeline():
                await unit.flush()
                await connection.commit()
            hit(point, "after_commit")  # and before its events are published
        await unit.tell()
        if unit.events and self.publish is not None:
            await self.publish(unit.events)

    async def rows(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[DictRow]:
        """One read-only statement."""
        async with self._pool.connection() as connection:
            return await _rows(await connection.execute(statement, parameters, prepare=True))

    async def rows_of_each(self, *asked: Asked) -> list[list[DictRow]]:
        """Read-only statements in one round trip; the rows of each."""
        async with self._pool.connection() as connection:
            return await _rows_of_each(connection, *asked)


async def _rows(cursor: Cursor) -> list[DictRow]:
    return await cursor.fetchall() if cursor.description else []


async def _rows_of_each(connection: Connection, *asked: Asked) -> list[list[DictRow]]:
    async with connection.pipeline():
        cursors = [await connection.execute(*one, prepare=True) for one in asked]
    return [await _rows(cursor) for cursor in cursors]


@asynccontextmanager
async def connect(
    url: str, publish: Publish | None = None, most: int = 4, name: str = "makima", waits_for_disk: bool = True
) -> AsyncIterator[Database]:
    """A database with at most `most` connections, shown under `name` in Postgres.

    While that is away each use waits PATIENCE_SECONDS at most, then raises OperationalError; who waits is served as
    soon as there is a connection again. A commit that doesn't wait for the disk is durable a few tens of milliseconds
    later, together with all before it, or when another's commit waits.
    """
    options = PLANS if waits_for_disk else f"{PLANS} -c synchronous_commit=off"
    pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
        url,
        min_size=1,
        max_size=most,
        open=False,
        connection_class=AsyncConnection[DictRow],
        kwargs={"autocommit": True, "options": options, "row_factory": dict_row, "application_name": name},
        timeout=PATIENCE_SECONDS,
        reconnect_timeout=RETRY_SECONDS,
    )
    async with pool:
        retrying = asyncio.create_task(_retry(pool))
        try:
            yield Database(pool, publish)
        finally:
            retrying.cancel()


async def _retry(pool: AsyncConnectionPool[AsyncConnection[DictRow]]) -> None:
    """Let the pool try to connect every second while it has no connection; by itself it does ever more rarely."""
    while True:
        await asyncio.sleep(RETRY_SECONDS)
        if not pool.get_stats()["pool_size"]:
            with suppress(OperationalError):
                async with pool.connection(timeout=RETRY_SECONDS):
                    pass
