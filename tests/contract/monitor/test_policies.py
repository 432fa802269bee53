"""The monitor's policies: plans in force or withdrawn, failures answered, questions, orders, budgets, dead ends."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from shared.domain.delivery import Commit
from shared.messages.events import (
    DirectiveChanged,
    OrderChanged,
    PlanFinished,
    PlanRequested,
    QuestionAnswered,
    QuestionAsked,
    StepReady,
    TaskChanged,
)
from shared.messages.reports import Report, TaskFailed, TaskInterrupted, TaskSucceeded, TaskUsage
from tests.contract.service_harness import ServiceHarness

SERVICE = "monitor"


def heard(stage: ServiceHarness, report: Report) -> None:
    """The monitor has taken a report in, and all that follows from it."""
    stage.report(report)
    stage.await_acknowledged(report.seq)


def planning(stage: ServiceHarness, directive: UUID, **columns: object) -> UUID:
    """A planning task that runs."""
    values = {"status": "running", "daemon": "d1", "lease_until": "infinity", **columns}
    return stage.rows.task(directive, "plan", **values)


def well(task: UUID, **more: object) -> TaskSucceeded:
    return TaskSucceeded(seq=1, task=task, attempt=1, **more)  # type: ignore[arg-type]


def badly(task: UUID) -> TaskFailed:
    return TaskFailed(seq=1, task=task, attempt=1, reason="exit code 3", tail="trouble", permanent=True)


def status(stage: ServiceHarness, directive: UUID) -> tuple[str, str | None]:
    row = stage.rows.one("directive", directive)
    return row["status"], row["pause_reason"]


def test_a_plan_that_ended_well_comes_into_force_whole(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    plan = planning(stage, directive)
    gone = stage.rows.step(directive, "Gone", removed_by=plan)
    first = stage.rows.step(directive, "First", held_by=plan)
    second = stage.rows.step(directive, "Second", held_by=plan, depends_on=[first])
    heard(stage, well(plan))
    assert stage.await_event(PlanFinished, directive=directive).steps == 2
    assert stage.await_event(StepReady, directive=directive).steps == (first,)
    steps = {s["id"]: (s["status"], s["held_by"]) for s in stage.rows.all("step", directive_id=directive)}
    assert steps == {first: ("ready", None), second: ("pending", None)}
    assert gone not in steps
    assert stage.rows.one("directive", directive)["generation"] == 1


def test_a_plan_that_failed_is_withdrawn_whole_and_its_requests_put_back(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    plan = planning(stage, directive)
    request = stage.rows.plan_request(directive, served_by=plan)
    stays = stage.rows.step(directive, "Stays", removed_by=plan)
    stage.rows.step(directive, "Half", held_by=plan)
    heard(stage, badly(plan))
    assert stage.await_event(DirectiveChanged, directive=directive).reason == "planning failed: exit code 3"
    assert [(s["id"], s["removed_by"]) for s in stage.rows.all("step", directive_id=directive)] == [(stays, None)]
    assert stage.rows.one("plan_request", request)["served_by"] is None
    assert stage.rows.one("directive", directive)["paused_for"] == "planning"


@pytest.mark.parametrize("report", ["ended well", "was cancelled"])
def test_a_superseded_planning_never_comes_into_force_and_pauses_nothing(stage: ServiceHarness, report: str) -> None:
    directive = stage.rows.directive()
    plan = planning(stage, directive, cancel_asked="the goal changed", cancel_cause="superseded")
    request = stage.rows.plan_request(directive, served_by=plan)
    stage.rows.step(directive, "Old", held_by=plan)
    interrupted = TaskInterrupted(seq=1, task=plan, attempt=1, reason="the goal changed", cancelled=True)
    heard(stage, well(plan) if report == "ended well" else interrupted)
    assert stage.rows.one("task", plan)["status"] == "cancelled"
    assert stage.rows.all("step", directive_id=directive) == []
    assert stage.rows.one("plan_request", request)["served_by"] is None
    assert status(stage, directive) == ("active", None)


def test_a_plan_that_is_to_be_approved_stays_held(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(approve_plan=True)
    plan = planning(stage, directive)
    step = stage.rows.step(directive, held_by=plan)
    heard(stage, well(plan))
    assert stage.await_event(DirectiveChanged, directive=directive).status == "awaiting_approval"
    assert stage.rows.one("directive", directive)["awaited_plan"] == plan
    assert stage.rows.one("step", step)["held_by"] == plan


def test_work_that_a_step_found_waits_for_approval_once_all_else_is_done(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(approve_plan=True)
    _, task = stage.rows.running_step(directive, "Finds")
    found = stage.rows.step(directive, "Found", held_by=task, added_by=task)
    heard(stage, well(task, branch="makima/finds", head="0" * 40))
    waiting = stage.await_event(DirectiveChanged, directive=directive)
    assert (waiting.status, waiting.reason) == ("awaiting_approval", "work that its steps found")
    assert stage.rows.one("step", found)["status"] == "pending", "nothing of it has begun"


def test_a_plan_that_kept_what_is_still_to_run_counts_and_one_of_nothing_does_not(stage: ServiceHarness) -> None:
    keeping, nothing = stage.rows.directive(), stage.rows.directive()
    stage.rows.running_step(keeping)
    kept, empty = planning(stage, keeping), planning(stage, nothing)
    heard(stage, well(kept))
    assert stage.rows.one("task", kept)["status"] == "completed"
    stage.report(TaskSucceeded(seq=2, task=empty, attempt=1))
    stage.await_acknowledged(2)
    row = stage.rows.one("task", empty)
    assert (row["status"], row["attempt"]) == ("pending", 2)
    assert row["reason"].startswith("planned nothing")


def test_a_failed_step_asks_for_a_new_plan_told_what_failed(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(on_failure="replan")
    step, task = stage.rows.running_step(directive, "Break")
    heard(stage, badly(task))
    stage.await_event(PlanRequested, directive=directive, reason="failure")
    (request,) = stage.rows.all("plan_request", directive_id=directive)
    assert request["payload"] == {"step": str(step), "name": "Break", "reason": "exit code 3", "tail": "trouble"}
    assert status(stage, directive) == ("active", None)


@pytest.mark.parametrize("reason", ["failure", "goal"])
def test_a_step_that_fails_while_a_failure_is_planned_for_shares_one_planning_with_it(
    stage: ServiceHarness, reason: str
) -> None:
    directive = stage.rows.directive(on_failure="replan")
    earlier = stage.rows.task(directive, "plan", status="completed")
    stage.rows.plan_request(directive, "failure", served_by=earlier)
    plan = planning(stage, directive, lease_until="2100-01-01")
    first = stage.rows.plan_request(directive, reason, served_by=plan)
    _, task = stage.rows.running_step(directive, "Break too")
    heard(stage, badly(task))
    stage.await_event(PlanRequested, directive=directive, reason="failure")
    asked = stage.rows.one("task", plan)
    if reason == "goal":
        assert asked["cancel_asked"] is None, "a plan for a goal is not thrown away"
        return
    assert (asked["cancel_cause"], asked["cancel_asked"]) == (
        "superseded",
        "another step failed meanwhile: one planning serves both",
    )
    heard(stage, TaskInterrupted(seq=2, task=plan, attempt=1, reason="cancelled", cancelled=True))
    requests = stage.rows.all("plan_request", directive_id=directive)
    assert [r["served_by"] for r in requests if r["id"] != first].count(None) == 1
    assert stage.rows.one("plan_request", first)["served_by"] is None and status(stage, directive) == ("active", None)


@pytest.mark.parametrize(("columns", "why"), [({"goal": " "}, "there is no goal to plan again from"), ({}, "2 times")])
def test_what_cannot_be_planned_anew_pauses(stage: ServiceHarness, columns: dict[str, str], why: str) -> None:
    directive = stage.rows.directive(on_failure="replan", **columns)
    for _ in range(2):
        plan = stage.rows.task(directive, "plan", status="completed")
        stage.rows.plan_request(directive, "failure", served_by=plan)
    _, task = stage.rows.running_step(directive, "Break")
    heard(stage, badly(task))
    assert why in (stage.await_event(DirectiveChanged, directive=directive).reason or "")
    assert stage.rows.all("plan_request", served_by=None) == []


def test_a_step_completed_in_between_allows_new_plans_again(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(on_failure="replan")
    for _ in range(2):
        plan = stage.rows.task(directive, "plan", status="completed")
        stage.rows.plan_request(directive, "failure", served_by=plan, created_at="2026-01-01")
    stage.rows.step(directive, "Done", status="completed", completed_at="2026-01-02")
    _, task = stage.rows.running_step(directive, "Break")
    heard(stage, badly(task))
    stage.await_event(PlanRequested, directive=directive, reason="failure")


def test_under_continue_dependents_are_skipped_for_the_failed_step_and_the_rest_goes_on(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(on_failure="continue")
    failed, task = stage.rows.running_step(directive, "Break")
    child = stage.rows.step(directive, "Child", depends_on=[failed])
    grandchild = stage.rows.step(directive, "Grandchild", depends_on=[child], order_index=1)
    other = stage.rows.step(directive, "Other", order_index=1)
    heard(stage, badly(task))
    assert stage.await_event(StepReady, directive=directive).steps == (other,)
    for doomed in (child, grandchild):
        row = stage.rows.one("step", doomed)
        assert (row["status"], row["skipped_for"]) == ("skipped", failed)
        assert row["reason"] == "depends on Break, which failed"


def test_a_dead_end_is_said(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    failed = stage.rows.step(directive, "Break", status="failed")
    stage.rows.step(directive, "After", depends_on=[failed])
    stage.publish(DirectiveChanged(directive=directive, status="active"))
    changed = stage.await_event(DirectiveChanged, directive=directive, status="paused")
    assert changed.reason == "nothing can run: the rest waits for step 'Break', which failed"
    assert stage.rows.one("directive", directive)["paused_for"] == "stuck"


def test_a_stopped_task_failed_nothing_and_its_step_runs_again(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(status="paused", on_failure="replan", pause_reason="paused by a person")
    step, task = stage.rows.running_step(directive)
    stage.rows.change("task", task, cancel_asked="paused by a person", cancel_cause="stopped")
    heard(stage, TaskInterrupted(seq=1, task=task, attempt=1, reason="paused by a person", cancelled=True))
    assert stage.rows.one("task", task)["status"] == "cancelled"
    assert stage.rows.one("step", step)["status"] == "ready"
    assert stage.rows.all("plan_request", directive_id=directive) == []


def test_a_spent_budget_pauses_in_mid_run_and_may_stop_what_runs(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(max_tokens=100, stop_now=True)
    _, task = stage.rows.running_step(directive)
    _, other = stage.rows.running_step(directive, "Other")
    _, elsewhere = stage.rows.running_step(stage.rows.directive(), "Elsewhere")
    heard(stage, TaskUsage(seq=1, task=task, attempt=1, tokens=60))
    assert status(stage, directive) == ("active", None)
    heard(stage, TaskUsage(seq=2, task=task, attempt=1, tokens=120))
    assert status(stage, directive) == ("paused", "the budget is spent: 120 of 100 tokens")
    stage.await_event(TaskChanged, task=other, status="running")
    assert {stage.rows.one("task", t)["cancel_cause"] for t in (task, other)} == {"stopped"}
    assert stage.rows.one("task", elsewhere)["cancel_asked"] is None


def test_what_an_agent_gave_up_has_failed_though_it_ended_well(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(max_attempts=2)
    _, task = stage.rows.running_step(directive)
    stage.rows.change("task", task, gave_up="no database")
    heard(stage, well(task))
    row = stage.rows.one("task", task)
    assert (row["status"], row["attempt"], row["reason"]) == ("pending", 2, "the agent gave up: no database")
    assert row["gave_up"] is None


def test_what_a_step_hands_on_is_kept(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    step, task = stage.rows.running_step(directive)
    commits = (Commit(sha="abc", subject='Say "$(x)" \\ é'),)
    heard(
        stage,
        well(task, branch="b", head="abc", outcome="Did it.", files_changed=("a b.py", 'c"\\d.py'), commits=commits),
    )
    assert stage.rows.one("task", task)["commits"] == [{"sha": "abc", "subject": 'Say "$(x)" \\ é'}]
    row = stage.rows.one("step", step)
    assert (row["branch"], row["head"], row["outcome"]) == ("b", "abc", "Did it.")
    assert row["files_changed"] == ["a b.py", 'c"\\d.py']


def test_an_order_goes_on_with_what_is_planned_in_the_place_of_its_step(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    plan = planning(stage, directive)
    failed = stage.rows.step(directive, "Fix the crash", status="failed", removed_by=plan)
    vague = stage.rows.step(directive, "Make it fast", status="failed", removed_by=plan)
    named, shared, said, kept = (stage.rows.order(directive, title) for title in ("named", "shared", "said", "kept"))
    stage.rows.serve(failed, named)
    stage.rows.serve(vague, shared)
    stage.rows.serve(vague, said)
    stage.rows.serve(vague, kept)
    stage.rows.serve(stage.rows.step(directive, "Other", status="completed"), kept)
    same = stage.rows.step(directive, "Fix the crash", held_by=plan)
    new = stage.rows.step(directive, "Cache it", held_by=plan)
    stage.rows.serve(new, said)
    heard(stage, well(plan))
    served = {o: {s["step_id"] for s in stage.rows.all("step_order", order_id=o)} for o in (named, shared, said)}
    assert served == {named: {same}, shared: {same, new}, said: {new}}
    statuses = [stage.rows.one("work_order", order)["status"] for order in (named, shared, said, kept)]
    assert statuses == ["in_progress", "in_progress", "in_progress", "done"]


@pytest.mark.parametrize(("said", "status", "links"), [(well, "in_progress", 1), (badly, "open", 0)])
def test_an_order_that_a_planning_links_counts_with_its_plan(
    stage: ServiceHarness, said: Callable[..., Report], status: str, links: int
) -> None:
    directive = stage.rows.directive(max_attempts=1)
    plan = planning(stage, directive)
    order, step = stage.rows.order(directive), stage.rows.step(directive, "Covers it")
    stage.rows.serve(step, order, held_by=plan)
    heard(stage, said(plan))
    assert stage.rows.one("work_order", order)["status"] == status
    assert [link["held_by"] for link in stage.rows.all("step_order", order_id=order)] == [None] * links


def test_an_order_whose_step_is_gone_for_nothing_is_open_again(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    plan = planning(stage, directive)
    order = stage.rows.order(directive, status="in_progress")
    stage.rows.serve(stage.rows.step(directive, "Gone", removed_by=plan), order)
    stage.rows.step(directive, "Stays")
    heard(stage, well(plan))
    assert stage.await_event(OrderChanged, order=order).status == "open"


def test_an_order_is_done_with_its_last_step_and_open_again_when_one_failed(stage: ServiceHarness) -> None:
    for last, expected in ((well, "done"), (badly, "open")):
        directive = stage.rows.directive(on_failure="pause")
        order = stage.rows.order(directive, status="in_progress")
        step, task = stage.rows.running_step(directive)
        stage.rows.serve(step, order)
        before = stage.rows.step(directive, "Before", status="completed", completed_at="2026-01-01", delivered=True)
        stage.rows.serve(before, order)
        heard(stage, last(task))
        assert stage.await_event(OrderChanged, order=order).status == expected
        assert stage.rows.one("work_order", order)["status"] == expected
        stage.acks.clear()


def test_a_question_pauses_its_task_and_the_answer_lets_it_go_on(stage: ServiceHarness) -> None:
    directive = stage.rows.directive()
    step, task = stage.rows.running_step(directive)
    _, other = stage.rows.running_step(directive, "Other")
    question = stage.rows.question(task)
    stage.publish(QuestionAsked(directive=directive, question=question, task=task))
    stage.await_event(TaskChanged, task=task, status="paused")
    assert stage.rows.one("task", other)["status"] == "running"
    assert stage.rows.one("step", step)["status"] == "running"
    stage.rows.change("question", question, settled="answered", answer="yes")
    stage.publish(QuestionAnswered(directive=directive, question=question, task=task))
    stage.await_event(TaskChanged, task=task, status="running")


@pytest.mark.parametrize(("default", "settled"), [("no", "default"), (None, "expired")])
def test_a_question_that_ran_out_of_time_is_settled(stage: ServiceHarness, default: str | None, settled: str) -> None:
    directive = stage.rows.directive()
    _, task = stage.rows.running_step(directive)
    question = stage.rows.question(task, expires_at="2020-01-01", default_answer=default)
    stage.publish(QuestionAsked(directive=directive, question=question, task=task))
    assert stage.await_event(QuestionAnswered, question=question).settled == settled
    assert stage.rows.one("question", question)["answer"] == default


def test_a_deadline_that_has_passed_pauses(stage: ServiceHarness) -> None:
    directive = stage.rows.directive(deadline="2020-01-01T00:00:00+00:00")
    stage.rows.running_step(directive)
    stage.publish(DirectiveChanged(directive=directive, status="active"))
    changed = stage.await_event(DirectiveChanged, directive=directive, status="paused")
    assert changed.reason == "the deadline has passed: 2020-01-01 00:00 UTC"
