"""psycopg's connection under virtual time: it waits for the server in real time, for another's lock in virtual time."""

from __future__ import annotations

import asyncio
import os
import select
import signal
from typing import Self, TypeVar

import psycopg
from psycopg import errors
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from shared.store.connection import Connection, Exchange

T = TypeVar("T")
PATIENCE_MILLISECONDS = 4
"""A statement that is answered no sooner may wait for a lock: it is asked after. Real time."""
_BLOCKERS = b"SELECT pg_blocking_pids(%d) AS pids"


class Line:
    """Who waits for whose lock. Whoever ends a transaction lets those behind it go on, in the order they came.

    The backends of those that wait are stopped (SIGSTOP), so that only one statement runs at any time: a commit that
    frees two of them would else leave it to the system which comes first, and a seed would not replay.
    """

    def __init__(self, watching: psycopg.Connection[DictRow]) -> None:
        self._watching = watching
        self._waiting: dict[VirtualConnection, asyncio.Future[None]] = {}
        self.waits = 0
        self.deadlocks = 0

    def blockers(self, connection: VirtualConnection) -> list[int]:
        """The backends whose locks a connection waits for."""
        rows = self._watching.execute(_BLOCKERS % connection.pid).fetchall()
        pids: list[int] = rows[0]["pids"]
        return pids

    async def wait(self, connection: VirtualConnection) -> None:
        """Wait until a transaction that held this one up has ended. Raises DeadlockDetected where that can't come."""
        if self._in_a_circle(connection):
            raise self._deadlock()
        self.waits += 1
        mine = self._waiting[connection] = asyncio.get_running_loop().create_future()
        os.kill(connection.pid, signal.SIGSTOP)
        try:
            await mine
        finally:
            del self._waiting[connection]
            os.kill(connection.pid, signal.SIGCONT)

    def move(self) -> None:
        """A transaction has ended: let go whoever it held up, one after another, until nobody can go any further."""
        while free := [c for c, gone in self._waiting.items() if not gone.done() and not self.blockers(c)]:
            os.kill(free[0].pid, signal.SIGCONT)
            if self._is_answered(free[0]):
                self._waiting[free[0]].set_result(None)
            elif self._in_a_circle(free[0]):
                self._waiting[free[0]].set_exception(self._deadlock())
            else:
                os.kill(free[0].pid, signal.SIGSTOP)

    def _is_answered(self, connection: VirtualConnection) -> bool:
        """Whether a statement comes to its end, or meets another lock."""
        while not connection.poll(select.POLLIN, 1):
            if self.blockers(connection):
                return False
        return True

    def _deadlock(self) -> errors.DeadlockDetected:
        self.deadlocks += 1
        return errors.DeadlockDetected("deadlock detected")

    def _in_a_circle(self, connection: VirtualConnection) -> bool:
        by_pid = {c.pid: c for c in self._waiting}
        before, behind = set[int](), list(self.blockers(connection))
        while behind:
            pid = behind.pop()
            if pid == connection.pid:
                return True
            if pid not in before and pid in by_pid:
                before.add(pid)
                behind += self.blockers(by_pid[pid])
        return False


class VirtualConnection(Connection):
    """Used as any other; `give_back` ends what was begun."""

    _line: Line
    _polls: dict[int, select.poll]
    pid: int

    def standing_in(self, line: Line) -> Self:
        """Take its place among a server's connections."""
        self._line, self.pid = line, self.info.backend_pid
        self.prepared_max = None  # all services' statements, each prepared once
        self._polls = {}
        for state in (1, 2, 3):
            self._polls[state] = poll = select.poll()
            poll.register(
                self.pgconn.socket, (select.POLLIN if state & 1 else 0) | (select.POLLOUT if state & 2 else 0)
            )
        return self

    async def wait(self, gen: PQGen[T], interval: float = 0.0, timeout: float | None = None) -> T:
        """Drive an operation to its end."""
        del interval, timeout
        try:
            state = next(gen)
            while True:
                if ready := self.poll(state, PATIENCE_MILLISECONDS):
                    state = gen.send(ready)
                elif self._line.blockers(self):
                    await self._line.wait(self)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except (asyncio.CancelledError, errors.DeadlockDetected):
            self._break_off(gen)
            raise

    async def drive(self, exchange: Exchange[T]) -> T:
        """Drive an exchange to its end."""
        return await self.wait(exchange)

    def poll(self, state: int, milliseconds: int) -> int:
        """Which of `state` (1: to be read, 2: to be written) the socket is ready for, within so long. Real time."""
        ready = self._polls[state].poll(milliseconds)
        if not ready:
            return 0
        ((_, events),) = ready
        broken = 1 if events & (select.POLLHUP | select.POLLERR) else 0
        return (1 if events & select.POLLIN else 0) | (2 if events & select.POLLOUT else 0) | broken

    async def give_back(self) -> None:
        """Roll back what was begun and not committed; whoever it held up goes on."""
        if self.pgconn.transaction_status != TransactionStatus.IDLE:
            await self.rollback()
        self.has_ended()

    def has_ended(self) -> None:
        """Its transaction has: whoever that held up goes on before anybody else acts, as on the server."""
        self._line.move()

    def _break_off(self, gen: PQGen[T]) -> None:
        """As when a process dies: the server gives its statement up."""
        self.pgconn.get_cancel().cancel()
        try:
            state = next(gen)
            while True:
                state = gen.send(self.poll(state, 1000))
        except (StopIteration, psycopg.Error):
            pass
