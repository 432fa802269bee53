"""The processes of one attempt: found by their control group, else by their process group and a marker in their
environment, and ended, all of them."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from services.daemon.processes import cgroups

GRACE_SECONDS = 5.0
KILL_SECONDS = 4.0
"""What killed processes are given to be gone: a busy machine takes its time, and a cancel ends within ten seconds."""
_CHECK_SECONDS = 0.05
_PROC = Path("/proc")


OWN_MARKER = {"MAKIMA_DAEMON_COMMAND": "1"}
"""In the environment of the daemon's own commands, so that they aren't taken for an agent's."""
_MARKS = (b"MAKIMA_TASK_ID=", b"MAKIMA_DAEMON_COMMAND=")


class Adoption:
    """This process as the parent of whatever its descendants leave behind (Linux: PR_SET_CHILD_SUBREAPER)."""

    def __init__(self) -> None:
        self.is_on = False
        self._zombies: set[int] = set()

    def begin(self) -> None:
        """Adopt from now on, where the kernel can."""
        with contextlib.suppress(OSError, AttributeError):
            self.is_on = ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0

    def reap(self) -> None:
        """Reap adopted processes that have ended. One that the event loop started is reaped by it, at once."""
        if not self.is_on:
            return
        zombies = set()
        for entry in _PROC.iterdir():
            with contextlib.suppress(OSError, ValueError):
                if entry.name.isdigit() and _state(entry)[:2] == ("Z", os.getpid()):
                    zombies.add(int(entry.name))
        for process in zombies & self._zombies:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process, os.WNOHANG)
        self._zombies = zombies


adoption = Adoption()
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Group:
    """A process group: its leader's id and start time (clock ticks since boot), which together are never reused."""

    leader: int
    started: int


def group_of(leader: int) -> Group:
    """The group that a live process leads."""
    return Group(leader, _started(leader) or 0)


def marker(task: UUID, attempt: int) -> dict[str, str]:
    """Variables that an attempt's processes inherit, wherever they fork to."""
    return {"MAKIMA_TASK_ID": str(task), "MAKIMA_ATTEMPT": str(attempt)}


def find(task: UUID, attempt: int, group: Group | None, cgroup: Path | None = None) -> list[int]:
    """The ids of an attempt's live processes, besides this one.

    Those of its control group, which nothing leaves; without one, those of its process group, those that carry its
    marker, wherever they forked to, and those that this process adopted without any marker: nobody can say whose they
    were, so whoever ends first ends them.
    """
    if cgroup is not None:
        return _in_cgroup(cgroup, group)
    wanted = [f"{k}={v}".encode() for k, v in marker(task, attempt).items()]
    adopted = adoption.is_on
    groups = _still_ours(group)
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            state, parent, group_id = _state(entry)
            if state in "ZX":
                continue
            variables = () if group_id in groups else (entry / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue  # it has ended, or isn't ours to read
        strays = adopted and parent == os.getpid() and not any(v.startswith(_MARKS) for v in variables)
        if group_id in groups or all(w in variables for w in wanted) or strays:
            found.append(int(entry.name))
    return found


async def end(
    task: UUID, attempt: int, group: Group | None, grace_seconds: float = GRACE_SECONDS, cgroup: Path | None = None
) -> None:
    """End an attempt's processes: SIGTERM, and after the grace SIGKILL until none is left."""
    loop = asyncio.get_running_loop()
    number = signal.SIGTERM
    deadline = loop.time() + grace_seconds
    last = deadline + KILL_SECONDS
    signalled: set[int] = set()
    while left := await _find(task, attempt, group, cgroup):
        if loop.time() >= last:
            return  # unkillable: in the kernel, or multiplying faster than we kill
        if number == signal.SIGTERM and loop.time() >= deadline:
            number = signal.SIGKILL
            signalled.clear()
            if cgroup is not None:
                cgroups.kill(cgroup)
        for process in left:
            if process not in signalled:
                _signal(process, number)
        signalled.update(left)
        await asyncio.sleep(_CHECK_SECONDS)


async def _find(task: UUID, attempt: int, group: Group | None, cgroup: Path | None) -> list[int]:
    if cgroup is not None:
        return _in_cgroup(cgroup, group)  # one small file: no thread for that
    return await asyncio.to_thread(find, task, attempt, group)


def _in_cgroup(cgroup: Path, group: Group | None) -> list[int]:
    """Its members, and the leader, which may be on its way into it."""
    found = cgroups.members(cgroup)
    if group is not None and group.leader not in found and _lives(group):
        found.append(group.leader)
    return found


def _lives(group: Group) -> bool:
    try:
        return _state(_PROC / str(group.leader))[0] not in "ZX" and _started(group.leader) == group.started
    except (OSError, ValueError, IndexError):
        return False


def resident_bytes(processes: Iterable[int]) -> int:
    """The memory that these hold now; what they share is counted more than once."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = 0
    for process in processes:
        try:
            total += int((_PROC / str(process) / "statm").read_text().split()[1]) * page
        except (OSError, ValueError, IndexError):
            continue  # it has ended
    return total


def arguments(process: int) -> list[str]:
    """The command line of a live process; nothing of one that has ended."""
    try:
        return (_PROC / str(process) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _still_ours(group: Group | None) -> frozenset[int]:
    """The group's id, unless its number now belongs to another leader. It outlives its leader."""
    if group is None:
        return frozenset()
    started = _started(group.leader)
    return frozenset({group.leader}) if started in (None, group.started) else frozenset()


def _started(process: int) -> int | None:
    try:
        return int((_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _state(entry: Path) -> tuple[str, int, int]:
    """State, parent and process group."""
    fields = (entry / "stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[2])


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return  # it has ended by itself
