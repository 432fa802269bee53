"""Daemons whose clock is an hour off, or whose messages are of another version: they work like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.failpoint_places import ROOT
from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import assert_nothing_lost, rows
from tests.waiting import until

HOUR = 3600


@contextmanager
def only(faulty: Faulty, module: Sequence[str], **environment: str) -> Iterator[None]:
    """One more daemon, and all the others drained."""
    named = {**faulty.environment, "MAKIMA_DAEMON_NAME": "odd", **environment}
    with (faulty.home / "logs" / "odd.log").open("ab") as log:
        odd = subprocess.Popen([sys.executable, "-m", *module], env=named, stdout=log, stderr=log)
    connected = "SELECT name FROM makima.daemon WHERE connected AND NOT draining"
    try:
        for name in ("daemon-1", "daemon-2"):
            faulty.makima("daemon", "drain", name)
        until(lambda: [r["name"] for r in rows(faulty, connected)] == ["odd"], "it alone takes work")
        yield
    finally:
        for name in ("daemon-1", "daemon-2"):
            faulty.makima("daemon", "drain", name, "--off")
        odd.terminate()
        odd.wait(60)
        until(lambda: {r["name"] for r in rows(faulty, connected)} == {"daemon-1", "daemon-2"}, "the others are back")


def works(faulty: Faulty, origin: Path) -> None:
    """A job is delivered without one lost attempt."""
    jobs.deliver(faulty, origin)
    (latest,) = rows(faulty, "SELECT id FROM makima.directive ORDER BY created_at DESC LIMIT 1")
    attempts = "SELECT t.directive_id, a.daemon, t.losses FROM makima.attempt a JOIN makima.task t ON t.id = a.task_id"
    mine = [r for r in rows(faulty, attempts) if r["directive_id"] == latest["id"]]
    assert {(r["daemon"], r["losses"]) for r in mine} == {("odd", 0)}
    assert_nothing_lost(faulty)


@pytest.mark.parametrize("seconds", [HOUR, pytest.param(-HOUR, marks=pytest.mark.long)])
def test_a_daemon_with_its_clock_an_hour_off_loses_nothing(faulty: Faulty, origin: Path, seconds: int) -> None:
    path = os.pathsep.join((str(ROOT / "tests" / "faults" / "clock"), str(ROOT)))
    with only(faulty, ["services.daemon"], PYTHONPATH=path, CLOCK_OFF_SECONDS=str(seconds)):
        works(faulty, origin)


@pytest.mark.parametrize("version", ["ahead", pytest.param("behind", marks=pytest.mark.long)])
def test_a_daemon_of_another_version_works(faulty: Faulty, origin: Path, version: str) -> None:
    with only(faulty, ["tests.faults.other_version", version]):
        works(faulty, origin)
