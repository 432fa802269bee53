"""Landlock: files, signals and abstract sockets given up, where namespaces can't be had. Linux 6.2 or newer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from services.daemon.sandbox import landlock_launcher, system
from services.daemon.sandbox.environment import inside
from services.daemon.sandbox.sandbox import Confined, Kind, SandboxMissing
from services.daemon.sandbox.view import View

PATIENCE_SECONDS = 10.0
_LAUNCHER = Path(landlock_launcher.__file__)
_DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom", "tty"))
_ALSO_READ = (Path("/proc"), Path("/sys/devices/system/cpu"))


class Landlock:
    """Programs that have given up what the view doesn't name. They see other processes, but can do nothing to them."""

    kind: Kind = "landlock"
    private = True
    leads = False
    limits = False
    refuses = False
    warning = ""

    def __init__(self, version: int) -> None:
        signals = (
            "" if version >= landlock_launcher.SCOPES_ABI else ", but can send signals to this account's processes"
        )
        self.holds = (
            "landlock: agents read and write only the system's programs, their workspace and a home of their own"
            f"{signals}; they see the names of other files and processes"
        )

    def command(self, argv: Sequence[str], environment: Mapping[str, str], view: View) -> Confined:
        """A launcher that restricts itself, then becomes the program. Raises SandboxMissing for a list of hosts."""
        if view.network == "hosts":
            raise SandboxMissing('network = "hosts" can\'t be held by Landlock: use bubblewrap or docker, or "none"')
        options = (
            *("-l", str(system.CODE)),  # Python looks for packages by their folder's list
            *_named("-r", (*system.SYSTEM, *system.etc(), *_ALSO_READ, *_around(view.readable, view.hidden))),
            *_named("-w", (*_DEVICES, *_around(view.writable, view.hidden), view.home, view.scratch, view.workspace)),
            *(() if view.network == "open" else ("--no-network",)),
        )
        launcher = (sys.executable, "-I", "-S", str(_LAUNCHER))
        return Confined((*launcher, *options, "--", *argv), inside(environment, view, view.scratch))

    async def clear(self, view: View) -> None:
        """Nothing is kept."""

    async def sweep(self, running: Collection[str]) -> None:
        """Nothing is kept."""


def find() -> Landlock | str:
    """This kernel's Landlock, tried by giving something up; or why it doesn't serve."""
    version = landlock_launcher.abi()
    if version < landlock_launcher.OLDEST_ABI:
        return "this kernel has no Landlock" if not version else "this kernel's Landlock is older than Linux 6.2"
    argv = (sys.executable, "-I", "-S", str(_LAUNCHER), "-r", "/", "--", "true")
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"Landlock: {error}"
    return Landlock(version) if done.returncode == 0 else f"Landlock: {done.stderr.strip().rpartition(chr(10))[2]}"


def _named(option: str, paths: Iterable[Path]) -> Iterator[str]:
    for path in dict.fromkeys(paths):
        yield from (option, str(path))


def _around(paths: Iterable[Path], hidden: Iterable[Path]) -> Iterator[Path]:
    """The paths; of one that holds a hidden one what lies beside that, as a rule is for all that is beneath its folder.

    Links there aren't followed: where they lead is no part of what was named.
    """
    secret = tuple(path.resolve() for path in hidden)
    for path in paths:
        real = path.resolve()
        if not any(other.is_relative_to(real) for other in secret):
            yield real
        elif real not in secret and real.is_dir():
            yield from _around((child for child in real.iterdir() if not child.is_symlink()), secret)
