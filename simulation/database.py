"""What services reach Postgres by in a history: real connections, real locks, virtual time, and seeded bad weather.

A statement blocks the loop until it is answered, so that no virtual time passes meanwhile. One that waits for another
transaction's lock waits in virtual time, until that transaction has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import OperationalError
from psycopg.rows import DictRow, dict_row

from shared.store.connection import COMMIT
from shared.store.database import PLANS
from shared.store.statements import Asked, Command
from simulation.connections import Line, VirtualConnection
from simulation.faults import Profile, Tally

OWNER = UUID(int=1)
CONNECTIONS = 24
"""How many units of work can be open at once in one history."""
_CLOCK: LiteralString = """
    CREATE OR REPLACE FUNCTION makima.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
        SELECT timestamptz '2030-01-01T00:00:00+00'
             + coalesce(nullif(current_setting('makima.passed', true), ''), '0')::float * interval '1 second' $$
"""
_SET_CLOCK = Command("simulation.set_clock", "SELECT set_config('makima.passed', %(passed)s, false)")
_TABLES: LiteralString = """
    SELECT string_agg(format('%I.%I', schemaname, tablename), ' ') AS names FROM pg_tables WHERE schemaname = 'makima'
"""
Step = Callable[[str], Awaitable[None]]


class Server:
    """A database, the connections that services share, and one that no fault meets."""

    def __init__(self, url: str) -> None:
        connection: psycopg.Connection[DictRow] = psycopg.connect(
            url, row_factory=dict_row, autocommit=True, options=PLANS
        )
        connection.execute(_CLOCK)
        self.connection = connection
        self.line = Line(connection)
        tables = self.rows(_TABLES)[0]["names"].split()
        self._empty = "; ".join(
            [
                "BEGIN",
                "SET LOCAL session_replication_role = replica",  # no foreign key is checked
                *(f"DELETE FROM {table}" for table in tables),
                "SELECT setval('makima.event_seq_seq', 1, false)",
                "COMMIT",
            ]
        )
        self.connections = asyncio.run(self._connect(url))

    async def _connect(self, url: str) -> list[VirtualConnection]:
        connections = []
        for _ in range(CONNECTIONS):
            one = await VirtualConnection.connect(url, row_factory=dict_row, autocommit=True, options=PLANS)
            connections.append(one.standing_in(self.line))
        return connections

    def rows(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[DictRow]:
        """What a statement returns; for the checker and the world."""
        cursor = self.connection.execute(statement, parameters, prepare=True)
        return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """Begin a history: empty tables, the owner in place.

        Deleting spares every connection planning anew. Vacuumed, rows that nothing orders come in an order of this
        history's own making, whatever was played before it.
        """
        self.connection.execute(self._empty.encode())
        self.connection.execute("VACUUM")
        self.connection.execute("INSERT INTO makima.owner (id, name) VALUES (%s, 'default')", (OWNER,))
        self.line.waits = self.line.deadlocks = 0

    def close(self) -> None:
        """Be done with it."""
        for connection in self.connections:
            connection.pgconn.finish()
        self.connection.close()


class Weather:
    """What Postgres suffers in one history: away for a while, and commits whose answer is lost."""

    def __init__(self, server: Server, profile: Profile, rng: Random, tally: Tally) -> None:
        self.profile, self.rng, self.tally = profile, rng, tally
        self.away = False
        self.free = list(server.connections)
        """The last one that was given back is the first to be taken: its statements are prepared."""

    def pass_or_fail(self) -> None:
        """Raise OperationalError while Postgres is away, and where this round trip fails."""
        if self.away:
            raise OperationalError("the database system is shutting down")
        if self._bad and self.rng.random() < self.profile.connection_lost:
            raise OperationalError("the connection is lost")

    @property
    def _bad(self) -> bool:
        return asyncio.get_running_loop().time() < self.profile.until

    def committed(self) -> None:
        """Count a commit; now and then its answer is lost, and OperationalError is raised."""
        self.tally.commits += 1
        if self._bad and self.rng.random() < self.profile.commit_unheard:
            raise OperationalError("the connection was closed")


class _Connection:
    """A connection in a service's hand. Between two round trips its life may end, or others come first."""

    def __init__(self, connection: VirtualConnection, weather: Weather, step: Step) -> None:
        self._connection, self._weather, self._step = connection, weather, step
        self._clock: str | None = str(asyncio.get_running_loop().time())

    async def exchange(self, asked: Sequence[Asked[Any]]) -> list[list[Any]]:
        await self._step("statement")
        self._weather.pass_or_fail()
        clock = [_SET_CLOCK(passed=self._clock)] if self._clock is not None else []
        self._clock = None
        rows = await self._connection.exchange([*clock, *asked])
        if asked[-1] is COMMIT:
            self._connection.has_ended()
            self._weather.committed()
            await self._step("after_commit")
        return rows[len(clock) :]


class Pool:
    """What a life of a service connects with."""

    def __init__(self, weather: Weather, step: Step) -> None:
        self._weather, self._step = weather, step

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[_Connection]:
        """A connection, alone; at virtual time."""
        await self._step("connect")
        self._weather.pass_or_fail()
        connection = self._weather.free.pop()
        try:
            yield _Connection(connection, self._weather, self._step)
        finally:
            await connection.give_back()
            self._weather.free.append(connection)
