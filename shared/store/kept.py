"""A pool of which one connection stays at hand: a pool's own bookkeeping costs half of a round trip."""

from __future__ import annotations

from types import TracebackType

import psycopg
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool

from shared.store.connection import Connection


class KeptPool:
    """Hands out the connection that it keeps while that is free, else one of the pool's."""

    def __init__(self, pool: AsyncConnectionPool[Connection]) -> None:
        self._pool = pool
        self._kept: Connection | None = None
        self._wanting = 0
        """How many wait for one of the pool's."""

    def connection(self) -> Lent:
        """A connection for a while; rolled back when an exception ends that while."""
        return Lent(self)

    async def take(self) -> Connection:
        """A connection. Raises OperationalError when there is none in time."""
        kept, self._kept = self._kept, None
        if kept is not None:
            return kept
        self._wanting += 1
        try:
            return await self._pool.getconn()
        finally:
            self._wanting -= 1

    async def give_back(self, connection: Connection) -> None:
        """Keep it; or let the pool have it, for whoever waits, and to be replaced where it is of no more use."""
        if not self._wanting and self._kept is None and connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._kept = connection
        else:
            await self._pool.putconn(connection)

    async def close(self) -> None:
        """Let the pool have what is kept."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            await self._pool.putconn(kept)


class Lent:
    """A connection of a KeptPool, lent for a block."""

    def __init__(self, pool: KeptPool) -> None:
        self._pool = pool

    async def __aenter__(self) -> Connection:
        self._connection = await self._pool.take()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await self._connection.rollback()
        except psycopg.Error:  # what ended the block is raised
            self._connection.pgconn.finish()
        finally:
            await self._pool.give_back(self._connection)
