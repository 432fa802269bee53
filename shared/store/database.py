"""The pool, and the unit of work: a phase's writes and audit events in one transaction, then what to publish."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar, overload

from psycopg import DataError, IntegrityError, OperationalError, errors
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from shared.failpoints import hit
from shared.messages.events import Event
from shared.messages.topics import event_type
from shared.store import connection as thin
from shared.store.connection import BEGIN, COMMIT
from shared.store.kept import KeptPool
from shared.store.statements import Asked, Command

UNAVAILABLE = (OperationalError, errors.ReadOnlySqlTransaction)
"""What Postgres can't do now and may do later: it is away, out of connections or disk, or takes no writes."""
UNHOLDABLE = (DataError, IntegrityError, errors.ProgramLimitExceeded, errors.StatementTooComplex)
"""What Postgres never takes, however often it is asked. Caught before UNAVAILABLE, which some of it is, too."""
PATIENCE_SECONDS = 10.0
"""So long whoever asks waits for a free connection."""
RETRY_SECONDS = 1.0
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
Publish = Callable[[Sequence[Event]], Awaitable[None]]

_AUDIT = Command(
    "store.audit",
    """
    INSERT INTO makima.event (type, directive_id, body)
    SELECT e.type, e.directive, e.body
      FROM jsonb_to_recordset(%(entries)s::jsonb) AS e (type text, directive uuid, body jsonb)
    """,
)
_AUDIT_BY = Command(
    "store.audit_by",
    """
    INSERT INTO makima.event (type, directive_id, body)
    SELECT e.type, e.directive, e.body || jsonb_build_object('by', %(by)s::text)
      FROM jsonb_to_recordset(%(entries)s::jsonb) AS e (type text, directive uuid, body jsonb)
    """,
)
_COMMITTED = "it is committed"
PLANS = "-c plan_cache_mode=force_generic_plan " + " ".join(
    f"-c enable_{kind}=off" for kind in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")
)
"""Every statement goes by its indexes, planned once a connection: a new database has no statistics yet, and a plan that
follows the tables' size of the moment is slow a moment later."""


class Connection(Protocol):
    """One connection to Postgres."""

    async def exchange(self, asked: Sequence[Asked[Any]]) -> list[list[Any]]:
        """Carry out statements one after another, in one round trip; the rows of each."""


class Pool(Protocol):
    """Hands out connections: psycopg's pool, or whatever stands in for it in a simulation."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for a while; rolled back when an exception ends that while."""


class Reader(ABC):
    """What statements are asked of: a unit of work, or the database itself for what only reads."""

    @abstractmethod
    async def _exchange(self, asked: Sequence[Asked[Any]]) -> list[list[Any]]:
        """Carry out statements in one round trip; the rows of each."""

    async def fetch(self, asked: Asked[R]) -> list[R]:
        """The rows of a statement."""
        (rows,) = await self._exchange((asked,))
        return rows

    async def fetch_one(self, asked: Asked[R]) -> R:
        """The only row of a statement. Raises LookupError unless there is exactly one."""
        rows = await self.fetch(asked)
        if len(rows) != 1:
            raise LookupError(f"{asked.statement.name} gave {len(rows)} rows instead of one")
        return rows[0]

    async def fetch_first(self, asked: Asked[R]) -> R | None:
        """The first row of a statement; None when it has none."""
        rows = await self.fetch(asked)
        return rows[0] if rows else None

    @overload
    async def fetch_all(self, a: Asked[A], b: Asked[B], /) -> tuple[list[A], list[B]]: ...
    @overload
    async def fetch_all(self, a: Asked[A], b: Asked[B], c: Asked[C], /) -> tuple[list[A], list[B], list[C]]: ...
    @overload
    async def fetch_all(
        self, a: Asked[A], b: Asked[B], c: Asked[C], d: Asked[D], /
    ) -> tuple[list[A], list[B], list[C], list[D]]: ...
    @overload
    async def fetch_all(self, *asked: Asked[R]) -> tuple[list[R], ...]: ...

    async def fetch_all(self, *asked: Asked[Any]) -> tuple[list[Any], ...]:
        """The rows of each of some statements, carried out one after another in one round trip."""
        return tuple(await self._exchange(asked)) if asked else ()


class UnitOfWork(Reader):
    """One transaction. Its BEGIN goes out with the first statement, its COMMIT with the last where that is known."""

    def __init__(self, connection: Connection, point: str) -> None:
        self._connection = connection
        self._point = point
        self._begun = False
        self._over = ""
        self._waiting: list[Asked[Any]] = []
        self._entries: list[Event] = []
        self.events: list[Event] = []
        """What is published after the commit."""
        self._told: list[Callable[[], Awaitable[None]]] = []
        self.by: str | None = None
        """Who does it, as the audit log says; None: nobody in particular."""

    def execute(self, *asked: Asked[Any]) -> None:
        """Have statements carried out whose rows nobody waits for: with the next one that is, or with the commit.

        What they raise is raised there.
        """
        self._refuse_late()
        self._waiting += asked

    async def fetch_last(self, asked: Asked[R]) -> list[R]:
        """The rows of the last statement, and the commit with it: with nothing before it, the only round trip.

        What is recorded later is too late for it; events that the statement itself has logged may be announced.
        """
        (rows,) = await self._commit(asked)
        return rows

    async def fetch_all_last(self, a: Asked[A], b: Asked[B], c: Asked[C], /) -> tuple[list[A], list[B], list[C]]:
        """The rows of the last three statements, and the commit with them."""
        rows_of_a, rows_of_b, rows_of_c = await self._commit(a, b, c)
        return rows_of_a, rows_of_b, rows_of_c

    def record(self, *events: Event) -> None:
        """Keep events: written to the audit log before the commit, published after it."""
        self._refuse_late()
        self._entries += events
        self.events += events

    def announce(self, *events: Event) -> None:
        """Publish events after the commit that a statement has written to the audit log itself.

        They go out before what is recorded: what becomes ready is waited for, what has ended is known.
        """
        self.events[:0] = events

    def after_commit(self, tell: Callable[[], Awaitable[None]]) -> None:
        """Have this done once it is committed, before its events are published: what is waited for goes out first."""
        self._told.append(tell)

    async def tell(self) -> None:
        """Do what is to be done after the commit."""
        for tell in self._told:
            await tell()

    async def end(self) -> None:
        """Commit, unless that is done. Raises RuntimeError after a statement that failed."""
        if self._over != _COMMITTED:
            await self._commit()

    async def _commit(self, *last: Asked[Any]) -> list[list[Any]]:
        self._refuse_late()
        hit(self._point, "before_commit")
        entries = [{"type": event_type(e), "directive": e.directive, "body": e} for e in self._entries]
        audit = _AUDIT(entries=entries) if self.by is None else _AUDIT_BY(entries=entries, by=self.by)
        asked = [*last, *((audit,) if entries else ())]
        rows: list[list[Any]] = []
        if self._begun or self._waiting or asked:
            rows = await self._exchange([*asked, COMMIT])
        self._over = _COMMITTED
        hit(self._point, "after_commit")  # and before its events are published
        return rows[: len(last)]

    async def _exchange(self, asked: Sequence[Asked[Any]]) -> list[list[Any]]:
        self._refuse_late()
        before = [*(() if self._begun else (BEGIN,)), *self._waiting]
        self._begun, self._waiting = True, []
        self._over = "a statement of it failed"
        rows = await self._connection.exchange([*before, *asked])
        self._over = ""
        return rows[len(before) :]

    def _refuse_late(self) -> None:
        if self._over:
            raise RuntimeError(f"{self._point}: {self._over}; nothing more can be done in this unit of work")


class Database(Reader):
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
            unit = UnitOfWork(connection, point)
            yield unit
            await unit.end()
        await unit.tell()
        if unit.events and self.publish is not None:
            await self.publish(unit.events)

    async def _exchange(self, asked: Sequence[Asked[Any]]) -> list[list[Any]]:
        async with self._pool.connection() as connection:
            return await connection.exchange(asked)


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
    pool: AsyncConnectionPool[thin.Connection] = AsyncConnectionPool(
        url,
        min_size=1,
        max_size=most,
        open=False,
        connection_class=thin.Connection,
        kwargs={"autocommit": True, "options": options, "row_factory": dict_row, "application_name": name},
        timeout=PATIENCE_SECONDS,
        reconnect_timeout=RETRY_SECONDS,
    )
    async with pool:
        kept = KeptPool(pool)
        retrying = asyncio.create_task(_retry(pool))
        try:
            yield Database(kept, publish)
        finally:
            retrying.cancel()
            await kept.close()


async def _retry(pool: AsyncConnectionPool[thin.Connection]) -> None:
    """Let the pool try to connect every second while it has no connection; by itself it does ever more rarely."""
    while True:
        await asyncio.sleep(RETRY_SECONDS)
        if not pool.get_stats()["pool_size"]:
            with suppress(OperationalError):
                async with pool.connection(timeout=RETRY_SECONDS):
                    pass
