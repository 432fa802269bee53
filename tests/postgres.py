"""One embedded Postgres a test session, and a database of its own for whoever asks, cloned from a migrated template."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql

from shared.config.embedded_url import SUPERUSER, embedded_url
from shared.store import embedded
from shared.store.migrate import migrate
from tests.waiting import until

START_SECONDS = 60.0


class Postgres:
    """A running server. Nothing of it outlives the session, so it doesn't wait for the disk."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._numbers = count(1)

    def url(self, database: str) -> str:
        """How to connect to one of its databases."""
        return embedded_url(self._home, database, SUPERUSER)

    def connect(self, database: str, name: str = "test") -> psycopg.Connection:
        """A connection that commits at once, under a name that tells the test's writes from a service's."""
        return psycopg.connect(self.url(database), autocommit=True, application_name=name)

    def empty(self) -> str:
        """The name of a new empty database."""
        return self._create("template0")

    def fresh(self) -> str:
        """The name of a new database, fully migrated."""
        return self._create("migrated")

    def create_template(self) -> None:
        """Migrate once what `fresh` clones."""
        with self.connect("postgres") as connection:
            connection.execute("CREATE DATABASE migrated")
        migrate(self.url("migrated"))

    def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with self.connect("postgres") as connection:
            connection.execute(statement)
        return name


@contextmanager
def running() -> Iterator[Postgres]:
    """A server on a fresh data folder, ended with the block."""
    with home() as folder, _server(folder) as postgres:
        yield postgres


@contextmanager
def home() -> Iterator[Path]:
    """A folder for a Postgres, or for a cluster with one."""
    with tempfile.TemporaryDirectory(prefix="makima-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def _server(folder: Path) -> Iterator[Postgres]:
    embedded.initialise(folder)
    with (folder / "log").open("wb") as log:
        server = embedded.server(folder).with_settings("fsync=off", "full_page_writes=off").popen(log)
    try:
        postgres = Postgres(folder)
        _await(postgres, folder / "log")
        postgres.create_template()
        yield postgres
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(START_SECONDS)


def _await(postgres: Postgres, log: Path) -> None:
    def answers() -> bool:
        try:
            postgres.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    until(answers, log.read_text, START_SECONDS)
