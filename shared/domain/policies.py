"""What a directive does when a step has finally failed or a planning ended (rules 4, 5 and 10). Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

REPLANS_IN_A_ROW = 2
"""Re-plannings for failures without a step completed in between; then the directive is paused."""
REPLANS_A_GOAL = 10
"""Re-plannings for failures under one goal, whatever completed in between: nothing re-plans for ever."""
PLANNED_NOTHING = "planned nothing: no step was added, and none is left to run"


class OnFailure(StrEnum):
    """A directive's policy."""

    REPLAN = "replan"
    PAUSE = "pause"
    CONTINUE = "continue"


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """Re-plannings for failures so far: since a step last completed, and since the goal was last set. A directive that
    was given a plan may have no goal."""

    has_goal: bool = True
    in_a_row: int = 0
    under_this_goal: int = 0


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a failed step; the reason, in words, is for whoever reads the row."""

    action: OnFailure
    reason: str


def after_failure(policy: OnFailure, step: str, why: str, rounds: Rounds) -> Response:
    """What follows when a step has finally failed: another planning within the limits, a pause, or its dependents'
    skipping."""
    failed = f"step {step!r} failed: {why}"
    if policy is not OnFailure.REPLAN:
        return Response(action=policy, reason=failed)
    if not rounds.has_goal:
        return Response(action=OnFailure.PAUSE, reason=f"{failed}; there is no goal to plan again from")
    if rounds.in_a_row >= REPLANS_IN_A_ROW:
        limit = f"re-planned {rounds.in_a_row} times without a step completed in between"
        return Response(action=OnFailure.PAUSE, reason=f"{failed}; {limit}")
    if rounds.under_this_goal >= REPLANS_A_GOAL:
        return Response(action=OnFailure.PAUSE, reason=f"{failed}; re-planned {rounds.under_this_goal} times already")
    return Response(action=OnFailure.REPLAN, reason=failed)


def after_cancel(policy: OnFailure, step: str, why: str) -> Response:
    """What follows when a person cancelled a step's task: a person's word asks for no new plan."""
    action = OnFailure.CONTINUE if policy is OnFailure.CONTINUE else OnFailure.PAUSE
    return Response(action=action, reason=f"step {step!r} was cancelled: {why}")


def needs_failed(step: str) -> str:
    """Why a step is skipped that depends on one that failed, however far (`continue`)."""
    return f"depends on {step}, which failed"


def nothing_can_run(failed: str | None) -> str:
    """Why a directive is paused in which nothing can run: for a step that failed, or (None) for want of any."""
    if failed is None:
        return "there is no step that can run"
    return f"nothing can run: the rest waits for step {failed!r}, which failed"


def planned_something(added: int, kept: int) -> bool:
    """Whether a planning counts that ended well: it added steps, or kept some that are still to run."""
    return added + kept > 0
