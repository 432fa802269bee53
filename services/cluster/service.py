"""Starting, supervising and ending the whole cluster of one home."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import psycopg
import structlog

from services.cluster.child import Child
from services.cluster.disk_reserve import DiskReserve
from shared.bus.keys import make_keys
from shared.config import Settings
from shared.config.home import check_home, make_home
from shared.config.listening import bound, tls_context
from shared.places import cluster_file
from shared.running import Broken, Running, read, write
from shared.service.logs import lead_to, own_file
from shared.service.scraping import serve_metrics
from shared.store import embedded, leftover
from shared.store.embedded import Launch
from shared.store.migrate import DatabaseRefused, refuse_foreign

log = structlog.get_logger()

SERVICES = ("broker", "planner", "executor", "monitor", "completer", "gateway")
NOT_FOR_DAEMONS = frozenset({"MAKIMA_POSTGRES_URL", "PGPASSWORD", "PGPASSFILE"})
"""Variables that let into the database, which is the services' alone."""
START_SECONDS = 60.0
STOP_SECONDS = 3.0


class ClusterFailed(RuntimeError):
    """Why the cluster can't start, with the fix."""


def running(settings: Settings) -> Running | None:
    """The cluster that runs on this home, if one does. Raises ClusterFailed when what it says can't be read."""
    while True:
        try:
            with _lock_file(settings).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
        except BlockingIOError:
            there = cluster_file(settings.home).exists()
            if found := read(settings.home):
                return found
            if there and cluster_file(settings.home).exists():
                raise ClusterFailed(
                    f"{cluster_file(settings.home)} can't be read; end what runs on this home"
                ) from None
            time.sleep(0.01)  # it begins or ends at this very moment: look again
        except OSError:
            return None


async def up(settings: Settings) -> None:
    """Run the cluster until SIGTERM or SIGINT. Raises ClusterFailed when it can't start."""
    began, started = time.monotonic(), time.time()
    lock = _acquire(settings)
    _refuse_what_the_gateway_would(settings)
    try:
        make_keys(settings)
        _write_state(settings, [], started)
    except OSError as error:
        raise ClusterFailed(f"{settings.home} can't be written ({error.strerror})") from None
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    children: list[Child] = []
    reserve = DiskReserve(settings.home) if settings.postgres_url is None else None
    try:
        if reserve is not None:
            children.append(_postgres(settings))
            reserve.look()
            children[-1].start()
        await _await_postgres(settings)
        if reserve is not None:
            await asyncio.to_thread(reserve.look)
        for child in _services(settings):
            children.append(child)
            child.start()
        serve_metrics(settings, "cluster")
        await _all_ready(children, stop)
        _write_state(settings, children, started)
        if not stop.is_set():
            print(f"makima is up: {settings.address()} ({time.monotonic() - began:.1f} s)", flush=True)
            _log_to_file()
        full = False
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), 1)
            except TimeoutError:
                if reserve is not None:
                    await asyncio.to_thread(reserve.look)
                full = _try_to_write_state(settings, children, started, full)  # processes may have been restarted
    finally:
        await _stop(children)
        cluster_file(settings.home).unlink(missing_ok=True)
        lock.close()


def _log_to_file() -> None:
    """Detached, nobody reads standard error once the cluster is up: from now on it is a file, where one is named."""
    if own_file:
        with suppress(OSError):
            lead_to(Path(own_file))


async def _stop(children: list[Child]) -> None:
    """Daemons and services at once, Postgres last: nobody is left without what it needs to end well."""
    postgres = [c for c in children if c.name == "postgres"]
    await asyncio.gather(*(c.stop(STOP_SECONDS * 2) for c in children if c not in postgres))
    for child in postgres:
        await child.stop(STOP_SECONDS)


async def _ready(children: list[Child]) -> None:
    for child in children:
        if child.name != "postgres":
            await child.ready.wait()


async def _all_ready(children: list[Child], stop: asyncio.Event) -> None:
    waiting = asyncio.ensure_future(_ready(children))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait((waiting, stopped), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not waiting.done():
        waiting.cancel()
        late = ", ".join(c.name for c in children if c.name != "postgres" and not c.ready.is_set())
        if not stop.is_set():
            raise ClusterFailed(f"not ready after {START_SECONDS:.0f} s: {late}; see the logs folder of the home")


def _acquire(settings: Settings) -> IO[bytes]:
    try:
        make_home(settings.home)
        for folder in (settings.home / "run", settings.home / "logs", settings.run_folder()):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if settings.run is not None:
            check_home(settings.run)
        lock = _lock_file(settings).open("ab")
    except OSError as error:
        raise ClusterFailed(f"{settings.home} can't be written ({error.strerror}); set MAKIMA_HOME") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        state = running(settings)
        where = f" at {state.address}, process {state.pid}" if state else ""
        raise ClusterFailed(f"a cluster runs already on {settings.home}{where}; `makima down` ends it") from None
    return lock


def _refuse_what_the_gateway_would(settings: Settings) -> None:
    """Its port is taken, or it may not listen there, or its certificate is none. Raises ClusterFailed, ConfigError."""
    try:
        bound(settings).close()
    except OSError as error:
        raise ClusterFailed(error.strerror) from None
    if settings.tls_certificate and settings.tls_key:
        tls_context(settings.tls_certificate, settings.tls_key)


def _postgres(settings: Settings) -> Child:
    home = settings.home
    embedded.initialise(home)
    return Child(
        "postgres",
        embedded.server(home),
        dict(os.environ),
        home / "logs",
        prepare=lambda: leftover.clear(home),
        stop_signal=signal.SIGINT,
        says_ready=False,
    )


async def _await_postgres(settings: Settings) -> None:
    deadline = time.monotonic() + (START_SECONDS if settings.postgres_url is None else 5)
    while True:
        try:
            return await asyncio.to_thread(refuse_foreign, settings.postgres())
        except DatabaseRefused as error:
            raise ClusterFailed(str(error)) from None
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise ClusterFailed(f"Postgres can't be reached: {str(error).splitlines()[0]}") from None
            await asyncio.sleep(0.05)


def _services(settings: Settings) -> list[Child]:
    base = {**os.environ, "MAKIMA_HOME": str(settings.home)}
    root = str(Path(__file__).parents[2])
    base["PYTHONPATH"] = root + (os.pathsep + base["PYTHONPATH"] if base.get("PYTHONPATH") else "")
    logs = settings.home / "logs"
    children = [Child(name, _module(f"services.{name}"), base, logs) for name in SERVICES]
    own = {name: value for name, value in base.items() if name not in NOT_FOR_DAEMONS}
    for number in range(1, settings.daemons + 1):
        environment = {**own, "MAKIMA_DAEMON_NAME": f"daemon-{number}"}
        children.append(Child(f"daemon-{number}", _module("services.daemon"), environment, logs))
    return children


def _module(name: str) -> Launch:
    """A process of this Python. -P: nothing is imported from the current folder, which may be any repository."""
    return Launch((sys.executable, "-P", "-m", name), (), None, None)


def _lock_file(settings: Settings) -> Path:
    return settings.home / "run" / "cluster.lock"


def _write_state(settings: Settings, children: list[Child], started: float) -> None:
    processes = {c.name: c.process.pid for c in children if c.process is not None}
    broken = {
        c.name: Broken(why=trouble[0], since=trouble[1], restarts=c.restarts)
        for c in children
        if (trouble := c.trouble) is not None
    }
    state = Running(
        pid=os.getpid(),
        address=settings.address(),
        socket=str(settings.gateway_socket()),
        started=started,
        processes=processes,
        broken=broken,
    )
    write(settings.home, state)


def _try_to_write_state(settings: Settings, children: list[Child], started: float, was_full: bool) -> bool:
    """Write it if that can be; whether it couldn't. A full disk is no reason to end, and is said once."""
    try:
        _write_state(settings, children, started)
    except OSError as error:
        if not was_full:
            log.warning("the cluster's state can't be written", home=str(settings.home), error=error.strerror)
        return True
    return False
