"""The servers that peers keep their work in: on Unix sockets, in folders of their own, as durable as makima's."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from bench.cluster import BenchFailed
from shared.config.embedded_url import SUPERUSER, embedded_url
from shared.store import embedded

START_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    """A running server: what a peer finds it by, its name and version, and its process."""

    environment: dict[str, str]
    version: str
    process: psutil.Process


@contextmanager
def redis() -> Iterator[Server]:
    """A Redis that waits for the disk at every write. Raises BenchFailed where it is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        raise BenchFailed("redis-server is missing: install your system's package redis-server")
    said = subprocess.run((program, "--version"), capture_output=True, text=True, check=True).stdout
    version = next(word.removeprefix("v=") for word in said.split() if word.startswith("v="))
    with _folder() as folder:
        place = folder / "redis"
        options = ("--port", "0", "--unixsocket", place, "--dir", folder, "--save", "")
        argv = (program, *options, "--appendonly", "yes", "--appendfsync", "always")
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        try:
            _await("redis-server", place.exists, process)
            yield Server({"BENCH_REDIS": str(place)}, f"Redis {version}", psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(START_SECONDS)


@contextmanager
def postgres() -> Iterator[Server]:
    """The Postgres that a makima cluster has, with its settings and an empty database. Raises BenchFailed."""
    with _folder() as home, (home / "log").open("wb") as log:
        embedded.initialise(home)
        process = embedded.server(home).popen(log)
        url = embedded_url(home, role=SUPERUSER)

        def answers() -> bool:
            with suppress(psycopg.OperationalError), psycopg.connect(url):
                return True
            return False

        try:
            _await("postgres", answers, process)
            with psycopg.connect(url) as connection:
                version = str(connection.info.parameter_status("server_version"))
            yield Server({"BENCH_POSTGRES": url}, f"Postgres {version}", psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(START_SECONDS)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="makima-bench-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _await(name: str, ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchFailed(f"{name} didn't start")
        time.sleep(0.02)
