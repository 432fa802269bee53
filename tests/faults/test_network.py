"""A bad network under real processes: every connection to the broker goes through a proxy."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.config import load
from tests.faults import jobs
from tests.faults.conftest import Faulty, quick
from tests.faults.proxy import Direction, Weather, between
from tests.nothing_lost import assert_nothing_lost, rows
from tests.waiting import until

ENDPOINTS = ("events-in", "events-out", "commands", "daemons", "reports")
CONNECTING = ("planner", "executor", "monitor", "completer", "gateway", "daemon-1", "daemon-2")
LONGEST_SILENCE_SECONDS = 10
"""Both ends notice within this; the tests wait for longer, since machines may be slow."""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory, empty_home: Path) -> Iterator[Faulty]:
    """A quick cluster, with a lease that is long enough to say everything several times, as the default is."""
    with quick(empty_home, tmp_path_factory.mktemp("failpoints"), lease_seconds="20") as running:
        yield running


@pytest.fixture(scope="module")
def weather(faulty: Faulty) -> Iterator[Weather]:
    """The network: the broker's sockets are moved away, proxies stand in their place, and everybody connects anew."""
    run = load(faulty.environment).run_folder()
    (run / "real").mkdir()
    for endpoint in ENDPOINTS:
        (run / f"{endpoint}.sock").rename(run / "real" / f"{endpoint}.sock")
    weather = Weather()
    with between(run, run / "real", ENDPOINTS, weather):
        for name in CONNECTING:
            faulty.kill(name)
        yield weather


@pytest.fixture
def fair(weather: Weather) -> Iterator[Weather]:
    """The network, left as it was found."""
    yield weather
    weather.drop = weather.double = weather.late = 0.0


def begin(faulty: Faulty, origin: Path, number: int, script: str) -> str:
    """A started directive of so many steps that may all run at once."""
    steps = [{"name": f"step {n}", "taskPlan": f"{script}; echo {n} > {n}.txt"} for n in range(number)]
    path = origin.parent / "steps.json"
    path.write_text(json.dumps(steps))
    return jobs.create(faulty, "--repo", str(origin), "--plan", str(path), "--max-parallel", "8")


@pytest.mark.parametrize("direction", ["up", pytest.param("down", marks=pytest.mark.long)])
def test_what_has_lost_one_direction_is_noticed_at_both_ends_and_work_goes_on(
    faulty: Faulty, origin: Path, fair: Weather, direction: Direction
) -> None:
    directive = begin(faulty, origin, 4, "sleep 2")
    running = "SELECT FROM makima.task WHERE status = 'running'"
    until(lambda: rows(faulty, running), "a running task")
    before = fair.connections
    fair.lose(direction)
    assert fair.half_open >= len(CONNECTING)
    until(lambda: not fair.half_open, f"every end notices, which takes {LONGEST_SILENCE_SECONDS} s")
    until(lambda: fair.connections >= before + len(CONNECTING), "everybody connects anew")
    jobs.await_status(faulty, directive, "completed", within_seconds=90)
    assert_nothing_lost(faulty)


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.long) for s in range(2, 6))])
def test_with_messages_lost_doubled_and_out_of_order_on_every_channel_it_ends_right(
    faulty: Faulty, origin: Path, fair: Weather, seed: int
) -> None:
    fair.rng = random.Random(seed)
    fair.drop, fair.double, fair.late = 0.3, 0.3, 0.3
    jobs.deliver(faulty, origin, within_seconds=240)
    assert min(fair.dropped, fair.doubled, fair.delayed) > 0
    assert_nothing_lost(faulty)
