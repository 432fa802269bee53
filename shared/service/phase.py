"""What a service is handed: database, bus, randomness, ids; and how its parts run together until it is stopped."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from anyio import create_task_group

from shared.bus.bus import Bus
from shared.bus.zeromq import ZeroMQ
from shared.config import Settings
from shared.domain.ids import new_id
from shared.messages.channels import Role
from shared.messages.events import AnyEvent, Event
from shared.messages.topics import Consumes
from shared.service.leadership import Alone, Leadership, SessionLock
from shared.service.process import ready
from shared.service.reactor import Reactor
from shared.store.database import UNAVAILABLE, Database, connect
from shared.store.migrate import migrate

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0
"""Between two attempts to reach Postgres at the start: once it is there, nobody waits for long."""


@dataclass(frozen=True)
class Context:
    """All that a service takes from outside, so that it takes nothing from a module.

    Time is the running loop's (`asyncio.sleep`, `call_later`) and, in SQL, `makima.now()`.
    """

    settings: Settings
    database: Database
    bus: Bus
    rng: random.Random
    leadership: Leadership = Alone()  # noqa: RUF009 - it holds nothing
    new_id: Callable[[], UUID] = new_id
    ready: Callable[[], None] = ready


Wakes = Callable[[AnyEvent], Sequence[UUID | None]]
"""Which directives a service looks at after an event: none, some, or all of them (None).

It keeps a service asleep while others work. An event that wakes wrongly costs a needless look, one that wrongly
doesn't waits for the sweep.
"""


def its_directive(event: AnyEvent) -> Sequence[UUID | None]:
    """Wake for the event's own directive."""
    return (event.directive,)


@asynccontextmanager
async def open_context(
    settings: Settings, role: Role, emits: Iterable[type[Event]], *, promises: bool
) -> AsyncIterator[Context]:
    """Postgres (migrated) and the bus. What a unit of work records is published after its commit.

    A service that `promises` something to others, as an acknowledgement or an answer does, waits until its commits are
    on the disk. One whose every write follows from rows that are doesn't: it would only decide the same again.
    """
    bus = ZeroMQ(settings, role)
    publisher = bus.publisher(role, emits)
    try:
        await _migrated(settings)
        name = f"makima {role}"
        async with connect(settings.postgres(), publisher.publish, name=name, waits_for_disk=promises) as database:
            yield Context(
                settings=settings,
                database=database,
                bus=bus,
                rng=random.Random(),
                leadership=SessionLock(settings.postgres(), role),
            )
    finally:
        publisher.close()
        bus.close()


async def _migrated(settings: Settings) -> None:
    """Bring the database up to date, waiting for Postgres for as long as it takes."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            await asyncio.to_thread(migrate, settings.postgres(), settings.owner)
        except UNAVAILABLE as error:
            log.warning("waits for Postgres", error=str(error).splitlines()[0], retry_in=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        else:
            return


async def listen(context: Context, consumes: Consumes, reactor: Reactor, wakes: Wakes = its_directive) -> None:
    """Wake the reactor with these events, for ever."""
    subscriber = context.bus.subscriber(consumes)
    try:
        while True:
            if woken := wakes(await subscriber.receive()):
                reactor.wake(woken)
    finally:
        subscriber.close()


async def serve(reactor: Reactor, stop: asyncio.Event, *working: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run the reactor until `stop` is set, and beside it what works for ever.

    An error of one of them ends all and is raised (in an ExceptionGroup): better a process that dies and is started
    again than one that lives on without a part of itself.
    """
    async with create_task_group() as group:
        for work in working:
            group.start_soon(work)
        await reactor.run(stop)
        group.cancel_scope.cancel()
