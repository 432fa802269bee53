"""Control groups of attempts, where the machine lets any be made: whatever an agent makes in one, none is left."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from services.daemon.processes import cgroups, tree
from services.daemon.processes.cgroups import Cgroups
from shared.domain.ids import new_id

pytestmark = pytest.mark.anyio


async def test_a_group_with_groups_and_processes_in_it_is_ended_and_removed() -> None:
    groups = Cgroups.of_this_process("test-of-groups")
    group = groups.make(f"{new_id().hex}-1")
    if group is None:
        assert not groups.usable
        return
    inner = group / "made" / "by-an-agent"
    inner.mkdir(parents=True)
    with subprocess.Popen(["sleep", "300"]) as sleeping:
        (inner / "cgroup.procs").write_text(str(sleeping.pid))
        assert cgroups.members(group) == [sleeping.pid]
        reaping = asyncio.create_task(asyncio.to_thread(sleeping.wait))
        await tree.end(tree.Whose(new_id(), 1, cgroup=group), None, 0.5)
        assert await reaping != 0
    await cgroups.remove(group)
    assert not group.exists()


async def test_a_group_that_is_busy_for_a_moment_is_removed_after_it(tmp_path: Path) -> None:
    group = tmp_path / "daemon" / "attempt"
    busy = group / "a file, which a group's rmdir stops at"
    group.mkdir(parents=True)
    busy.touch()
    removing = asyncio.create_task(cgroups.remove(group))
    await asyncio.sleep(0)
    assert group.exists()
    busy.unlink()
    await removing
    assert not group.exists() and not group.parent.exists()


async def test_a_group_is_held_to_what_the_settings_say(tmp_path: Path) -> None:
    """Told by what is written where a kernel with all controllers would read it."""
    parent = tmp_path / "daemon"
    group = Cgroups(parent).make("attempt", memory_bytes=1 << 30, processes=64, cpus=1.5)
    assert group is not None
    limits = {name: (group / name).read_text() for name in ("memory.max", "pids.max", "cpu.max")}
    assert limits == {"memory.max": str(1 << 30), "pids.max": "64", "cpu.max": "150000 100000"}
    assert (parent / "cgroup.subtree_control").read_text() == "+cpu"
