"""Health tells the truth: a part that stands still is named, with since when, by /readyz, status and why."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import assert_nothing_lost
from tests.waiting import until


@contextmanager
def frozen(faulty: Faulty, name: str) -> Iterator[None]:
    """One of its processes stands still."""
    process = faulty.process(name)
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@pytest.fixture
def held(faulty: Faulty, origin: Path) -> Iterator[str]:
    """A directive that waits for a person."""
    directive = jobs.create(
        faulty, "--repo", str(origin), "--plan", jobs.plan(origin, "exit 1"), "--on-failure", "pause"
    )
    jobs.await_status(faulty, directive, "paused")
    yield directive
    faulty.makima("directive", "archive", directive)
    assert_nothing_lost(faulty)


@pytest.mark.parametrize("name", ["executor", pytest.param("daemon-1", marks=pytest.mark.long)])
def test_a_process_that_stands_still_is_named_everywhere(faulty: Faulty, held: str, name: str) -> None:
    with frozen(faulty, name):
        until(lambda: name in faulty.state()["broken"], f"{name} is missed")
        status = json.loads(faulty.run("status", "-o", "json").stdout)
        assert f"{name} (it doesn't answer)" in status["trouble"]
        assert f"{name}: it doesn't answer, for " in faulty.makima("why", held)
        ready = httpx.get(f"http://127.0.0.1:{faulty.environment['MAKIMA_PORT']}/readyz", timeout=30).json()
        assert ready["status"] == "degraded"
        assert ready["processes"][name].startswith("it doesn't answer, for ")
    until(lambda: faulty.run("status").returncode == 0, "all is well again")


@pytest.mark.long
def test_a_broker_that_stands_still_makes_the_gateway_unready(faulty: Faulty, held: str) -> None:
    with frozen(faulty, "broker"):
        until(lambda: "broker" in faulty.state()["broken"], "the broker is missed")
        answer = httpx.get(f"http://127.0.0.1:{faulty.environment['MAKIMA_PORT']}/readyz", timeout=30)
        assert answer.status_code == 503
        assert "the broker doesn't answer within 2 s" in answer.json()["detail"]
        assert "broker: it doesn't answer, for " in faulty.makima("why", held)
    until(lambda: faulty.run("status").returncode == 0, "all is well again")


@pytest.mark.long
def test_a_gateway_that_stands_still_is_named_by_status(faulty: Faulty) -> None:
    with frozen(faulty, "gateway"):
        until(lambda: "gateway" in faulty.state()["broken"], "the gateway is missed")
        assert "gateway (it doesn't answer)" in faulty.run("status").stdout
    until(lambda: faulty.run("status").returncode == 0, "all is well again")


def test_asking_whether_it_is_ready_counts_as_no_intruder(faulty: Faulty) -> None:
    address = f"http://127.0.0.1:{faulty.environment['MAKIMA_PORT']}"
    before = refused(address, faulty)
    for _ in range(3):
        assert httpx.get(f"{address}/readyz", timeout=30).json()["broker"] == "ok"
    assert refused(address, faulty) == before


def refused(address: str, faulty: Faulty) -> float:
    """The connections that the broker refused so far."""
    token = (faulty.home / "token").read_text().strip()
    told = httpx.get(f"{address}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=30).text
    return sum(
        float(line.split()[-1]) for line in told.splitlines() if line.startswith("makima_connections_refused_total")
    )
