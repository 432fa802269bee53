"""`makima daemon join` and `rotate`: a daemon of this machine for a cluster on another one."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cli.client import Failed
from cli.cluster import run_module
from cli.command import Arguments, add_verb, say, settings
from shared.places import cluster_file

if TYPE_CHECKING:
    from cli.command import Verbs
    from shared.bus.link import Invitation, Link

ROTATION_SECONDS = 30.0
_LINE_BYTES = 4096


def register(verbs: Verbs) -> None:
    """Declare both, and `run`, which says to which cluster the daemon belongs."""
    join = add_verb(
        verbs,
        "join",
        _join,
        "make this machine's daemon one of a cluster on another machine, and run it",
        "makima daemon join mki_iKdhZGRyZXNz…",
        "makima daemon join - < invitation",
        "makima daemon join build.example.org:8421 --server-key 'KEY'",
    )
    join.add_argument(
        "cluster",
        metavar="LINE|HOST:PORT",
        help="what `makima daemon invite` printed there; - reads it from standard input, where no other account of "
        "this machine can see it",
    )
    join.add_argument(
        "--name", help="what to call this daemon where the invitation doesn't say; the host name by default"
    )
    join.add_argument("--server-key", metavar="KEY", help="the broker's public key, where there is no invitation")
    join.add_argument("--again", action="store_true", help="though this home's daemon belongs to a cluster already")
    join.add_argument("--no-run", action="store_true", help="only join")
    add_verb(verbs, "rotate", _rotate, "give this machine's daemon another key for its cluster", "makima daemon rotate")
    add_verb(verbs, "run", _run, "run one here, in the foreground", "makima daemon run")


def _join(arguments: Arguments) -> int:
    from services.daemon.link.joining import join, offer
    from shared.bus.link import fingerprint, read_link
    from shared.config import ConfigError
    from shared.config.home import make_home

    home = settings().home
    try:
        _refuse_a_cluster(home)
        if (link := read_link(home)) is not None and not arguments.again:
            raise Failed(
                f"this home's daemon already belongs to {link.address}, as {link.name}: `makima daemon run` runs it, "
                "--again joins anew"
            )
        asked = _asked(arguments)
        make_home(home)
        offered = offer(home, asked, _name(arguments.name or asked.name or socket.gethostname()))
        if not offered.invited:
            say_now(f"this daemon's key: {fingerprint(offered.own.public)}")
        link = join(home, offered, say_now)
    except ConfigError as error:
        raise Failed(str(error)) from None
    say_now(f"joined {link.address} as {link.name}")
    return 0 if arguments.no_run else run_module("services.daemon")


def _run(_: Arguments) -> int:
    if (link := _link(settings().home)) is not None:
        print(f"runs as {link.name} for the cluster at {link.address}", file=sys.stderr)
    return run_module("services.daemon")


def _rotate(_: Arguments) -> int:
    from services.daemon.link.rotation import ask_for_another, rotating
    from shared.bus.link import fingerprint, public_of

    home = settings().home
    if (link := _link(home)) is None:
        raise Failed("this home's daemon belongs to no cluster on another machine; `makima daemon join` makes it so")
    mark = fingerprint(wanted := ask_for_another(home, link))
    if not _runs(home / "daemons" / link.name):
        return say(f"the daemon offers its new key, {mark}, when it runs next: `makima daemon run`")
    deadline = time.monotonic() + ROTATION_SECONDS
    while time.monotonic() < deadline:
        found = _link(home)
        if found is not None and public_of(found.secret) == wanted:
            return say(f"the daemon {link.name} has a new key: {mark}")
        if rotating(home, link) is None and found == link:
            raise Failed(f"{link.address} refuses the new key; the daemon's log says why")
        time.sleep(0.1)
    raise Failed(f"{link.address} hasn't taken the new key yet; the daemon goes on offering it")


def _asked(arguments: Arguments) -> Invitation:
    """Whom to ask by what. Raises ConfigError."""
    from shared.bus.link import Invitation, invitation

    if arguments.cluster == "-":
        return invitation(sys.stdin.readline(_LINE_BYTES))
    if arguments.cluster.startswith("mki_"):
        return invitation(arguments.cluster)
    host, _, port = arguments.cluster.rpartition(":")
    if not (host and port.isdigit()):
        raise Failed(f"{arguments.cluster} is neither an invitation, which begins with mki_, nor HOST:PORT")
    key = arguments.server_key
    if key is None:
        raise Failed(
            "--server-key KEY is needed with HOST:PORT: by the broker's public key alone this machine can tell the "
            "cluster from somebody who poses as it; an invitation holds both"
        )
    if not _is_key(key):
        raise Failed("--server-key takes a public key: 40 characters, in quotes")
    return Invitation(address=arguments.cluster, server=key, secret="")


def _is_key(text: str) -> bool:
    from zmq.utils import z85

    try:
        return len(z85.decode(text.encode())) == 32
    except (ValueError, KeyError):
        return False


def _name(name: str) -> str:
    from shared.domain.names import is_daemon_name

    if not is_daemon_name(name):
        raise Failed(f"a daemon can't be named {name!r}: it is also a folder's name; choose another with --name")
    return name


def _refuse_a_cluster(home: Path) -> None:
    if cluster_file(home).exists() or (home / "postgres").exists():
        raise Failed(f"the home {home} holds a cluster of its own; set MAKIMA_HOME to another folder, and join again")


def _link(home: Path) -> Link | None:
    from shared.bus.link import read_link
    from shared.config import ConfigError

    try:
        return read_link(home)
    except ConfigError as error:
        raise Failed(str(error)) from None


def _runs(folder: Path) -> bool:
    from services.daemon.disk.locks import Held, alone

    try:
        with alone(folder):
            return False
    except Held:
        return True


def say_now(text: str) -> None:
    """Print for people, who wait for it."""
    print(text, flush=True)
