"""A control group (v2) an attempt, where the daemon may make one: no process leaves it, whatever it forks to.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import structlog

log = structlog.get_logger()

_REMOVALS = 40
_BETWEEN_REMOVALS_SECONDS = 0.05
_PERIOD_MICROSECONDS = 100_000
_LEAST_QUOTA_MICROSECONDS = 1_000
"""What cpu.max takes."""


class Cgroups:
    """The groups of one daemon, in a folder of its own that is there only while one of them is."""

    def __init__(self, parent: Path | None) -> None:
        self._parent = parent

    @classmethod
    def of_this_process(cls, name: str) -> Cgroups:
        """Groups below this process's own. Where it may not make any, `make` says None."""
        try:
            mounts = Path("/proc/self/mountinfo").read_text().splitlines()
            own = Path("/proc/self/cgroup").read_text().splitlines()
            root = next(Path(line.split(" ")[4]) for line in mounts if " - cgroup2 " in line)
            below = next(line.removeprefix("0::/") for line in own if line.startswith("0::/"))
        except (OSError, StopIteration):
            return cls(None)
        groups = cls(root / below / f"makima-{name}")
        probe = groups.make("probe")
        if probe is None:
            return cls(None)
        allowed = os.access(probe / "cgroup.procs", os.W_OK) and os.access(probe / "cgroup.kill", os.W_OK)
        _removed(probe)
        return groups if allowed else cls(None)

    @property
    def usable(self) -> bool:
        """Whether groups can be made here."""
        return self._parent is not None

    def make(
        self, name: str, memory_bytes: int | None = None, processes: int | None = None, cpus: float | None = None
    ) -> Path | None:
        """A group, fresh or as it stands, held to what the machine has controllers for; None where that can't be."""
        if self._parent is None:
            return None
        group = self._parent / name
        try:
            group.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        if memory_bytes is not None:
            self._hold(group, "memory", "memory.max", str(memory_bytes))
        if processes is not None:
            self._hold(group, "pids", "pids.max", str(processes))
        if cpus is not None:
            quota = max(int(cpus * _PERIOD_MICROSECONDS), _LEAST_QUOTA_MICROSECONDS)
            self._hold(group, "cpu", "cpu.max", f"{quota} {_PERIOD_MICROSECONDS}")
        return group

    def _hold(self, group: Path, controller: str, file: str, limit: str) -> None:
        """Without the controller it isn't: the daemon looks at memory, and the kernel at a user's processes."""
        assert self._parent is not None
        with contextlib.suppress(OSError):
            (self._parent / "cgroup.subtree_control").write_text(f"+{controller}")
            (group / file).write_text(limit)


def members(group: Path) -> list[int]:
    """The processes in a group, and in those that they have made in it."""
    found = []
    for one in (group, *_within(group)):
        with contextlib.suppress(OSError, ValueError):
            found += [int(line) for line in (one / "cgroup.procs").read_text().split()]
    return found


def kill(group: Path) -> None:
    """SIGKILL to every process in a group at once."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1")


def ran_out_of_memory(group: Path) -> bool:
    """Whether the kernel killed one of its processes for memory."""
    try:
        lines = (group / "memory.events").read_text().splitlines()
    except OSError:
        return False
    return any(line.startswith("oom_kill ") and line.split()[1] != "0" for line in lines)


async def remove(group: Path) -> None:
    """Remove a group that is ended with those in it, and the daemon's folder with the last one.

    It is busy for a moment after its last process was killed.
    """
    for left in reversed(range(_REMOVALS)):
        if _removed(group):
            return
        if left:
            await asyncio.sleep(_BETWEEN_REMOVALS_SECONDS)
    log.warning("control group not removed", group=str(group), processes=members(group))


def _removed(group: Path) -> bool:
    """Whether it is gone now."""
    with contextlib.suppress(OSError):
        for one in (*_within(group), group):
            one.rmdir()
    with contextlib.suppress(OSError):
        group.parent.rmdir()
    return not group.exists()


def _within(group: Path) -> list[Path]:
    """The groups in a group, those deepest in it first."""
    return [Path(folder) for folder, _, _ in os.walk(group, topdown=False) if folder != str(group)]
