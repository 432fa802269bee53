"""Who works: of several processes of a role one leads, and the others stand by to take over within a second of its end.

What makes a leader is a lock of Postgres's, held by a session of its own. It comes free at once when its holder dies.
When its holder stalls, Postgres ends the session, which has said nothing for a second. A leader that was deposed and
hasn't noticed does no harm: what it writes is claimed by rows, as if both worked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Protocol

import structlog
from anyio import create_task_group
from psycopg import OperationalError

from shared.metrics import LEADS
from shared.store.connection import Connection
from shared.store.statements import Command, Query

log = structlog.get_logger()

SILENT_SECONDS = 1.0
"""A session that says nothing for so long is ended, and its lock free."""
BEAT_SECONDS = 0.4
RETRY_SECONDS = 0.5
CONNECT_SECONDS = 10
_CLASS = 0x6D616B69
_WAIT = Query("leadership.wait", "SELECT pg_advisory_lock(%(class)s, hashtext(%(role)s)) IS NOT NULL AS locked", bool)
_TRY = Query("leadership.try", "SELECT pg_try_advisory_lock(%(class)s, hashtext(%(role)s)) AS locked", bool)
_BEAT = Command("leadership.beat", "SELECT")


class Leadership(Protocol):
    """What a process of a role leads by."""

    async def won(self) -> None:
        """Wait until this process leads."""

    async def lost(self) -> None:
        """Wait until another one leads instead."""

    async def resign(self) -> None:
        """Let another one lead."""


class Alone:
    """Leadership where there is no other: it is had at once, and never lost."""

    async def won(self) -> None:
        """At once."""

    async def lost(self) -> None:
        """Never."""
        await asyncio.Event().wait()

    async def resign(self) -> None:
        """There is nobody to lead instead."""


class SessionLock:
    """Leadership by an advisory lock, which a pooler between here and Postgres would take from its session."""

    def __init__(self, url: str, role: str) -> None:
        self._url = url
        self._role = role
        self._session: Connection | None = None

    async def won(self) -> None:
        """Wait until the lock is held, for as long as it takes."""
        while not await self._locked(_WAIT):
            await asyncio.sleep(RETRY_SECONDS)
        LEADS.add()
        log.info("leads")

    async def lost(self) -> None:
        """Wait until another session holds the lock. One that was ended by mistake, or with Postgres, is replaced."""
        while await self._beat() or await self._locked(_TRY) is not False:
            await asyncio.sleep(BEAT_SECONDS)
        log.warning("stands by: another one leads")

    async def resign(self) -> None:
        """End the session, and so free the lock."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _beat(self) -> bool:
        """Say a word in time; whether the session still stands."""
        if self._session is None:
            return False
        try:
            async with asyncio.timeout(SILENT_SECONDS):
                await self._session.exchange([_BEAT()])
        except (OperationalError, TimeoutError):
            await self.resign()
            return False
        return True

    async def _locked(self, how: Query[bool]) -> bool | None:
        """Whether a new session got the lock; None when there is no Postgres to ask."""
        try:
            async with AsyncExitStack() as unless_kept:
                session = await self._connected()
                unless_kept.push_async_callback(session.close)
                ((held,),) = await session.exchange([how(**{"class": _CLASS, "role": self._role})])
                if held:
                    self._session = session
                    unless_kept.pop_all()
                return bool(held)
        except OperationalError as error:
            log.info("can't ask who leads", error=str(error))
            return None

    async def _connected(self) -> Connection:
        """A session that Postgres ends when this process stalls, or dies while it waits."""
        milliseconds = int(SILENT_SECONDS * 1000)
        return await Connection.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            options=f"-c idle_session_timeout={milliseconds} -c client_connection_check_interval={milliseconds}",
            application_name=f"makima {self._role} leads",
        )


Work = Callable[[asyncio.Event], Awaitable[None]]


async def lead(leadership: Leadership, stop: asyncio.Event, work: Work) -> None:
    """Do this work while this process leads, and stand by else, until `stop` is set; then end in order.

    When another one leads, the work is broken off where it stands.
    """
    try:
        while not stop.is_set():
            await _unless(stop.wait, leadership.won)
            if not stop.is_set():
                await _unless(leadership.lost, partial(work, stop))
    finally:
        await leadership.resign()


async def _unless(over: Callable[[], Awaitable[object]], work: Callable[[], Awaitable[None]]) -> None:
    """Work to the end, or until it is over."""
    async with create_task_group() as group:

        async def watch() -> None:
            await over()
            group.cancel_scope.cancel()

        group.start_soon(watch)
        await work()
        group.cancel_scope.cancel()
