"""A phase's process: database, publisher, subscriber and reactor around one `reconcile`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import zmq.asyncio

from shared.bus.events import Publisher, Subscriber
from shared.config import Settings
from shared.messages.events import Event
from shared.service.reactor import Reactor
from shared.store.database import Database, connect
from shared.store.migrate import migrate


@dataclass(frozen=True)
class Surroundings:
    """What a service is handed, so that none takes its bus, its settings or its randomness from a module."""

    settings: Settings
    database: Database
    context: zmq.asyncio.Context
    chance: random.Random


@asynccontextmanager
async def surroundings(settings: Settings, sender: str, emits: Iterable[type[Event]]) -> AsyncIterator[Surroundings]:
    """Postgres (migrated) and the bus. What a unit of work records is published after its commit."""
    context = zmq.asyncio.Context()
    publisher = Publisher(context, settings.socket("events-in"), sender, emits, drop=settings.drop_events)
    try:
        await asyncio.to_thread(migrate, settings.postgres(), settings.owner)
        async with connect(settings.postgres(), publisher.publish) as database:
            yield Surroundings(settings=settings, database=database, context=context, chance=random.Random())
    finally:
        publisher.close()
        context.destroy(linger=0)


async def listen(around: Surroundings, consumes: Iterable[type[Event]], reactor: Reactor) -> None:
    """Wake the reactor with every event of these types, for ever."""
    subscriber = Subscriber(around.context, around.settings.socket("events-out"), consumes)
    while True:
        event = await subscriber.receive()
        reactor.wake([event.directive])
