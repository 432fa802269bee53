"""A cluster to be measured: its own home and port, no daemon of its own, a durable Postgres; and those who drive it."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import psutil
import psycopg

from bench.daemon import Seen
from bench.figures import ROOT
from shared.config import Settings, load
from shared.config.embedded_url import SUPERUSER, embedded_url
from shared.domain.plans import PlannedStep

STEP_SECONDS = 120.0
"""A workload that makes no progress for so long has failed."""

REPOSITORY = "file:///bench"
"""Nobody clones it: the bench daemon runs no git."""


class BenchFailed(RuntimeError):
    """A workload could not be run: what was missing."""


class Driver:
    """The bench daemon's process, seen from outside."""

    def __init__(self, environment: Mapping[str, str], name: str, slots: int, all_reports: bool = False) -> None:
        argv = [sys.executable, "-m", "bench.daemon", *(["--all-reports"] if all_reports else [])]
        named = {**environment, "MAKIMA_DAEMON_NAME": name, "MAKIMA_SLOTS": str(slots)}
        self.process = subprocess.Popen(argv, env=named, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, line: str) -> None:
        """Give it one line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def collect(self, tasks: int) -> list[Seen]:
        """Wait until so many more tasks have ended; all that ended since the last time. Raises BenchFailed."""
        assert self.process.stdout is not None
        self.say(f"collect {tasks}")
        if not select.select([self.process.stdout], [], [], STEP_SECONDS)[0]:
            raise BenchFailed(f"not {tasks} more tasks ended within {STEP_SECONDS:.0f} s")
        if not (answer := self.process.stdout.readline()):
            raise BenchFailed(f"the bench daemon ended with code {self.process.wait()}")
        return msgspec.json.decode(answer, type=list[Seen])

    def close(self) -> None:
        """End it; it says goodbye."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Api:
    """One connection to a gateway, kept open."""

    def __init__(self, settings: Settings, port: int) -> None:
        self._settings = settings
        self._port = port
        self._connection = self._connected()
        token = (settings.home / "token").read_text().strip()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401
        """The answer to a request. Raises BenchFailed."""
        data = msgspec.json.encode(body) if body is not None else None
        try:
            self._connection.request(method, path, data, self._headers)
            answer = self._connection.getresponse()
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):  # closed, having been idle
            self._connection = self._connected()
            self._connection.request(method, path, data, self._headers)
            answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise BenchFailed(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text) if text else None

    def _connected(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._settings.host, self._port, timeout=STEP_SECONDS)
        connection.connect()
        assert isinstance(connection.sock, socket.socket)
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def create(
        self,
        title: str,
        steps: Sequence[PlannedStep],
        *,
        start: bool,
        parallel: int = 64,
        repository: str | None = REPOSITORY,
    ) -> UUID:
        """Make a directive with its plan; its id."""
        body = {
            "title": title,
            "goal": "bench",
            "repository_url": repository,
            "base_branch": "main",
            "max_parallel": parallel,
            "steps": steps[:5000],
            "start": start and len(steps) <= 5000,
        }
        directive = UUID(self.call("POST", "/v1/directives", body)["id"])
        for at in range(5000, len(steps), 5000):
            self.call("POST", f"/v1/directives/{directive}/steps", {"steps": steps[at : at + 5000]})
        if start and len(steps) > 5000:
            self.start(directive)
        return directive

    def start(self, directive: UUID) -> None:
        """Start a draft."""
        self.call("POST", f"/v1/directives/{directive}/start")


class Cluster:
    """A running cluster of one home."""

    def __init__(self, home: Path, environment: dict[str, str], ready_seconds: float) -> None:
        self.home = home
        self.environment = environment
        self.settings = load(environment)
        self.ready_seconds = ready_seconds
        self._drivers: list[Driver] = []

    def api(self, port: int | None = None) -> Api:
        """A connection to its gateway, or to one at another port."""
        return Api(self.settings, port or self.settings.port)

    def driver(self, slots: int = 64, name: str = "bench", all_reports: bool = False) -> Driver:
        """A bench daemon, connected."""
        driver = Driver(self.environment, name, slots, all_reports)
        self._drivers.append(driver)
        self.await_rows("SELECT FROM makima.daemon WHERE connected AND name = %s", (name,), 1)
        return driver

    def sql(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection of our own to its Postgres."""
        return psycopg.connect(self.settings.postgres(), autocommit=True)

    def checkpoint(self) -> None:
        """Have its Postgres write what is changed, as only its superuser may ask."""
        with psycopg.connect(embedded_url(self.home, role=SUPERUSER), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def await_rows(self, statement: str, parameters: Sequence[object], number: int) -> None:
        """Wait until a query yields so many rows. Raises BenchFailed."""
        deadline = time.monotonic() + STEP_SECONDS
        with self.sql() as connection:
            while len(connection.execute(statement.encode(), parameters).fetchall()) < number:
                if time.monotonic() > deadline:
                    raise BenchFailed(f"not {number} rows within {STEP_SECONDS:.0f} s: {statement}")
                time.sleep(0.02)

    def processes(self) -> dict[str, psutil.Process]:
        """Its processes by name; Postgres with a process a connection is `postgres` alone."""
        state = json.loads((self.home / "run" / "cluster.json").read_text())
        return {name: psutil.Process(pid) for name, pid in state["processes"].items()}

    def cpu_seconds(self) -> dict[str, float]:
        """Processor time that each process has taken, its children's included."""
        return {name: cpu_of(process) for name, process in self.processes().items()}

    def close_drivers(self) -> None:
        """End the bench daemons."""
        for driver in self._drivers:
            driver.close()
        self._drivers.clear()


@contextmanager
def cluster(*, daemons: int = 0, **settings: str) -> Iterator[Cluster]:
    """A cluster in a home of its own, up from nothing, and down again at the end. Raises BenchFailed."""
    home = Path(tempfile.mkdtemp(prefix="makima-bench-"))
    environment = _environment(home, settings)
    argv = [sys.executable, "-m", "services.cluster", "up", "--daemons", str(daemons)]
    began = time.monotonic()
    with (home / "errors").open("w+") as errors:
        process = subprocess.Popen(argv, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("makima is up"):
            process.wait(30)
            errors.seek(0)
            raise BenchFailed(f"the cluster didn't start: {errors.read().strip()}")
        running = Cluster(home, environment, time.monotonic() - began)
        try:
            yield running
        finally:
            running.close_drivers()
            process.terminate()
            process.wait(30)
    shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(home: Path, settings: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKIMA_")}
    named = {f"MAKIMA_{key.upper()}": value for key, value in settings.items()}
    return {**kept, "PYTHONPATH": str(ROOT), "MAKIMA_HOME": str(home), "MAKIMA_PORT": str(free_port()), **named}


def cpu_of(process: psutil.Process) -> float:
    """Processor time that a process has taken, and its children that live."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total
