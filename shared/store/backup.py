"""The whole database into one file, and from it into a new home, by Postgres's own tools."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.config.embedded_url import embedded_url
from shared.config.sockets import held
from shared.store import embedded

START_SECONDS = 60.0


class BackupFailed(RuntimeError):
    """What could not be saved or restored, and why."""


def save(url: str, path: Path) -> None:
    """Write the database to a file, as it is at one moment, while it is in use. Raises BackupFailed."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.touch(mode=0o600)
        _run("pg_dump", "--format=custom", "--no-owner", f"--file={draft}", url=url)
        draft.replace(path)
    except OSError as error:
        raise BackupFailed(f"{path} can't be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def restore(home: Path, path: Path) -> None:
    """Make a new embedded database in `home` from a file. Raises BackupFailed, also when there is one already."""
    if not path.is_file():
        raise BackupFailed(f"{path} is not there")
    if (home / "postgres" / "initialised").exists():
        raise BackupFailed(f"{home} holds a database already; set MAKIMA_HOME to a new folder")
    _run("pg_restore", "--list", str(path))  # what is no backup is refused before anything is made
    embedded.initialise(home)
    url = embedded_url(home)
    with _server(home, url):
        _run("pg_restore", "--no-owner", "--single-transaction", "--exit-on-error", str(path), url=url)


@contextmanager
def _server(home: Path, url: str) -> Iterator[None]:
    server = embedded.server(home).popen(subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(url, connect_timeout=3).close()
                break
            except psycopg.OperationalError as error:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise BackupFailed(f"Postgres doesn't start: {error}") from None
                time.sleep(0.05)
        yield
    finally:
        server.send_signal(SIGINT)
        server.wait()


def _run(program: str, *arguments: str, url: str | None = None) -> None:
    """Run a tool of Postgres's, on a database if one is given. A password is nothing for a command line."""
    environment = dict(os.environ)
    if url is not None:
        parts = conninfo_to_dict(url)
        if password := parts.pop("password", None):
            environment["PGPASSWORD"] = str(password)
        arguments = (f"--dbname={make_conninfo(**{k: str(v) for k, v in parts.items()})}", *arguments)
    argv = [str(embedded.BINARIES / program), *arguments]
    done = subprocess.run(argv, env=environment, pass_fds=held(), capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise BackupFailed(f"{program}: {said[0] if said else f'exit code {done.returncode}'}")
