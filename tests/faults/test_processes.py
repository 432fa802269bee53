"""Processes that die, freeze, come back and speak nonsense, in the middle of work; and nothing is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import zmq

from shared.bus.keys import introduce
from shared.config import load
from shared.messages.channels import ADMITTED
from shared.messages.commands import SpawnTask
from shared.messages.frames import COMMANDS, REPORTS, header
from shared.messages.reports import Heartbeat, Hello
from tests.faults import jobs
from tests.faults.conftest import Faulty, second_instances
from tests.faults.fans import await_running, begin, completed
from tests.nothing_lost import assert_nothing_lost, rows
from tests.waiting import until

SERVICES = ("planner", "executor", "monitor", "completer", "broker", "gateway", "daemon-1", "postgres")


@pytest.mark.parametrize("seed", [1, *(pytest.param(s, marks=pytest.mark.long) for s in range(2, 21))])
def test_services_killed_at_random_moments(faulty: Faulty, origin: Path, seed: int) -> None:
    rng = random.Random(seed)
    steps = 12 if seed == 1 else 100
    directive = begin(faulty, origin, steps, "true")
    for _ in range(4):
        time.sleep(rng.uniform(0, 0.8))  # the moment is what the seed draws
        faulty.kill(rng.choice(SERVICES))
    completed(faulty, directive)
    assert_nothing_lost(faulty)


def test_a_broker_that_dies_stops_no_task(faulty: Faulty, origin: Path) -> None:
    directive = begin(faulty, origin, 8, "sleep 3")
    await_running(faulty, 8)
    faulty.kill("broker")
    completed(faulty, directive)
    attempts = rows(
        faulty,
        "SELECT t.directive_id, a.number, a.outcome, a.reason"
        "  FROM makima.attempt a JOIN makima.task t ON t.id = a.task_id WHERE t.kind = 'step'",
    )
    mine = [a for a in attempts if str(a["directive_id"]) == directive]
    assert {(a["number"], a["outcome"], a["reason"]) for a in mine} == {(1, "succeeded", None)}
    assert_nothing_lost(faulty)


@pytest.mark.long
def test_postgres_stopped_at_once_again_and_again(faulty: Faulty, origin: Path) -> None:
    directive = begin(faulty, origin, 10, "sleep 0.5")
    for _ in range(5):
        before = faulty.kill("postgres", signal.SIGQUIT)
        jobs.await_row(lambda: [{"pid": faulty.process("postgres")}], lambda row: row["pid"] != before)  # noqa: B023
    completed(faulty, directive)
    assert_nothing_lost(faulty)


@pytest.mark.long
def test_a_cluster_that_is_ended_in_mid_work_carries_on_where_it_was(faulty: Faulty, origin: Path) -> None:
    directive = begin(faulty, origin, 6, "sleep 1")
    await_running(faulty, 3)
    faulty.makima("down")
    faulty.makima("up", "--detach", "--daemons", "2")
    completed(faulty, directive)
    assert_nothing_lost(faulty)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 4))
def test_interrupted_twice_at_any_moment_nothing_is_left_running(faulty: Faulty, origin: Path, seed: int) -> None:
    directive = begin(faulty, origin, 6, "sleep 1")
    time.sleep(random.Random(seed).uniform(0, 2))  # the moment is what the seed draws
    state = faulty.state()
    for _ in range(2):
        os.kill(state["pid"], signal.SIGINT)
    mark = f"MAKIMA_HOME={faulty.home}".encode()
    until(lambda: not [p for p in (state["pid"], *state["processes"].values()) if psutil.pid_exists(p)], "all are gone")
    until(lambda: not _with(mark), "no agent and no helper is left")
    faulty.makima("up", "--detach", "--daemons", "2")
    completed(faulty, directive)
    assert_nothing_lost(faulty)


def _with(mark: bytes) -> list[str]:
    """The processes that have a variable in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(entry.name)
    return found


def test_up_recovers_what_a_killed_supervisor_left(faulty: Faulty, origin: Path) -> None:
    directive = begin(faulty, origin, 6, "sleep 1")
    await_running(faulty, 3)
    state = json.loads((faulty.home / "run" / "cluster.json").read_text())
    os.kill(state["pid"], signal.SIGKILL)
    jobs.persist(faulty, "up", "--detach", "--daemons", "2")
    completed(faulty, directive)
    assert_nothing_lost(faulty)


@pytest.mark.long
def test_rolling_restarts_under_load(faulty: Faulty, origin: Path) -> None:
    with second_instances(faulty):
        directives = [begin(faulty, origin, 6, "true") for _ in range(3)]
        for name in ("planner", "executor", "monitor", "completer", "gateway", "broker"):
            before = faulty.kill(name, signal.SIGTERM)
            jobs.await_row(lambda: [{"pid": faulty.process(name)}], lambda row: row["pid"] != before)  # noqa: B023
        for directive in directives:
            completed(faulty, directive)
    assert_nothing_lost(faulty)


@pytest.mark.parametrize("number", [2_000, pytest.param(100_000, marks=pytest.mark.long)])
def test_nonsense_on_every_socket_ends_no_process(faulty: Faulty, origin: Path, number: int) -> None:
    before = json.loads((faulty.home / "run" / "cluster.json").read_text())["processes"]
    _speak_nonsense(faulty, random.Random(17), number)
    jobs.deliver(faulty, origin)
    assert json.loads((faulty.home / "run" / "cluster.json").read_text())["processes"] == before
    assert_nothing_lost(faulty)


def _speak_nonsense(faulty: Faulty, rng: random.Random, number: int) -> None:
    settings = load(faulty.environment)
    spawn = SpawnTask(task=jobs.NOBODY, attempt=1, owner="default", directive=jobs.NOBODY, kind="step", name="x")
    real = {
        "commands": [b"commands", header("fuzz"), COMMANDS.encode([spawn])],
        "daemons": [
            b"reports",
            header("fuzz"),
            REPORTS.encode([Hello(daemon="fuzz", owner="nobody", capacity=0), Heartbeat(daemon="fuzz")]),
        ],
        "reports": [b"acks", header("fuzz"), b"fuzz", b"\x90"],
        "events-in": [b"step.ready/", header("fuzz"), b"\x80"],
    }
    context = zmq.Context()
    sockets = {}
    for endpoint in real:
        socket = sockets[endpoint] = context.socket(zmq.PUB if endpoint == "events-in" else zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 1000)
        introduce(socket, settings, min(ADMITTED[endpoint]))
        socket.connect(settings.socket(endpoint))
    for _ in range(number):
        endpoint = rng.choice(list(real))
        parts = list(real[endpoint])
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(parts))
            parts[at] = _mutated(rng, parts[at])
        if rng.random() < 0.2:
            parts = parts[: rng.randrange(len(parts))] or [b""]
        sockets[endpoint].send_multipart(parts)
    for socket in sockets.values():
        socket.close()
    context.term()


def _mutated(rng: random.Random, part: bytes) -> bytes:
    if rng.random() < 0.1:
        return b"\x91" * 5000 + b"\xc0"  # deeper than a stack
    if not part or rng.random() < 0.3:
        return rng.randbytes(rng.randrange(64))
    at = rng.randrange(len(part))
    return part[:at] + rng.randbytes(rng.randrange(1, 5)) + part[at + rng.randrange(3) :]
