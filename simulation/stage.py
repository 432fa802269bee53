"""Where histories are played: a Postgres of their own in a folder that is thrown away, without durability."""

from __future__ import annotations

import logging
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import structlog

from shared.config import Settings
from shared.config.embedded_url import SUPERUSER, embedded_url
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
        home = Path(folder)
        embedded.initialise(home)
        with (home / "log").open("wb") as log:
            server = embedded.server(home).with_settings(*FAST).popen(log)
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
    return embedded_url(home, role=SUPERUSER)


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
