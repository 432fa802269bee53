"""People and planning agents, over the gateway's real HTTP interface: they ask again when it fails them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from random import Random
from typing import Any
from uuid import UUID

import httpx

from services.gateway.access import Gate
from services.gateway.application import application
from services.gateway.feed.live import Live
from services.gateway.feed.waiters import Answers
from services.gateway.link.admitted import AdmittedFile
from services.gateway.sessions import Sessions
from shared.bus.bus import EventPublisher
from shared.config import Settings
from shared.messages.commands import SpawnTask
from shared.messages.events import Event
from shared.service.tokens import task_token
from shared.store.database import Connection, Database, Pool
from simulation.bus import Hub, MemoryBus, Network
from simulation.database import OWNER
from simulation.faults import Profile, Tally

PERSON = "mkp_person"
SECRET = b"s" * 32


class Interface:
    """The gateway's application, made once a process; each history lends it its pool and its publisher."""

    def __init__(self, settings: Settings) -> None:
        hub = Hub(settings, Network(Profile(), Random(0), Tally()), Random(0))
        self._pool: Pool | None = None
        self._publisher: EventPublisher | None = None
        database = Database(self, self._publish)
        bus = MemoryBus(hub, b"live", _at_once)
        live = Live(database, bus, settings.sweep_seconds)
        gate = Gate(database, SECRET, PERSON, Sessions(PERSON, settings.port), OWNER, settings.owner)
        admitted_file = AdmittedFile(database, settings)
        app = application(database, settings, gate, live, Answers(bus), admitted_file, None)
        self.transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # type: ignore[arg-type]

    def lend(self, pool: Pool, publisher: EventPublisher) -> None:
        """Serve on these from now on."""
        self._pool, self._publisher = pool, publisher

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection of the lent pool."""
        assert self._pool is not None
        return self._pool.connection()

    async def _publish(self, events: Sequence[Event]) -> None:
        assert self._publisher is not None
        await self._publisher.publish(events)


async def _at_once(_: str) -> None:
    """Nothing comes between: nobody listens to the live stream."""


class Client:
    """Asks until it is answered, at most for two minutes of virtual time; what it posts counts once."""

    def __init__(self, interface: Interface, rng: Random) -> None:
        self._transport, self._rng = interface.transport, rng

    async def ask(self, method: str, path: str, body: object = None, token: str = PERSON) -> httpx.Response | None:
        """The first answer that is no server's error; None when there was none in time."""
        headers = {"Authorization": f"Bearer {token}"}
        if method == "POST":
            headers["Idempotency-Key"] = self._rng.randbytes(12).hex()
        for wait in (0.1, 0.5, 1, 2, 4, 8, 16, 30, 30, 30):
            async with httpx.AsyncClient(transport=self._transport, base_url="http://localhost") as http:
                answer = await http.request(method, path, json=body, headers=headers)
            if answer.status_code == httpx.codes.MISDIRECTED_REQUEST:
                raise RuntimeError(f"the gateway takes nobody in: {answer.text}")
            if answer.status_code < 500:
                return answer
            await asyncio.sleep(wait)
        return None


def dag(rng: Random, most: int, prefix: str = "") -> list[dict[str, Any]]:
    """A random plan: names, dependencies on earlier ones, orders."""
    steps: list[dict[str, Any]] = []
    index = 0
    for n in range(rng.randrange(1, most + 1)):
        index += rng.random() < 0.15
        needs = rng.sample(range(n), min(n, rng.randrange(3)))
        step = {
            "name": f"{prefix}s{n}",
            "task_plan": "work",
            "order_index": index,
            "depends_on": [f"{prefix}s{i}" for i in needs],
        }
        steps.append(step)
    return steps


class Planner:
    """A planning agent: replaces what failed, adds a few steps; now and then it plans nothing or fails."""

    def __init__(self, client: Client, rng: Random) -> None:
        self._client, self._rng, self._plans = client, rng, 0

    async def plan(self, command: SpawnTask) -> bool:
        """Plan for a task; whether the agent ends well."""
        token = task_token(SECRET, command.task, command.attempt)
        path = f"/v1/directives/{command.directive}"
        self._plans += 1
        shown = await self._client.ask("GET", path, token=token)
        if shown is None or shown.status_code != 200:
            return False
        for step in shown.json()["steps"]:
            if step["status"] in ("failed", "pending") and self._rng.random() < 0.7:
                await self._client.ask("DELETE", f"{path}/steps/{step['id']}", token=token)
        await asyncio.sleep(self._rng.expovariate(1))
        if self._rng.random() < 0.1:
            return False
        body = {"steps": dag(self._rng, 5, f"p{self._plans}-")}
        added = await self._client.ask("POST", f"{path}/steps", body, token)
        return added is not None and added.status_code < 300


class Person:
    """Makes directives, and meddles with them for as long as the faults last."""

    def __init__(self, client: Client, rng: Random, rows: Callable[[], list[dict[str, Any]]], repository: str) -> None:
        self._client, self._rng, self._tasks, self._repository = client, rng, rows, repository
        self.directives: list[UUID] = []
        self.paused: set[UUID] = set()

    async def begin(self, number: int) -> None:
        """Make a directive, planned by hand or to be planned, and start it."""
        rng = self._rng
        body: dict[str, Any] = {
            "title": f"job {number}",
            "goal": "do it",
            "repository_url": self._repository,
            "on_failure": rng.choice(["replan", "pause", "continue"]),
            "max_parallel": rng.randrange(1, 6),
            "start": True,
        }
        if rng.random() < 0.6:
            body["steps"] = dag(rng, 10)
        made = await self._client.ask("POST", "/v1/directives", body)
        if made is not None and made.status_code < 300:
            self.directives.append(UUID(made.json()["id"]))

    async def meddle(self) -> None:
        """Pause and resume, cancel a task, or add a step."""
        rng = self._rng
        if not self.directives:
            return
        path = f"/v1/directives/{rng.choice(self.directives)}"
        deed = rng.choice(["pause", "cancel", "add"])
        if deed == "pause":
            await self._client.ask("POST", f"{path}/pause")
            await asyncio.sleep(rng.expovariate(1 / 5))
            await self._client.ask("POST", f"{path}/resume")
        elif deed == "cancel" and (tasks := self._tasks()):
            await self._client.ask("POST", f"/v1/tasks/{rng.choice(tasks)['id']}/cancel")
        else:
            await self._client.ask("POST", f"{path}/steps", {"steps": dag(rng, 2, f"m{rng.randrange(10**9)}-")})
