"""A real Postgres on virtual time. Statements block the loop, so that no real time passes between two of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import OperationalError
from psycopg.rows import DictRow, dict_row

from simulation.faults import Profile, Tally

EPOCH = "2030-01-01T00:00:00+00"
"""When virtual time is 0."""
OWNER = UUID(int=1)
_CLOCK: LiteralString = """
    CREATE OR REPLACE FUNCTION makima.now() RETURNS timestamptz LANGUAGE sql STABLE AS $$
        SELECT timestamptz '2030-01-01T00:00:00+00'
             + coalesce(nullif(current_setting('makima.passed', true), ''), '0')::float * interval '1 second' $$
"""
_TABLES: LiteralString = """
    SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') AS names FROM pg_tables WHERE schemaname = 'makima'
"""


class Server:
    """One connection, which all services of a history share: one unit of work at a time."""

    def __init__(self, url: str) -> None:
        self.connection: psycopg.Connection[DictRow] = psycopg.connect(url, row_factory=dict_row)
        self.connection.execute(_CLOCK)
        self._truncate = f"TRUNCATE {self.rows(_TABLES)[0]['names']} RESTART IDENTITY"
        self.connection.commit()

    def rows(self, statement: LiteralString, parameters: dict[str, Any] | None = None) -> list[DictRow]:
        """What a statement returns; for the checker and the world, which no fault meets."""
        cursor = self.connection.execute(statement, parameters, prepare=True)
        found = cursor.fetchall() if cursor.description else []
        self.connection.commit()
        return found

    def empty(self) -> None:
        """Begin a history: empty tables, the owner in place."""
        self.connection.rollback()
        self.connection.execute(self._truncate.encode())
        self.connection.execute("INSERT INTO makima.owner (id, name) VALUES (%s, 'default')", (OWNER,))
        self.connection.commit()


class Weather:
    """What Postgres suffers in one history: away for a while, and commits whose answer is lost."""

    def __init__(self, profile: Profile, chance: Random, tally: Tally) -> None:
        self.profile, self.chance, self.tally = profile, chance, tally
        self.away = False
        self.lock = asyncio.Lock()


class _Cursor:
    def __init__(self, cursor: psycopg.Cursor[DictRow]) -> None:
        self.description = cursor.description
        self._rows = cursor.fetchall() if cursor.description else []

    async def fetchall(self) -> list[DictRow]:
        return self._rows

    async def fetchone(self) -> DictRow | None:
        return self._rows[0] if self._rows else None


class _Connection:
    def __init__(self, server: Server, weather: Weather, step: Callable[[str], Awaitable[None]]) -> None:
        self._server, self._weather, self._step = server, weather, step

    async def execute(self, query: LiteralString, params: Any = None, *, prepare: bool | None = None) -> _Cursor:  # noqa: ANN401
        self._refuse_while_away()
        await self._step("statement")
        return _Cursor(self._server.connection.execute(query, params, prepare=prepare))

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[None]:
        yield

    async def commit(self) -> None:
        await self._step("before_commit")
        self._refuse_while_away()
        self._server.connection.commit()
        self._weather.tally.commits += 1
        profile, chance = self._weather.profile, self._weather.chance
        if asyncio.get_running_loop().time() < profile.until and chance.random() < profile.commit_unheard:
            raise OperationalError("the connection was closed")
        await self._step("after_commit")

    def _refuse_while_away(self) -> None:
        if self._weather.away:
            raise OperationalError("the database system is shutting down")


class Pool:
    """What a life of a service connects with."""

    def __init__(self, server: Server, weather: Weather, step: Callable[[str], Awaitable[None]]) -> None:
        self._server, self._weather, self._step = server, weather, step

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[_Connection]:
        """The one connection, alone; at virtual time."""
        await self._step("connect")
        async with self._weather.lock:
            if self._weather.away:
                raise OperationalError("no connection")
            passed = asyncio.get_running_loop().time()
            connection = self._server.connection
            connection.execute("SELECT set_config('makima.passed', %s, false)", (str(passed),), prepare=True)
            try:
                yield _Connection(self._server, self._weather, self._step)
            finally:
                connection.rollback()
