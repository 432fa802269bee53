"""The processes of one run: found by their control group, else by their process group and a marker in their
environment, and ended, all of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from services.daemon.processes import cgroups
from services.daemon.processes.adoption import adoption, orphans

GRACE_SECONDS = 5.0
KILL_SECONDS = 4.0
"""What killed processes are given to be gone: a busy machine takes its time, and a cancel ends within ten seconds."""
_CHECK_SECONDS = 0.05
_PROC = Path("/proc")


@dataclass(frozen=True)
class Group:
    """A process group: its leader's id and start time (clock ticks since boot), which together are never reused."""

    leader: int
    started: int


def group_of(leader: int) -> Group:
    """The group that a live process leads."""
    return Group(leader, _started(leader) or 0)


def marker(task: UUID, attempt: int, part: str = "") -> dict[str, str]:
    """Variables that the processes of an attempt, or of a part of it, inherit wherever they fork to."""
    return {"MAKIMA_TASK_ID": str(task), "MAKIMA_ATTEMPT": str(attempt), **({"MAKIMA_PART": part} if part else {})}


@dataclass(frozen=True)
class Whose:
    """What a run's processes are known by. A part's are also the whole attempt's."""

    task: UUID
    attempt: int
    part: str = ""
    cgroup: Path | None = None
    """Where there is one, what they are first looked for in."""
    led: bool = False
    """The group's leader is a sandbox's own process: it ends by itself with those inside, and takes them along."""


def find(whose: Whose, group: Group | None) -> list[int]:
    """The ids of a run's live processes: those of its control group, else those that can be told by their marks."""
    return marked(whose, group) if whose.cgroup is None else _in_cgroup(whose.cgroup, group)


def marked(whose: Whose, group: Group | None) -> list[int]:
    """The ids of the live processes of its process group, and of those that carry its marker, wherever they forked to.

    For a thread.
    """
    wanted = [f"{k}={v}".encode() for k, v in marker(whose.task, whose.attempt, whose.part).items()]
    groups = _still_ours(group)
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            state, _, group_id = _state(entry)
            if state in "ZX":
                continue
            variables = () if group_id in groups else (entry / "environ").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue  # it has ended, or isn't ours to read
        if group_id in groups or all(w in variables for w in wanted):
            found.append(int(entry.name))
    return found


class Held:
    """The runs that have not been ended yet: what carries the marks of none of them is nobody's."""

    def __init__(self) -> None:
        self._runs: Counter[bytes] = Counter()

    @contextlib.contextmanager
    def run(self, whose: Whose) -> Iterator[None]:
        """One begins, and ends with the block."""
        mark = _mark(whose)
        self._runs[mark] += 1
        try:
            yield
        finally:
            self._runs[mark] -= 1

    def besides(self, whose: Whose) -> frozenset[bytes]:
        """The marks of the tasks that run, but for this one's."""
        return frozenset(mark for mark, count in self._runs.items() if count > 0 and mark != _mark(whose))


held = Held()


def _mark(whose: Whose) -> bytes:
    return f"MAKIMA_TASK_ID={whose.task}".encode()


async def end(whose: Whose, group: Group | None, grace_seconds: float = GRACE_SECONDS) -> None:
    """End a run's processes: SIGTERM, and after the grace SIGKILL until none is left.

    So are those that left its control group but not its marks, and those that this process adopted and that no other
    run's mark is on: nobody can say whose they were, so whoever ends first ends them. Where a sandbox's own process
    leads the run, all that is inside is in its control group or ends with it.
    """
    loop = asyncio.get_running_loop()
    number = signal.SIGTERM
    deadline = loop.time() + grace_seconds
    last = deadline + KILL_SECONDS
    signalled: set[int] = set()
    while (left := await _left(whose, group)) is None or left:
        if loop.time() >= last:
            return  # unkillable: in the kernel, or multiplying faster than we kill
        if number == signal.SIGTERM and loop.time() >= deadline:
            number = signal.SIGKILL
            signalled.clear()
            if whose.cgroup is not None:
                cgroups.kill(whose.cgroup)
        spared = group.leader if whose.led and group is not None and number == signal.SIGTERM else None
        for process in left or ():
            if process not in signalled and process != spared:
                _signal(process, number)
        signalled.update(left or ())
        await asyncio.sleep(_CHECK_SECONDS)


async def _left(whose: Whose, group: Group | None) -> list[int] | None:
    """What still runs of it; None: nothing is known to, but that isn't certain yet."""
    if whose.cgroup is not None:
        found = _in_cgroup(whose.cgroup, group)  # one small file: no thread for that
        if found or whose.led:
            return found
    found = await asyncio.to_thread(marked, whose, group)
    if not adoption.is_on:
        return found
    children = await asyncio.to_thread(orphans, held.besides(whose))
    strays = adoption.strays(children)
    return found or None if strays is None else sorted({*found, *strays})


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
