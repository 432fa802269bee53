"""Where histories are played: a Postgres of their own in a folder that is thrown away, without durability."""

from __future__ import annotations

import logging
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import structlog

from shared.config import Settings
from shared.store import embedded
from shared.store.migrate import migrate
from simulation.database import Server
from simulation.history import Stage
from simulation.people import Interface

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")


@contextmanager
def _postgres() -> Iterator[Path]:
    """A server's home, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="makima-sim-", ignore_cleanup_errors=True) as folder:
        home, sockets = Path(folder), Path(folder) / "run"
        home.chmod(0o755)
        embedded.initialise(home, sockets)
        argv = embedded.command(home, sockets) + [part for option in FAST for part in ("-c", option)]
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(argv, user=embedded.server_user(), stdout=log, stderr=log, start_new_session=True)
        try:
            _await(home)
            yield home
        finally:
            server.send_signal(signal.SIGQUIT)
            server.wait()


@contextmanager
def stage() -> Iterator[Stage]:
    """A database on a server of its own: what else a server does shows in where rows lie, and so in their order."""
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with _postgres() as home:
        migrate(_url(home))
        server = Server(_url(home))
        try:
            yield Stage(server, Interface(Settings(home=home)), home)
        finally:
            server.close()


def _url(home: Path) -> str:
    return f"postgresql://postgres@/makima?host={home / 'run'}"


def _await(home: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(_url(home)).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
