"""Each place that commits or sends x {kill, exception}: it is reached, it happens once, and nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from shared import failpoints
from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import assert_nothing_lost
from tests.places import scan

GIT = ("commit", "push", "worktree")
"""git commands by which work leaves a process or a workspace comes about. The others read, or write only for those."""
AT_START = {
    "gateway.own": "gateway",
    "daemon.journal.before_compact": "daemon-1",
    "daemon.journal.after_compact": "daemon-1",
}
"""Places that a process passes only when it starts."""
STEERING = tuple(
    f"gateway.{n}." for n in ("add_order", "link_order", "cancel_order", "change", "goal", "policies", "settle_step")
)
"""Places that a person passes who changes a draft."""
ELSEWHERE = (
    "store.",
    "daemon.pull_request.",
    *(f"gateway.{n}." for n in ("answer", "approve", "ask", "drain", "give_up", "pick_up", "reject", "replan")),
    *(f"gateway.{n}." for n in ("tell", "tell_delivery")),
    "monitor.questions.",
)
"""Places that none of the jobs passes: questions, approval, draining, pull requests, migrations."""
SAMPLE = 6


def _points() -> list[str]:
    written = [p for p in scan().points if not p.startswith("daemon.git.") or p.split(".")[2] in GIT]
    return [p for p in written if not p.startswith(ELSEWHERE)]


def _matrix() -> list[object]:
    cases = [(point, action) for point in _points() for action in ("kill", "exception")]
    sample = set(random.Random(7).sample(cases, SAMPLE))
    return [pytest.param(*case, marks=() if case in sample else pytest.mark.long) for case in cases]


@pytest.mark.parametrize(("point", "action"), _matrix())
def test_nothing_is_lost_at(point: str, action: str, faulty: Faulty, origin: Path) -> None:
    failpoints.arm(faulty.failpoints, point, action)
    place = point.rpartition(".")[0]
    if starting := AT_START.get(place) or AT_START.get(point):
        faulty.kill(starting)
    if place.endswith(".cancel"):
        jobs.cancel(faulty, origin)
    elif place == "executor.put_back":
        jobs.wait_in_vain(faulty, origin)
    elif point.startswith(STEERING):
        jobs.steer(faulty, origin)
    jobs.deliver(faulty, origin)
    assert failpoints.fired(faulty.failpoints, point), "the job never came by"
    assert_nothing_lost(faulty)
