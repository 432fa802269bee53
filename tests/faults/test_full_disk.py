"""A disk without room, a daemon's or Postgres's: it is said, nothing dies of it, and work goes on with room again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.messages.reports import Hello, TaskFailed, TaskStarted, TaskSucceeded
from tests.faults import jobs
from tests.faults.conftest import QUICK, Faulty
from tests.faults.small_disk import SmallDisk, on_small_disk
from tests.house import House
from tests.nothing_lost import assert_nothing_lost
from tests.waiting import until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A daemon whose state lies on a disk of 16 MiB."""
    house = House(tmp_path, on_small_disk(tmp_path / "h" / "daemons", 16), MAKIMA_MIN_DISK_MIB="4")
    yield house
    house.close()


def test_a_daemon_without_room_fails_its_task_takes_no_more_and_resumes(house: House, tmp_path: Path) -> None:
    disk = SmallDisk(house.process.pid, tmp_path / "h" / "daemons")
    command = house.spawn(f"until test -e {tmp_path}/go; do sleep 0.05; done; head -c 100000 /dev/urandom > big")
    house.send(command)
    house.wait(lambda r: isinstance(r, TaskStarted))
    disk.fill()
    (tmp_path / "go").touch()
    end = house.ending(command.task)
    assert isinstance(end, TaskFailed), end
    assert "No space left on device" in f"{end.reason}\n{end.tail}"
    refusing = house.wait(lambda r: isinstance(r, Hello) and r.draining)
    assert isinstance(refusing, Hello) and refusing.refuses in (
        "its disk has 0 MiB left, at least 4 are wanted",
        "its disk can't be written",
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
        until(lambda: "Postgres" in refusal(cluster), "what is written is refused")
    finally:
        disk.free()
    jobs.await_status(cluster, directive, "completed", within_seconds=120)
    assert_nothing_lost(cluster)


def refusal(cluster: Faulty) -> str:
    """What creating something large is refused for; nothing when it isn't."""
    done = cluster.run("directive", "create", "--title", "Large", "--goal", "x" * 100_000)
    return done.stderr if done.returncode else ""
