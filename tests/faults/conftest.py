"""A cluster that notices soon, and in which failpoints can be armed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

import bench.second
from bench.second import Second
from shared.config.embedded_url import SUPERUSER, embedded_url
from shared.store import embedded
from tests.conftest import Cluster
from tests.waiting import until

WRITABLE = "-c default_transaction_read_only=off"


class Server:
    """A Postgres that the cluster is given, and that nobody starts again but the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        embedded.initialise(folder)
        self.url = embedded_url(folder, role=SUPERUSER)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = embedded.server(self._folder).with_settings("fsync=off").popen(log)
        until(self._answers, "Postgres answers")

    def stop(self, by: signal.Signals) -> None:
        """End it, and wait until it has."""
        self._process.send_signal(by)
        self._process.wait(60)

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server; DEFAULT puts it back."""
        self.execute(f"ALTER SYSTEM SET {name} = {value}")
        self.execute("SELECT pg_reload_conf()")

    def execute(self, statement: str) -> None:
        """Run a statement, whatever the server's settings say of writes."""
        with psycopg.connect(self.url, autocommit=True, options=WRITABLE) as connection:
            connection.execute(statement.encode())

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True


class Faulty(Cluster):
    """A cluster whose processes can be made to die."""

    failpoints: Path

    def process(self, name: str) -> int:
        """The id of a process of it."""
        return self.processes()[name]

    def kill(self, name: str, by: signal.Signals = signal.SIGKILL) -> int:
        """Send a process of it a signal, once it runs; which process it was."""

        def hit() -> int | None:
            process = self.process(name)
            with suppress(ProcessLookupError):
                os.kill(process, by)
                return process
            return None

        return until(hit, f"{name} runs")


QUICK = {
    "sweep_seconds": "2",
    "max_attempts": "4",
    "lease_seconds": "4",
    "lost_seconds": "3",
    "heartbeat_seconds": "0.5",
    "retention_seconds": "1",
}


@contextmanager
def quick(home: Path, failpoints: Path, **settings: str) -> Iterator[Faulty]:
    """A cluster of two daemons, with leases of four seconds and a sweep of two, for as long as the block takes."""
    with up(home, failpoints, **{**QUICK, **settings}) as running:
        yield running


@contextmanager
def up(home: Path, failpoints: Path, **settings: str) -> Iterator[Faulty]:
    """A cluster of two daemons with these settings, for as long as the block takes."""
    running = Faulty(home, failpoints=str(failpoints), **settings)
    running.failpoints = failpoints
    running.makima("up", "--detach", "--daemons", "2")
    try:
        yield running
    finally:
        running.makima("down")


@contextmanager
def second_instances(faulty: Faulty) -> Iterator[Second]:
    """Another of every service but the broker on the same cluster; that they are still alive at the end."""
    with bench.second.second_instances(faulty.environment, faulty.home / "logs" / "second.log") as second:
        yield second
        assert [process.poll() for process in second.processes] == [None] * len(second.processes)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, empty_home: Path) -> Iterator[Faulty]:
    """A quick cluster a module."""
    with quick(empty_home, tmp_path_factory.mktemp("failpoints")) as running:
        yield running
