"""Failpoints: every place that commits or sends has its own, and an armed one happens once."""

import ast
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared import failpoints
from tests import failpoint_places
from tests.failpoint_places import ROOT, Places, scan

REACH = "from shared.failpoints import hit; hit('executor.spawn', 'before_send'); print('went on')"


def reach(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MAKIMA_FAILPOINTS": str(folder), "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", REACH], env=environment, capture_output=True, text=True, check=False)


def test_every_place_that_commits_or_sends_has_a_failpoint() -> None:
    found = scan()
    assert found.complaints == []
    assert len(found.points) >= 40


@pytest.mark.parametrize(
    "source",
    [
        "async def f(s):\n    await s.send_multipart([])",
        "async def f(c):\n    hit('x', 'before_commit')\n    await c.commit()",
        "async def f(d):\n    async with d.unit_of_work(): pass",
        "async def f(d):\n    async with d.unit_of_work('other.thing'): pass",
    ],
)
def test_a_place_without_one_is_found(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "services" / "planner" / "service.py"
    path.parent.mkdir(parents=True)
    path.write_text(source)
    ast.parse(source)
    monkeypatch.setattr(failpoint_places, "ROOT", tmp_path)
    found = Places()
    failpoint_places._scan(path, found)
    assert found.complaints


def test_an_armed_kill_happens_once(tmp_path: Path) -> None:
    failpoints.arm(tmp_path, "executor.spawn.before_send", "kill")
    assert reach(tmp_path).returncode == -signal.SIGKILL
    assert failpoints.fired(tmp_path, "executor.spawn.before_send")
    assert reach(tmp_path).stdout == "went on\n"


def test_an_armed_exception_is_of_no_known_kind(tmp_path: Path) -> None:
    failpoints.arm(tmp_path, "executor.spawn.before_send", "exception")
    assert "FailpointReached: executor.spawn.before_send" in reach(tmp_path).stderr


def test_unasked_for_nothing_is_looked_at() -> None:
    assert failpoints.hit is failpoints._nothing
