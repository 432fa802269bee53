"""Failures answered within limits, budgets, orders, warnings on plans: the rules by themselves."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.budgets import Limits, Spent, exceeded
from shared.domain.ids import uuid7
from shared.domain.plans import PlannedStep, resolve
from shared.domain.policies import (
    REPLANS_A_GOAL,
    REPLANS_IN_A_ROW,
    OnFailure,
    Rounds,
    after_cancel,
    after_failure,
    nothing_can_run,
    planned_something,
)
from shared.domain.review import review

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=200))
def test_nothing_re_plans_for_ever(worst: list[tuple[int, bool]]) -> None:
    """Whatever completes or fails, and whether plannings add or keep anything: under one goal it comes to an end."""
    in_a_row = plannings = 0
    for completed, plans_something in [*worst, *[(1, True)] * (REPLANS_A_GOAL + 1)]:
        in_a_row = 0 if completed else in_a_row
        rounds = Rounds(in_a_row=in_a_row, under_this_goal=plannings)
        if after_failure(OnFailure.REPLAN, "Break", "no", rounds).action is OnFailure.PAUSE:
            break
        plannings, in_a_row = plannings + 1, in_a_row + 1
        if not planned_something(int(plans_something), 0):
            break  # tried again up to the task's attempts, then paused
    else:
        raise AssertionError("it would re-plan for ever")
    assert plannings <= REPLANS_A_GOAL


def test_each_policy_answers_a_failure_in_its_way() -> None:
    fresh = Rounds()
    assert [after_failure(p, "A", "no", fresh).action for p in OnFailure] == list(OnFailure)
    assert (fresh.has_goal, fresh.in_a_row, fresh.under_this_goal) == (True, 0, 0)
    limit = after_failure(OnFailure.REPLAN, "A", "no", Rounds(in_a_row=REPLANS_IN_A_ROW))
    assert limit.action is OnFailure.PAUSE
    assert limit.reason == "step 'A' failed: no; re-planned 2 times without a step completed in between"
    under_this_goal = [after_failure(OnFailure.REPLAN, "A", "no", Rounds(under_this_goal=n)).action for n in (9, 10)]
    assert under_this_goal == [OnFailure.REPLAN, OnFailure.PAUSE]


@pytest.mark.parametrize(("added", "kept", "counts"), [(0, 0, False), (1, 0, True), (0, 1, True), (3, 2, True)])
def test_a_planning_counts_that_added_or_kept_a_single_step(added: int, kept: int, counts: bool) -> None:
    assert planned_something(added, kept) is counts


def test_a_dead_end_names_the_step_that_it_waits_for_if_there_is_one() -> None:
    assert nothing_can_run("Say 'no'") == "nothing can run: the rest waits for step \"Say 'no'\", which failed"
    assert nothing_can_run(None) == "there is no step that can run"


@pytest.mark.parametrize("policy", OnFailure)
def test_a_persons_cancel_asks_for_no_new_plan(policy: OnFailure) -> None:
    response = after_cancel(policy, "A", "cancelled by a person")
    assert response.action is (OnFailure.CONTINUE if policy is OnFailure.CONTINUE else OnFailure.PAUSE)


@pytest.mark.parametrize(
    ("spent", "limits", "reason"),
    [
        (Spent(), Limits(), None),
        (Spent(cost_usd=Decimal("0.99")), Limits(max_cost_usd=Decimal(1)), None),
        (Spent(cost_usd=Decimal(1)), Limits(max_cost_usd=Decimal(1)), "the budget is spent: $1.00 of $1.00"),
        (Spent(), Limits(max_tokens=0), "the budget is spent: 0 of 0 tokens"),
        (Spent(), Limits(max_tokens=1), None),
        (Spent(tokens=11), Limits(max_tokens=10), "the budget is spent: 11 of 10 tokens"),
        (Spent(), Limits(deadline=NOW), "the deadline has passed: 2026-01-01 12:00 UTC"),
        (Spent(), Limits(deadline=NOW.replace(hour=13)), None),
    ],
)
def test_a_limit_is_reached_or_not(spent: Spent, limits: Limits, reason: str | None) -> None:
    assert exceeded(spent, limits, NOW) == reason


def reviewed(*plan: PlannedStep) -> list[str]:
    ids = [uuid7(n, bytes(10)) for n in range(len(plan))]
    return review(plan, ids, resolve(plan, {}, ids))


def test_steps_that_may_run_at_once_are_warned_of_the_files_they_share() -> None:
    one, two = PlannedStep(name="One", files=("src/a.py",)), PlannedStep(name="Two", files=("src/*.py",))
    expected = "'One' and 'Two' may run at once and both name 'src/a.py': let one depend on the other"
    assert reviewed(one, two) == [expected]
    chained = PlannedStep(name="Two", files=("src/*.py",), depends_on=("Mid",))
    assert reviewed(one, PlannedStep(name="Mid", depends_on=("One",)), chained) == []
    assert reviewed(one, PlannedStep(name="Two", files=("src/a.py",), order_index=1)) == []


def test_a_task_plan_that_refers_to_what_it_does_not_carry_is_warned_of() -> None:
    (warning,) = reviewed(PlannedStep(name="One", task_plan="Do it as described above."))
    assert warning.startswith("the task plan of 'One' says 'as described above'")


def test_a_file_that_is_needed_without_its_maker_is_warned_of() -> None:
    maker = PlannedStep(name="Make", files=("src/types.py",))
    needs = PlannedStep(name="Use", task_plan="Import what src/types.py has.")
    assert reviewed(maker, needs) == ["'Use' refers to 'src/types.py', which 'Make' works on, but doesn't depend on it"]
    after = PlannedStep(name="Use", task_plan=needs.task_plan, depends_on=("Make",))
    assert reviewed(maker, after) == []


def test_five_thousand_steps_are_reviewed_with_few_words() -> None:
    plan = [
        PlannedStep(name=f"S{n}", files=(f"src/{n % 50}.py", "src/*.py"), depends_on=(f"S{n - 1}",) if n % 10 else ())
        for n in range(5000)
    ]
    began = time.process_time()
    assert len(reviewed(*plan)) == 21
    assert time.process_time() - began < 30, "it would hold up whoever plans"
