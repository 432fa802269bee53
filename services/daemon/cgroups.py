"""A control group (v2) an attempt, where the daemon may make one: no process leaves it, whatever it forks to.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


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
        remove(probe)
        return groups if allowed else cls(None)

    @property
    def usable(self) -> bool:
        """Whether groups can be made here."""
        return self._parent is not None

    def make(self, name: str, memory_bytes: int | None = None) -> Path | None:
        """A group, fresh or as it stands; None where that can't be."""
        if self._parent is None:
            return None
        group = self._parent / name
        try:
            group.mkdir(parents=True, exist_ok=True)
        except OSError:
            return None
        if memory_bytes is not None:
            with contextlib.suppress(OSError):  # without the controller the daemon looks by itself
                (self._parent / "cgroup.subtree_control").write_text("+memory")
                (group / "memory.max").write_text(str(memory_bytes))
        return group


def members(group: Path) -> list[int]:
    """The processes in a group."""
    try:
        return [int(line) for line in (group / "cgroup.procs").read_text().split()]
    except (OSError, ValueError):
        return []


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


def remove(group: Path) -> None:
    """Remove a group that is empty, and the daemon's folder with the last one."""
    with contextlib.suppress(OSError):
        group.rmdir()
        group.parent.rmdir()
