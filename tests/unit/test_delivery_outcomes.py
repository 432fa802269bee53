"""What follows from what came of a delivery."""

from __future__ import annotations

from uuid import UUID

import msgspec
import pytest

from shared.domain.delivery import Broken, Conflicted, Delivered, Delivery, Nothing, Seen
from shared.domain.delivery_outcomes import (
    LONGEST_POLL_SECONDS,
    NothingLeft,
    Settled,
    Situation,
    closed_reason,
    conclusion,
    next_look,
    settle,
)
from shared.domain.ids import new_id
from shared.domain.statuses import DirectiveStatus

DELIVER = Delivery(action="deliver", title="t")
A, B, C = new_id(), new_id(), new_id()
URL = "https://github.com/acme/shop/pull/1"


def at(**more: object) -> Situation:
    values = {"order": DELIVER, "status": DirectiveStatus.IDLE, "names": {A: "one", B: "two", C: "three"}, **more}
    return Situation(**values)  # type: ignore[arg-type]


def test_a_delivery_with_a_pull_request_waits_for_it() -> None:
    settled = settle(Delivered(branch="b", head="h", pr_url=URL, notes=("said so",)), at(forge_expected=True))
    assert settled.status is None and settled.state == "open" and settled.look_in == 60.0 and settled.delivered
    assert settled.reason == f"delivered: {URL}; said so"
    assert settle(Delivered(branch="b", head="h", pr_url=URL), at(watched=False)).look_in is None


def test_without_a_forge_the_branch_is_the_delivery() -> None:
    settled = settle(Delivered(branch="b", head="h"), at())
    assert settled.status is DirectiveStatus.COMPLETED and settled.delivered and settled.reason == "delivered on b"


def test_a_forge_without_a_pull_request_is_verified_and_that_ends_it_either_way() -> None:
    settled = settle(Delivered(branch="b", head="h"), at(forge_expected=True))
    assert settled.status is None and settled.delivered and not settled.verified
    verify = at(order=Delivery(action="verify", title="t"), forge_expected=True)
    nothing = settle(Nothing(reason="gone"), verify)
    assert nothing.status is DirectiveStatus.COMPLETED and nothing.verified and "gone" in (nothing.reason or "")
    assert settle(Delivered(branch="b", head="", pr_url=URL), verify).verified


def test_a_delivery_that_changes_nothing_says_so_and_completes() -> None:
    settled = settle(Nothing(reason="nothing changed: main is as it was"), at(forge_expected=True))
    assert settled.status is DirectiveStatus.COMPLETED and settled.delivered and settled.verified
    assert settled.branch is None and settled.reason == "nothing changed: main is as it was"


@pytest.mark.parametrize(
    ("action", "result"),
    [
        ("verify", Nothing(reason="neither is there", missing=(A, B))),
        ("watch", Seen(state="merged", missing=(A, B))),
    ],
)
def test_work_that_is_nowhere_pauses_with_what_to_do_and_is_delivered_again(
    action: str, result: Nothing | Seen
) -> None:
    settled = settle(result, at(order=Delivery(action=action, title="t"), pr_url=URL))  # type: ignore[arg-type]
    assert settled.status is DirectiveStatus.PAUSED and settled.undelivered == (A, B)
    assert "resume it" in (settled.reason or "") and "directive update --status completed" in (settled.reason or "")
    assert settled.state == ("merged" if action == "watch" else None)


def test_a_pull_request_of_another_branch_is_forgotten_and_completes_nothing() -> None:
    watch = at(order=Delivery(action="watch", title="t"), pr_url=URL)
    settled = settle(Nothing(reason=f"{URL} is one of x", not_ours=True), watch)
    assert settled.forgotten and settled.status is None and "is one of x" in (settled.reason or "")


def test_a_conflict_goes_to_an_agent_that_can_judge_and_else_pauses_with_the_commands() -> None:
    conflict = Conflicted(branch="x", into="y", files=("a",), by_hand=("git fetch", "git merge x"))
    assert settle(conflict, at()) == Settled(resolve=conflict)
    paused = settle(conflict, at(can_judge=False))
    assert paused.status is DirectiveStatus.PAUSED
    assert paused.reason == "the delivery conflicts: x with y in a; by hand: git fetch; git merge x"


def broken(*steps: UUID) -> Broken:
    return Broken(steps=steps, command="just check", output="no")


def test_what_breaks_the_check_is_fixed_up_to_the_limit_then_left_out_or_paused() -> None:
    first = settle(broken(A, B), at())
    assert first.status is DirectiveStatus.ACTIVE and first.fix == broken(A, B)
    paused = settle(broken(A, B), at(fixes=2))
    assert paused.status is DirectiveStatus.PAUSED and "'one' and 'two' break the check `just check`" in paused.reason
    assert "2 fixes did not help" in paused.reason
    without = settle(broken(A, B), at(fixes=2, on_failure="continue", dependents={B: [C]}))
    assert without.leave_out == (B, C) and without.status is None and "without 'two' and 'three'" in without.reason
    assert settle(broken(A), at(can_judge=False)).status is DirectiveStatus.PAUSED


def test_what_depends_on_what_is_left_out_is_left_out_too_however_far_away() -> None:
    far = new_id()
    dependents = {A: [B, C], B: [C], C: [far], far: []}
    without = settle(broken(A), at(fixes=2, on_failure="continue", dependents=dependents))
    assert without.leave_out[0] == A
    assert sorted(without.leave_out) == sorted((A, B, C, far))


def test_a_base_that_fails_its_check_pauses_at_once() -> None:
    assert "fails on the base branch by itself" in str(settle(broken(), at(on_failure="continue")).reason)


@pytest.mark.parametrize(
    ("state", "status"), [("merged", DirectiveStatus.COMPLETED), ("closed", DirectiveStatus.PAUSED)]
)
def test_a_pull_request_that_is_over_ends_the_watch(state: str, status: DirectiveStatus) -> None:
    settled = settle(Seen(state=state, removed=("x",)), at(pr_url=URL))  # type: ignore[arg-type]
    assert settled.status is status and settled.look_in is None and settled.removed == ("x",)
    assert URL in str(settled.reason)


def test_looks_come_less_and_less_often_until_something_changes() -> None:
    waits = [next_look(60.0, looks) for looks in range(8)]
    assert waits[:3] == [60.0, 120.0, 240.0] and max(waits) == LONGEST_POLL_SECONDS
    same = settle(Seen(state="open", etag="e"), at(etag="e", looks=2))
    assert same.looks == 3 and same.look_in == next_look(60.0, 3)
    assert settle(Seen(state="open", etag="f"), at(etag="e", looks=2)).looks == 0


def test_a_pull_request_that_can_not_be_watched_stays_delivered() -> None:
    watch = at(order=msgspec.structs.replace(DELIVER, action="watch"))
    settled = settle(Nothing(reason="no account"), watch)
    assert settled.status is None and settled.look_in is None and "no account" in str(settled.reason)


@pytest.mark.parametrize(
    ("left", "status", "words"),
    [
        (NothingLeft(has_repository=False), DirectiveStatus.COMPLETED, "no repository"),
        (NothingLeft(pr_url=URL, pr_state="merged", delivered=True), DirectiveStatus.COMPLETED, f"{URL} was merged"),
        (NothingLeft(pr_url=URL, pr_state="closed", delivered=True), DirectiveStatus.PAUSED, closed_reason(URL)),
        (NothingLeft(delivered=True, left_out=True), DirectiveStatus.COMPLETED, "nothing new"),
        (NothingLeft(left_out=True), DirectiveStatus.PAUSED, "breaks the check"),
        (NothingLeft(), DirectiveStatus.PAUSED, "no step completed"),
    ],
)
def test_where_nothing_is_left_to_deliver_it_is_completed_or_a_person_has_to_say(
    left: NothingLeft, status: DirectiveStatus, words: str
) -> None:
    became, reason = conclusion(left)
    assert became is status and words in reason
