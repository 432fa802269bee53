"""A disk without room, a daemon's or Postgres's: it is said, nothing dies of it, and work goes on with room again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.messages.reports import Hello, TaskFailed, TaskStarted, TaskSucceeded
from tests.daemon_harness import DaemonHarness
from tests.faults import jobs
from tests.faults.conftest import QUICK, Faulty
from tests.faults.small_disk import SmallDisk, on_small_disk
from tests.nothing_lost import assert_nothing_lost
from tests.waiting import until

SHORT = "no space left on device where Postgres keeps its data"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[DaemonHarness]:
    """A daemon whose state lies on a disk of 16 MiB."""
    house = DaemonHarness(tmp_path, on_small_disk(tmp_path / "h" / "daemons", 16), MAKIMA_MIN_DISK_MIB="4")
    yield house
    house.close()


def test_a_daemon_without_room_fails_its_task_takes_no_more_and_resumes(house: DaemonHarness, tmp_path: Path) -> None:
    disk = SmallDisk(house.process.pid, tmp_path / "h" / "daemons")
    command = house.spawn(f"until test -e {tmp_path}/go; do sleep 0.05; done; head -c 100000 /dev/urandom > big")
    house.send(command)
    house.wait(lambda r: isinstance(r, TaskStarted))
    disk.fill()
    (tmp_path / "go").touch()
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed), end
    assert "No space left on device" in f"{end.reason}\n{end.tail}"
    fix = f"free some of {tmp_path / 'h' / 'daemons' / 'd1'}"
    refusing = house.wait(lambda r: isinstance(r, Hello) and r.draining)
    assert isinstance(refusing, Hello) and refusing.refuses in (
        f"no space left on device where it keeps its work: 0 MiB left, at least 4 are wanted; {fix}",
        f"its disk can't be written (No space left on device); {fix}",
    )
    house.seen.clear()
    disk.free()
    house.wait(lambda r: isinstance(r, Hello) and not r.draining)
    after = house.spawn("echo room > room.txt")
    house.send(after)
    assert isinstance(house.ending(after.task), TaskSucceeded)
    assert house.process.poll() is None


@pytest.fixture
def confined(tmp_path_factory: pytest.TempPathFactory, empty_home: Path) -> Iterator[tuple[Faulty, SmallDisk]]:
    """A cluster whose Postgres has a disk of 192 MiB."""
    running = Faulty(empty_home, **QUICK)
    running.failpoints = tmp_path_factory.mktemp("failpoints")
    data = empty_home / "postgres"
    argv = [*on_small_disk(data, 192), sys.executable, "-m", "cli", "up", "--detach", "--daemons", "1"]
    subprocess.run(argv, env=running.environment, check=True, timeout=120)
    yield running, SmallDisk(running.state()["pid"], data)
    running.makima("down")


@pytest.mark.long
def test_a_postgres_without_room_is_said_and_work_goes_on_when_there_is(
    confined: tuple[Faulty, SmallDisk], origin: Path
) -> None:
    cluster, disk = confined
    steps = [{"name": f"step {n}", "taskPlan": f"sleep 0.5; echo {n} > {n}.txt"} for n in range(6)]
    path = origin.parent / "steps.json"
    path.write_text(json.dumps(steps))
    directive = jobs.create(cluster, "--repo", str(origin), "--plan", str(path), "--max-parallel", "2")
    disk.fill()
    try:
        until(lambda: SHORT in refusal(cluster), "what is written is refused")
    finally:
        disk.free()
    jobs.await_status(cluster, directive, "completed", within_seconds=120)
    assert_nothing_lost(cluster)


def refusal(cluster: Faulty) -> str:
    """What creating something is refused for; nothing when it isn't."""
    done = cluster.run("directive", "create", "--title", "Another", "--goal", "x")
    return done.stderr if done.returncode else ""


@pytest.fixture
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Faulty, Path]]:
    """A cluster whose whole home is a disk of 384 MiB, and the file that fills it."""
    folder = tmp_path_factory.mktemp("disk")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=384m,mode=700", "tmpfs", str(folder)], check=True)
    running = Faulty(folder, min_disk_mib="16", **QUICK)
    try:
        running.makima("up", "--detach", "--daemons", "1")
        yield running, folder / "ballast"
        running.makima("down")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk asks for root")
def test_a_full_home_ends_nothing_is_said_can_be_paused_and_cancelled_and_work_goes_on(
    crowded: tuple[Faulty, Path], origin: Path, tmp_path: Path
) -> None:
    cluster, ballast = crowded
    before = cluster.processes()
    first = f"until test -e {tmp_path}/go; do sleep 0.05; done; echo 1 > 1.txt"
    steps = [{"name": "first", "taskPlan": first}]
    steps += [{"name": f"step {n}", "taskPlan": f"echo {n} > {n}.txt", "dependsOn": ["first"]} for n in (2, 3)]
    directive = created(cluster, origin, "Some", steps)
    other = created(cluster, origin, "Endless", [{"name": "endless", "taskPlan": "sleep 1000"}])
    running = until(lambda: tasks(cluster, other, "running"), "the endless task runs")
    until(lambda: tasks(cluster, directive, "running"), "the first step runs")
    fill(ballast)
    try:
        until(lambda: SHORT in cluster.run("status").stdout, lambda: f"status: {cluster.run('status').stdout}")
        assert SHORT in until(lambda: refusal(cluster), "new work is refused")
        until(lambda: SHORT in cluster.run("why", directive).stdout, lambda: cluster.run("why", directive).stdout)
        until(lambda: cluster.run("directive", "pause", directive).returncode == 0, "it can be paused", 30)
        until(lambda: cluster.run("task", "cancel", running[0]["id"]).returncode == 0, "it can be cancelled", 30)
        assert cluster.show(directive)["status"] == "paused"
        services = {name: number for name, number in before.items() if name != "postgres"}
        assert {name: number for name, number in cluster.processes().items() if name != "postgres"} == services
    finally:
        ballast.unlink()
    until(lambda: SHORT not in cluster.run("status").stdout, "there is room again")
    (tmp_path / "go").touch()
    until(lambda: tasks(cluster, other, "cancelled"), "the cancelled task ends", 60)
    cluster.makima("directive", "resume", directive)
    cluster.await_status(directive, "completed", within_seconds=90)
    cluster.makima("directive", "archive", other)
    assert_nothing_lost(cluster)


def created(cluster: Faulty, origin: Path, title: str, steps: list[dict[str, Any]]) -> str:
    """A directive with these steps that has started."""
    path = origin.parent / f"{title}.json"
    path.write_text(json.dumps(steps))
    return jobs.create(cluster, "--title", title, "--repo", str(origin), "--plan", str(path))


def tasks(cluster: Faulty, directive: str, status: str) -> list[dict[str, Any]]:
    """Its tasks of this status."""
    told = cluster.run("task", "list", "--directive", directive, "--status", status, "-o", "json")
    return json.loads(told.stdout) if told.returncode == 0 else []


def fill(ballast: Path) -> None:
    """Leave no byte free."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass
