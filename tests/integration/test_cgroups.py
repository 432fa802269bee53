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
