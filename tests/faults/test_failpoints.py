"""Each place that commits or sends x {kill, exception}: it is reached, it happens once, and nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from shared import failpoints
from tests.failpoint_places import ROOT, scan
from tests.faults import jobs
from tests.faults.conftest import Faulty
from tests.nothing_lost import assert_nothing_lost
from tests.waiting import until

GIT = ("read-tree", "write-tree", "commit-tree", "push")
"""git commands by which work leaves a process or a workspace comes about. The others read, or write only for those."""
AT_START = {
    "gateway.own": "gateway",
    "gateway.expire_keys": "gateway",
    "gateway.admitted": "gateway",
    "broker.admission": "broker",
    "daemon.journal.before_compact": "daemon-1",
    "daemon.journal.after_compact": "daemon-1",
}
"""Places that a process passes only when it starts."""


def _gateway(*names: str) -> tuple[str, ...]:
    return tuple(f"gateway.{name}." for name in names)


JOBS = {
    jobs.cancel: ("gateway.cancel.", "executor.cancel."),
    jobs.wait_in_vain: ("executor.put_back.", "broker.commands."),
    jobs.steer: _gateway(
        "add_order", "link_order", "cancel_order", "change", "goal", "policies", "change_step", "settle_step"
    ),
    jobs.converse: (*_gateway("ask", "answer", "tell", "give_up", "drain", "tell_delivery"), "monitor.questions."),
    jobs.approve: _gateway("approve", "reject", "pick_up", "replan"),
    jobs.let_in: _gateway(
        "create_owner", "change_owner", "put_member", "create_token", "used", "revoke_token", "remove_member"
    ),
}
"""Which job passes which places. All others are passed by delivering something, which every case does in the end."""
ELSEWHERE = {
    "gateway.look_now.": "tests/contract/gateway/test_lost_answers.py",
    "gateway.sign_in.": "tests/contract/gateway/test_sessions.py",
    "gateway.sign_out.": "tests/contract/gateway/test_sessions.py",
    "gateway.identify.": "tests/contract/gateway/test_signin.py",
    "gateway.redeem.": "tests/contract/gateway/test_signin.py",
    "gateway.invite.": "tests/contract/gateway/test_daemon_keys.py",
    "gateway.accept_key.": "tests/contract/gateway/test_daemon_keys.py",
    "gateway.revoke_key.": "tests/contract/gateway/test_daemon_keys.py",
    "gateway.join.": "tests/contract/gateway/test_daemon_keys.py",
    "gateway.ready.": "tests/contract/gateway/test_daemon_keys.py",
    "gateway.calls.": "tests/contract/gateway/test_daemon_keys.py",
    "daemon.join.": "tests/acceptance/test_machines.py",
    "daemon.link.": "tests/acceptance/test_machines.py",
    "secret.replace.": "tests/contract/gateway/test_daemon_keys.py",
    "secret.kept.": "tests/unit/test_keys.py",
    "store.": "tests/integration/test_store.py",
    "daemon.large_object.": "tests/integration/test_large_tasks.py",
    "daemon.pull_request.before_create": "tests/acceptance/test_delivery.py",
    "daemon.pull_request.after_create": "tests/acceptance/test_delivery.py",
    "daemon.pull_request.gitlab.": "tests/integration/test_other_forges.py",
    "daemon.pull_request.http.": "tests/integration/test_other_forges.py",
}
"""Places that no job of a plain cluster passes, and the tests that arm them."""
SAMPLE = 4


def _points() -> list[str]:
    written = [p for p in scan().points if not p.startswith("daemon.git.")]
    written += [f"daemon.git.{verb}.{moment}" for verb in GIT for moment in ("before", "after")]
    return [p for p in written if not p.startswith(tuple(ELSEWHERE))]


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
    for job, places in JOBS.items():
        if point.startswith(places):
            job(faulty, origin)
    jobs.deliver(faulty, origin)
    until(lambda: failpoints.fired(faulty.failpoints, point), "the job came by; the start of a process may take longer")
    assert_nothing_lost(faulty)


def test_every_place_is_passed_by_a_test() -> None:
    for prefix, path in ELSEWHERE.items():
        assert prefix in (ROOT / path).read_text(), f"{path} doesn't arm {prefix}"
    points = scan().points
    named = [*AT_START, *ELSEWHERE, *(place for places in JOBS.values() for place in places)]
    assert [name for name in named if not any(p.startswith(name) for p in points)] == [], "places that are no more"
