"""One seeded history: a cluster is built, suffers, is left in peace, and must come to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

from services.completer import service as completer
from services.executor import service as executor
from services.gateway import service as gateway
from services.monitor import service as monitor
from services.planner import service as planner
from shared.config import Settings
from shared.domain.ids import uuid7
from shared.service.leadership import Alone
from shared.service.phase import Context
from shared.store.database import Database
from simulation.bus import Cut, Hub, MemoryBus, Network
from simulation.checker import Breach, check, moment
from simulation.daemons import Seen, SimulatedDaemon
from simulation.database import Pool, Server, Weather
from simulation.faults import Profile, Tally, draw
from simulation.forge import HOST, URL, Delivering, Forge, Hand
from simulation.leadership import Candidate, Throne
from simulation.loop import NothingLeft, VirtualLoop
from simulation.people import SECRET, Client, Interface, Person, Planner

SERVICES: dict[str, ModuleType] = {
    "planner": planner,
    "executor": executor,
    "monitor": monitor,
    "completer": completer,
}
STILL_SECONDS, ENDLESS_SECONDS = 300.0, 3600.0
"""After the faults have stopped: how long nothing may change while work is left, and how long all may take."""
CUT_SECONDS = ((1, 10), (10, 25), (25, 70))
"""How long a daemon is cut off: unnoticed, so that others take what it was sent, and beyond its leases."""
EVERY_ON_A_FORGE = 5
"""In so many histories there is one whose directives lie on a forge, where people meddle, too."""
EPOCH_MILLISECONDS = 1_893_456_000_000


@dataclass
class Outcome:
    """What a history came to."""

    seed: int
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    breaches: list[Breach] = field(default_factory=list)
    digest: str = ""


@dataclass
class Stage:
    """What histories of one process share."""

    server: Server
    interface: Interface
    home: Path


class History:
    """The world of one seed."""

    def __init__(self, stage: Stage, seed: int, profile: Profile | None = None) -> None:
        self._stage = stage
        self.rng = Random(seed)
        self.profile = profile or draw(self.rng)
        self.tally = Tally()
        self.settings = Settings(
            home=stage.home,
            sweep_seconds=15.0 if self.profile.swept else 24 * 3600.0,
            forges={HOST: "gitea"},
            pull_request_poll_seconds=10.0,
        )
        self.forge = Forge()
        self._seed = seed
        self._on_a_forge = seed % EVERY_ON_A_FORGE == 0
        self.seen = Seen()
        self._lives: dict[str, asyncio.Task[None]] = {}
        self._kept: list[asyncio.Task[None]] = []
        self.ids = Random(seed + 1)
        self._overstaying: set[str] = set()
        """Lives that wrote though another one led instead, and they could know."""

    async def run(self) -> list[Breach]:
        """Live it; what was wrong."""
        self.weather = Weather(self._stage.server, self.profile, Random(self.rng.random()), self.tally)
        self.network = Network(self.profile, Random(self.rng.random()), self.tally)
        self.hub = Hub(self.settings, self.network, Random(self.rng.random()))
        client = Client(self._stage.interface, Random(self.rng.random()))
        self._open_gateway()
        repository = URL if self._on_a_forge else "/sim/repository"
        person = Person(client, Random(self.rng.random()), self._live_tasks, repository)
        failing = self.rng.choice([0, 0, 0.1, 0.3])
        plan = Planner(client, Random(self.rng.random())).plan
        self.daemons = {
            f"d{n}": SimulatedDaemon(
                f"d{n}",
                self.rng.randrange(1, 5),
                Random(self.rng.random()),
                self.seen,
                plan,
                failing,
                Delivering(self.forge, Random(f"{self._seed} {n}")),
            )
            for n in range(self.rng.randrange(1, 4))
        }
        self._thrones = {name: Throne(Random(self.rng.random())) for name in SERVICES}
        breaches: list[Breach] = []
        async with asyncio.TaskGroup() as world:
            self._keep(world, "broker", self.hub.run_broker)
            for name, module in SERVICES.items():
                for number in range(2 if self.profile.two_of_each else 1):
                    life = f"{name}/{number}"
                    self._keep(world, life, lambda n=life, m=module: self._service(n, m))  # type: ignore[misc]
            for name, daemon in self.daemons.items():
                self._keep(world, name, lambda n=name, d=daemon: d.run(MemoryBus(self.hub, n.encode(), self._step(n))))  # type: ignore[misc]
            loop = asyncio.get_running_loop()
            acting = [
                loop.create_task(self._people(person)),
                loop.create_task(self._dying("service", self.profile.service_dies)),
                loop.create_task(self._dying("broker", self.profile.broker_dies)),
                loop.create_task(self._dying("daemon", self.profile.daemon_dies)),
                loop.create_task(self._cutting()),
                loop.create_task(self._outages()),
                loop.create_task(self._deposing()),
            ]
            if self._on_a_forge:
                acting.append(
                    loop.create_task(Hand(self.forge, Random(f"{self._seed} hand"), self.profile.until).meddle())
                )
            breaches += await self._await_end(acting[0])
            for task in (*acting, *self._lives.values()):
                task.cancel()
            for task in self._kept:
                task.cancel()
        line = self._stage.server.line
        self.tally.lock_waits, self.tally.deadlocks = line.waits, line.deadlocks
        if self._overstaying:
            breaches.append(Breach("who was deposed works no more", f"{sorted(self._overstaying)}"))
        return breaches + check(self._stage.server, self.seen, self.tally, self.forge)

    def _keep(self, world: asyncio.TaskGroup, name: str, live: Callable[[], Coroutine[None, None, None]]) -> None:
        """A supervisor: whatever dies is started again."""

        async def supervise() -> None:
            while True:
                life = self._lives[name] = asyncio.get_running_loop().create_task(live())
                await asyncio.wait([life])
                if not life.cancelled() and (error := life.exception()) and isinstance(error, AssertionError):
                    raise error
                await asyncio.sleep(self._dead_for(name))

        self._kept.append(world.create_task(supervise()))

    def _dead_for(self, name: str) -> float:
        """Seconds until a life that ended is followed by the next one."""
        if daemon := self.daemons.get(name):
            if self.rng.random() < self.profile.disk_lost:
                self.tally.wipes += 1
                daemon.lose_disk()
            if self.rng.random() < self.profile.stays_away:
                return self.rng.uniform(20, 90)
        return self.rng.uniform(0.1, 3)

    async def _service(self, life: str, module: ModuleType) -> None:
        name = life.partition("/")[0]
        leadership = Alone() if self.profile.both_lead else Candidate(self._thrones[name])
        step = self._watched(life, leadership)
        bus = MemoryBus(self.hub, f"{life}-{self.rng.randrange(10**9)}".encode(), step)
        publisher = bus.publisher(name, module.EMITS)
        database = Database(Pool(self.weather, step), publisher.publish)
        context = Context(
            settings=self.settings,
            database=database,
            bus=bus,
            rng=Random(self.rng.random()),
            new_id=self.new_id,
            ready=lambda: None,
            leadership=leadership,
        )
        try:
            await module.run(context, asyncio.Event())
        finally:
            bus.close()

    def _open_gateway(self) -> None:
        bus = MemoryBus(self.hub, b"gateway", self._stumble)
        publisher = bus.publisher("gateway", gateway.EMITS)
        self._stage.interface.lend(Pool(self.weather, self._stumble), publisher)

    def _step(self, name: str) -> Callable[[str], Coroutine[None, None, None]]:
        """Before and after each commit and send: a life may end exactly here, or other lives come first."""

        async def step(_: str) -> None:
            rng, profile = self.rng, self.profile
            if asyncio.get_running_loop().time() < profile.until and rng.random() < profile.die_at_a_step:
                self._die(name)
                await asyncio.sleep(3600)
            if rng.random() < 0.3:
                await asyncio.sleep(rng.expovariate(1 / profile.slow))

        return step

    def _watched(self, life: str, leadership: Alone | Candidate) -> Callable[[str], Coroutine[None, None, None]]:
        """The steps of a life that leads by this; which is noted where it goes on after its end."""
        step = self._step(life)

        async def watched(point: str) -> None:
            await step(point)
            if isinstance(leadership, Candidate) and leadership.overstays:
                self._overstaying.add(life)

        return watched

    async def _stumble(self, _: str) -> None:
        """The gateway dies at a step: this request is lost with it."""
        rng, profile = self.rng, self.profile
        if asyncio.get_running_loop().time() < profile.until and rng.random() < profile.die_at_a_step:
            self._count("gateway")
            raise RuntimeError("the gateway died")
        if rng.random() < 0.3:
            await asyncio.sleep(rng.expovariate(1 / profile.slow))

    def _die(self, name: str) -> None:
        self._count(name.partition("/")[0])
        self._lives[name].cancel()

    def _count(self, name: str) -> None:
        self.tally.kills += 1
        self.tally.by_name[name] = self.tally.by_name.get(name, 0) + 1

    async def _dying(self, kind: str, mean: float) -> None:
        while mean and await self._within_faults(mean):
            names = [
                n for n in self._lives if ("/" in n) == (kind == "service") and (n == "broker") == (kind == "broker")
            ]
            victim = self.rng.choice(names)
            self._die(victim)

    async def _cutting(self) -> None:
        while self.profile.daemon_cut and await self._within_faults(self.profile.daemon_cut):
            name = self.rng.choice(list(self.daemons)).encode()
            self.tally.cuts += 1
            up, down = self.rng.choice([(True, True), (True, False), (False, True)])
            self.network.cut(name, Cut(up, down, [] if self.rng.random() < 0.5 else None))
            await asyncio.sleep(self.rng.uniform(*self.rng.choice(CUT_SECONDS)))
            self.network.restore(name)

    async def _deposing(self) -> None:
        while self.profile.deposed and await self._within_faults(self.profile.deposed):
            self.tally.depositions += 1
            self._thrones[self.rng.choice(list(SERVICES))].depose()

    async def _outages(self) -> None:
        while self.profile.postgres_away and await self._within_faults(self.profile.postgres_away):
            self.tally.outages += 1
            self.weather.away = True
            await asyncio.sleep(self.rng.expovariate(1 / 8))
            self.weather.away = False

    async def _within_faults(self, mean: float) -> bool:
        await asyncio.sleep(self.rng.expovariate(1 / mean))
        return asyncio.get_running_loop().time() < self.profile.until

    async def _people(self, person: Person) -> None:
        for number in range(self.rng.randrange(1, 4)):
            await person.begin(number)
            await asyncio.sleep(self.rng.expovariate(1 / 5))
        while self.rng.random() < 0.6 and await self._within_faults(15):
            await person.meddle()

    async def _await_end(self, people: asyncio.Task[None]) -> list[Breach]:
        loop = asyncio.get_running_loop()
        changes, changed_at = 0, 0.0
        while True:
            await asyncio.sleep(1)
            now = moment(self._stage.server)
            if now.breaches:
                return now.breaches
            quiet = all(daemon.quiet for daemon in self.daemons.values())
            if people.done() and not now.left and (quiet or loop.time() > self.profile.until):
                return []
            if now.changes != changes or loop.time() < self.profile.until:
                changes, changed_at = now.changes, loop.time()
            if loop.time() > changed_at + STILL_SECONDS:
                return [Breach("no progress", f"nothing changed for {STILL_SECONDS:.0f} s: {now.left[:3]}")]
            if loop.time() > self.profile.until + ENDLESS_SECONDS:
                return [Breach("no end", f"{ENDLESS_SECONDS:.0f} s after the last fault: {now.left[:3]}")]

    def _live_tasks(self) -> list[dict[str, Any]]:
        return self._stage.server.rows(
            "SELECT id FROM makima.task WHERE status IN ('pending', 'starting', 'running', 'paused') ORDER BY id"
        )

    def new_id(self) -> UUID:
        """Ids from the seed, on virtual time."""
        now = asyncio.get_running_loop().time()
        return uuid7(EPOCH_MILLISECONDS + int(now * 1000), self.ids.randbytes(10))


def play(stage: Stage, seed: int, profile: Profile | None = None) -> Outcome:
    """Play one history."""
    stage.server.empty()
    (stage.home / "secret").write_bytes(SECRET)
    loop = VirtualLoop()
    history = History(stage, seed, profile)
    with _seeded_ids(history, loop):
        try:
            breaches = loop.run_until_complete(history.run())
        except NothingLeft:
            breaches = [Breach("deadlock", "everything waits for something that will never come")]
        finally:
            _abandon(loop)
    digest = stage.server.rows("SELECT md5(string_agg(body::text, ',' ORDER BY seq)) AS digest FROM makima.event")
    return Outcome(seed, loop.time(), history.tally, breaches, digest[0]["digest"] or "")


@contextlib.contextmanager
def _seeded_ids(history: History, loop: VirtualLoop) -> Iterator[None]:
    clock = SimpleNamespace(time_ns=lambda: (EPOCH_MILLISECONDS + int(loop.time() * 1000)) * 1_000_000)
    source = SimpleNamespace(urandom=history.ids.randbytes)
    before = patch("shared.domain.ids._last", UUID(int=0))  # ids rise, above those of the history before, too
    with before, patch("shared.domain.ids.time", clock), patch("shared.domain.ids.os", source):
        yield


def _abandon(loop: VirtualLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.close()
