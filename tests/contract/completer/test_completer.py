"""The completer: what is idle and undelivered is ordered once; what came of it is drawn, each end with its reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from psycopg.types.json import Jsonb

from shared.domain.delivery import Broken, Conflicted, Delivered, Delivery, Nothing, Result, Seen
from shared.domain.names import delivery_branch
from shared.messages.events import DeliveryFinished, DirectiveChanged, Event, StepReady, TaskChanged, TaskCreated
from tests.contract.frames import unreadable_events
from tests.contract.service_harness import ServiceHarness

SERVICE = "completer"
SETTINGS = {"agent": "claude", "pull_request_poll_seconds": "3000", "max_delivery_fixes": "1"}
HUB = "https://github.com/acme/shop"
URL = f"{HUB}/pull/7"


def idle(stage: ServiceHarness, **columns: object) -> UUID:
    return stage.rows.directive(status="idle", **columns)


def completed(stage: ServiceHarness, directive: UUID, name: str = "Step", **columns: object) -> UUID:
    values = {"status": "completed", "completed_at": "2026-01-01", "branch": f"makima/{name.lower()}", **columns}
    return stage.rows.step(directive, name, **values)


def undelivered(stage: ServiceHarness, title: str) -> UUID:
    """An idle directive with a completed step, there at once: one without any step has nothing to deliver."""
    with stage.connection.transaction():
        directive = idle(stage, title=title)
        completed(stage, directive)
    return directive


def hint(stage: ServiceHarness, directive: UUID) -> None:
    stage.publish(DirectiveChanged(directive=directive, status="idle"))


def fence(stage: ServiceHarness) -> None:
    """All that the completer was told before has been done when this returns."""
    later = undelivered(stage, "Later")
    hint(stage, later)
    stage.await_event(TaskCreated, directive=later)


def delivery(stage: ServiceHarness, directive: UUID) -> tuple[dict[str, Any], Delivery]:
    hint(stage, directive)
    created = stage.await_event(TaskCreated, directive=directive)
    row = stage.rows.one("task", created.task)
    return row, msgspec.convert(row["delivery"], Delivery)


def ended(stage: ServiceHarness, directive: UUID, order: Delivery, result: Result, **columns: object) -> UUID:
    """A delivery of which the monitor has recorded the result."""
    values = {
        "status": "completed",
        "agent": "native",
        "delivery": Jsonb(msgspec.to_builtins(order)),
        "result": Jsonb(msgspec.to_builtins(result)),
        "target_branch": "b",
        "ended_at": "2026-01-01",
        **columns,
    }
    task = stage.rows.task(directive, "verification" if order.action != "deliver" else "completion", **values)
    stage.publish(TaskChanged(directive=directive, task=task, kind="completion", status="completed"))
    return task


def order(stage: ServiceHarness, *steps: UUID, action: str = "deliver", **more: object) -> Delivery:
    branches = [{"id": str(s), "name": "x", "branch": stage.rows.one("step", s)["branch"]} for s in steps]
    return msgspec.convert({"action": action, "title": "A job", "steps": branches, **more}, Delivery)


def settled(stage: ServiceHarness, directive: UUID, status: str) -> dict[str, Any]:
    stage.await_row("directive", id=directive, status=status)
    return stage.rows.one("directive", directive)


@pytest.mark.parametrize(
    "hint",
    [DirectiveChanged(status="idle"), TaskChanged(kind="completion", status="failed")],
    ids=lambda e: type(e).__name__,
)
def test_an_idle_directive_is_ordered_to_be_delivered_once_with_all_that_a_daemon_needs(
    stage: ServiceHarness, hint: Event
) -> None:
    columns = {"repository_url": HUB, "goal": "Make it `so`", "merge_into_base": True, "check_command": "just check"}
    directive = stage.rows.directive(**columns)
    commits = [{"sha": f"{n:040}", "subject": f"Say $({n})"} for n in range(30)]
    one = completed(stage, directive, "One", outcome="did one")
    done = stage.rows.task(directive, status="completed", step=one, commits=Jsonb(commits))
    stage.rows.change("step", one, task_id=done)
    two = completed(stage, directive, "Two", depends_on=(one,))
    stage.rows.step(directive, "Three", status="failed", reason="no wind")
    stage.rows.change("directive", directive, status="idle")
    stage.publish(*[msgspec.structs.replace(hint, directive=directive)] * 3)
    created = stage.await_event(TaskCreated, directive=directive)
    fence(stage)
    (row,) = stage.rows.all("task", directive_id=directive, kind="completion")
    told = msgspec.convert(row["delivery"], Delivery)
    assert (row["id"], row["status"], row["agent"]) == (created.task, "pending", "native")
    assert row["target_branch"] == delivery_branch("A job", directive)
    assert [s.id for s in told.steps] == [one, two] and told.merge_into_base and told.check == "just check"
    assert told.forge is not None and told.forge.path == "acme/shop"
    assert told.pull_request is not None and told.pull_request.title == "A job"
    for part in ("Make it `so`\n", "**One**", "did one", "- **Three** failed", "- 000000000000 Say $(29)\n"):
        assert part in told.pull_request.body
    assert "earlier ones" in told.pull_request.body and " Say $(9)\n" not in told.pull_request.body


@pytest.mark.parametrize("status", ["active", "paused", "completed", "archived", "draft"])
def test_what_is_not_idle_is_not_delivered(stage: ServiceHarness, status: str) -> None:
    directive = stage.rows.directive(status=status)
    completed(stage, directive)
    hint(stage, directive)
    fence(stage)
    assert stage.rows.all("task", directive_id=directive) == []


def test_without_a_repository_the_last_outcome_is_the_delivery(stage: ServiceHarness) -> None:
    directive = idle(stage, repository_url=None)
    step = completed(stage, directive, branch=None)
    hint(stage, directive)
    settled(stage, directive, "completed")
    assert stage.rows.one("step", step)["delivered"]


def test_what_was_delivered_is_kept_by_its_commits_for_the_looks_that_follow(stage: ServiceHarness) -> None:
    directive = idle(stage, repository_url=HUB)
    one, two = completed(stage, directive, head="1" * 40), completed(stage, directive, "Two", head="2" * 40)
    ended(stage, directive, order(stage, one), Delivered(branch="b", head="a", pr_url=URL))
    stage.await_row("directive", id=directive, delivered_heads=["a"])
    row, told = delivery(stage, directive)
    assert row["kind"] == "completion" and [s.id for s in told.steps] == [two] and [s.id for s in told.earlier] == [one]
    assert told.heads == ("a",)
    result = Jsonb(msgspec.to_builtins(Delivered(branch="b", head="z", overtaken=("y",), pr_url=URL)))
    stage.rows.lead("task", row["id"], "starting", "completed", result=result)
    stage.publish(TaskChanged(directive=directive, task=row["id"], kind="completion", status="completed"))
    stage.await_row("directive", id=directive, delivered_heads=["a", "y", "z"])
    stage.rows.change("directive", directive, pr_look_at="2026-01-01")
    hint(stage, directive)
    looking = msgspec.convert(
        stage.await_row("task", directive_id=directive, kind="verification")["delivery"], Delivery
    )
    assert looking.heads == ("a", "y", "z") and [s.head for s in looking.steps] == ["1" * 40, "2" * 40]


def test_a_step_that_is_left_out_is_no_part_of_what_is_cleaned_up(stage: ServiceHarness) -> None:
    columns = {"pr_url": URL, "pr_state": "open", "pr_look_at": "2026-01-01", "pr_branch": "b"}
    with stage.connection.transaction():
        directive = idle(stage, repository_url=HUB, delivered_at="2026-01-01", **columns)
        good = completed(stage, directive, delivered=True)
        bad = completed(stage, directive, "Bad", delivered=False)
        stage.rows.change("directive", directive, left_out=[bad])
    _, told = delivery(stage, directive)
    assert told.action == "watch" and [s.id for s in told.steps] == [good]


def test_a_verification_writes_the_whole_body(stage: ServiceHarness) -> None:
    directive = idle(stage, repository_url=HUB, delivered_at="2026-01-01", pr_branch="b", goal="Make it `so`")
    completed(stage, directive, "One", outcome="did one", delivered=True)
    _, told = delivery(stage, directive)
    assert told.action == "verify" and told.pull_request is not None
    for part in ("Make it `so`", "**One**", "did one"):
        assert part in told.pull_request.body


def test_a_delivery_that_changes_nothing_completes_and_says_so(stage: ServiceHarness) -> None:
    directive = idle(stage, repository_url=HUB)
    step = completed(stage, directive)
    ended(stage, directive, order(stage, step), Nothing(reason="nothing changed: main is as the steps leave it"))
    row = settled(stage, directive, "completed")
    assert row["delivery_outcome"].startswith("nothing changed") and row["pr_branch"] is None
    assert stage.rows.one("step", step)["delivered"]
    assert "nothing changed" in (stage.await_event(DirectiveChanged, directive=directive).reason or "")


@pytest.mark.parametrize("action", ["verify", "watch"])
def test_work_that_is_gone_is_paused_and_delivered_again_when_resumed(stage: ServiceHarness, action: str) -> None:
    known = {"pr_url": URL, "pr_state": "open"} if action == "watch" else {}
    directive = idle(stage, repository_url=HUB, delivered_at="2026-01-01", pr_branch="b", **known)
    kept, gone = completed(stage, directive, delivered=True), completed(stage, directive, "Gone", delivered=True)
    result = (
        Seen(state="merged", missing=(gone,)) if action == "watch" else Nothing(reason="it is gone", missing=(gone,))
    )
    ended(stage, directive, order(stage, kept, gone, action=action), result)
    row = settled(stage, directive, "paused")
    assert row["paused_for"] == "delivery" and row["delivery_outcome"] == row["pause_reason"]
    assert stage.rows.one("step", kept)["delivered"] and not stage.rows.one("step", gone)["delivered"]
    stage.rows.lead("directive", directive, "active", "idle")
    hint(stage, directive)
    again = msgspec.convert(stage.await_row("task", directive_id=directive, kind="completion")["delivery"], Delivery)
    assert [s.id for s in again.steps] == [gone] and again.round == (2 if action == "watch" else 1)


def test_a_pull_request_of_another_branch_completes_nothing_and_the_own_one_is_looked_for(
    stage: ServiceHarness,
) -> None:
    columns = {"repository_url": HUB, "pr_url": URL, "pr_state": "open", "verified": True, "pr_branch": "b"}
    directive = idle(stage, delivered_at="2026-01-01", **columns)
    step = completed(stage, directive, delivered=True)
    ended(stage, directive, order(stage, step, action="watch"), Nothing(reason="it is one of x", not_ours=True))
    task = stage.await_row("task", directive_id=directive, kind="verification", status="pending")
    assert msgspec.convert(task["delivery"], Delivery).action == "verify"
    row = stage.rows.one("directive", directive)
    assert (row["status"], row["pr_url"], row["pr_state"]) == ("idle", None, None)
    assert "it is one of x" in row["delivery_outcome"]


def test_a_branch_is_the_delivery_where_there_is_no_forge(stage: ServiceHarness) -> None:
    directive = idle(stage)
    step, later = completed(stage, directive), completed(stage, directive, "Later")
    task = ended(stage, directive, order(stage, step), Delivered(branch="b", head="h"))
    row = settled(stage, directive, "completed")
    assert row["pr_branch"] == "b" and row["pr_url"] is None
    assert stage.rows.one("task", task)["settled"]
    assert stage.rows.one("step", step)["delivered"] and not stage.rows.one("step", later)["delivered"]
    stage.await_event(DeliveryFinished, directive=directive, branch="b")
    assert stage.await_event(DirectiveChanged, directive=directive, status="completed").reason == "delivered on b"


def test_a_pull_request_leaves_it_idle_and_watched(stage: ServiceHarness) -> None:
    directive = idle(stage, repository_url=HUB)
    step = completed(stage, directive)
    told = order(stage, step, forge={"kind": "github", "host": "github.com", "path": "acme/shop"})
    ended(stage, directive, told, Delivered(branch="b", head="h", round=2, pr_url=URL))
    stage.await_event(DeliveryFinished, directive=directive, pr_url=URL)
    row = settled(stage, directive, "idle")
    assert (row["pr_url"], row["pr_state"], row["pr_round"]) == (URL, "open", 2) and row["pr_look_at"] is not None
    assert stage.rows.one("step", step)["round"] == 2
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive)) == 1, "nothing is due before it is looked at"


def test_a_forge_without_a_pull_request_is_verified_once_and_that_completes_it_with_the_reason(
    stage: ServiceHarness,
) -> None:
    directive = idle(stage, repository_url=HUB)
    step = completed(stage, directive)
    forge = {"kind": "github", "host": "github.com", "path": "acme/shop"}
    ended(stage, directive, order(stage, step, forge=forge), Delivered(branch="b", head="h"))
    verify = stage.await_event(TaskCreated, directive=directive)
    row = stage.rows.one("task", verify.task)
    assert (row["target_branch"], row["delivery"]["action"]) == ("b", "verify")
    result = Jsonb(msgspec.to_builtins(Nothing(reason="the work was merged")))
    stage.rows.lead("task", verify.task, "starting", "completed", result=result)
    stage.publish(TaskChanged(directive=directive, task=verify.task, kind="verification", status="completed"))
    settled(stage, directive, "completed")
    told = stage.await_event(DirectiveChanged, directive=directive, status="completed")
    assert told.reason == "delivered: the work was merged"
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive, kind="verification")) == 1


def test_a_pull_request_is_looked_at_when_its_time_has_come(stage: ServiceHarness) -> None:
    columns = {"pr_url": URL, "pr_state": "open", "pr_branch": "b", "pr_etag": '"e"', "delivered_at": "2026-01-01"}
    directive = idle(stage, repository_url=HUB, pr_look_at="2026-01-01", **columns)
    completed(stage, directive, delivered=True)
    row, told = delivery(stage, directive)
    assert (row["kind"], told.action, told.pr_url, told.etag) == ("verification", "watch", URL, '"e"')
    assert told.remove_branches and [s.branch for s in told.steps] == ["makima/step"]


def test_the_next_look_at_a_pull_request_needs_no_hint(stage: ServiceHarness) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    columns = {"pr_url": URL, "pr_state": "open", "pr_branch": "b", "delivered_at": "2026-01-01"}
    directive = idle(stage, repository_url=HUB, pr_look_at=soon, **columns)
    hint(stage, directive)
    stage.await_event(TaskCreated, directive=directive)
    assert datetime.now(UTC) >= soon


@pytest.mark.parametrize(("state", "status"), [("merged", "completed"), ("closed", "paused"), ("open", "idle")])
def test_what_a_look_saw_is_drawn(stage: ServiceHarness, state: str, status: str) -> None:
    directive = idle(stage, repository_url=HUB, pr_url=URL, pr_state="open", delivered_at="2026-01-01", verified=True)
    step = completed(stage, directive, delivered=True)
    seen = Seen(state=state, etag="e", removed=("makima/step",) if state != "open" else ())  # type: ignore[arg-type]
    task = ended(stage, directive, order(stage, step, action="watch", pr_url=URL), seen)
    stage.await_row("task", id=task, settled=True)
    row = settled(stage, directive, status)
    assert row["pr_state"] == state and row["pr_etag"] == "e"
    assert stage.rows.one("step", step)["branch_removed"] is (state != "open")
    assert (row["pr_look_at"] is None) is (state != "open")
    if state == "closed":
        assert "was closed without being merged" in row["pause_reason"] and row["paused_for"] == "delivery"


@pytest.mark.parametrize("state", ["merged", "closed"])
def test_new_work_after_a_pull_request_is_over_gets_the_next_branch(stage: ServiceHarness, state: str) -> None:
    columns = {"pr_url": URL, "pr_state": state, "pr_branch": "b", "delivered_at": "2026-01-01"}
    directive = idle(stage, repository_url=HUB, **columns)
    old = completed(stage, directive, "Old", delivered=True, round=1)
    new = completed(stage, directive, "New")
    for step, title in ((old, "Slow start"), (new, "Crash"), (new, "Leak")):
        stage.rows.serve(step, stage.rows.order(directive, title, status="done" if title != "Leak" else "open"))
    row, told = delivery(stage, directive)
    assert told.pull_request is not None and "**New**" in told.pull_request.body and "- Crash" in told.pull_request.body
    assert ("**Old**" in told.pull_request.body) is (state == "closed"), "a pull request tells of its own steps"
    assert ("- Slow start" in told.pull_request.body) is (state == "closed"), "and of the orders that those serve"
    assert "- Leak" not in told.pull_request.body
    assert row["target_branch"] == delivery_branch("A job", directive, 2) and told.round == 2
    assert [s.id for s in told.steps] == ([old, new] if state == "closed" else [new])


def test_a_closed_pull_request_with_nothing_new_pauses_again_when_resumed(stage: ServiceHarness) -> None:
    directive = idle(stage, repository_url=HUB, pr_url=URL, pr_state="closed", delivered_at="2026-01-01")
    completed(stage, directive, delivered=True)
    hint(stage, directive)
    assert "was closed without being merged" in settled(stage, directive, "paused")["pause_reason"]


@pytest.mark.parametrize(
    ("status", "left_out", "words"),
    [("failed", False, "no step completed"), ("skipped", False, "no step completed"), ("completed", True, "breaks")],
)
def test_where_nothing_can_be_delivered_it_pauses_with_the_reason(
    stage: ServiceHarness, status: str, left_out: bool, words: str
) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status=status, branch="makima/x", completed_at="2026-01-01")
    stage.rows.change("directive", directive, status="idle", left_out=[step] if left_out else [])
    hint(stage, directive)
    row = settled(stage, directive, "paused")
    assert words in row["pause_reason"] and row["paused_for"] == "delivery" and row["delivered_at"] is None


def test_after_a_merge_with_nothing_new_it_is_completed_again(stage: ServiceHarness) -> None:
    directive = idle(stage, repository_url=HUB, pr_url=URL, pr_state="merged", delivered_at="2026-01-01")
    completed(stage, directive, delivered=True)
    hint(stage, directive)
    settled(stage, directive, "completed")
    told = stage.await_event(DirectiveChanged, directive=directive, status="completed")
    assert told.reason == f"{URL} was merged, and nothing new came after it"


def test_with_nothing_new_what_was_delivered_before_stands_once_no_pull_request_is_waited_for(
    stage: ServiceHarness,
) -> None:
    waiting = idle(stage, repository_url=HUB, pr_url=URL, pr_state="open", delivered_at="2026-01-01", verified=True)
    stands = idle(stage, repository_url=HUB, delivered_at="2026-01-01", verified=True)
    hint(stage, waiting)
    hint(stage, stands)
    told = stage.await_event(DirectiveChanged, directive=stands, status="completed")
    row = settled(stage, stands, "completed")
    assert told.reason == "nothing new to deliver"
    assert row["pause_reason"] is None and str(row["delivered_at"]).startswith("2026-01-01")
    assert stage.rows.one("directive", waiting)["status"] == "idle"


def test_a_conflict_becomes_one_task_of_the_agent_with_both_sides_in_its_prompt(stage: ServiceHarness) -> None:
    directive = idle(stage)
    mine = completed(stage, directive, "Mine", description="make it blue")
    yours = completed(stage, directive, "Yours", outcome="made it red")
    conflict = Conflicted(branch="makima/yours", into="main", files=("a.txt",), step=yours, by_hand=("git merge x",))
    ended(stage, directive, order(stage, mine, yours), conflict)
    created = stage.await_event(TaskCreated, directive=directive)
    row = stage.rows.one("task", created.task)
    assert (row["agent"], row["status"]) == ("claude", "pending")
    for part in ("a.txt", "make it blue", "made it red", "git merge x"):
        assert part in row["prompt"]
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive)) == 2


def test_a_conflict_that_its_agent_can_not_judge_pauses_with_the_commands(stage: ServiceHarness) -> None:
    directive = idle(stage, agent="shell")
    step = completed(stage, directive)
    conflict = Conflicted(branch="x", into="main", files=("a.txt",), by_hand=("git fetch origin", "git merge x"))
    ended(stage, directive, order(stage, step), conflict)
    row = settled(stage, directive, "paused")
    assert "x with main in a.txt; by hand: git fetch origin; git merge x" in row["pause_reason"]


def test_two_steps_that_break_the_check_get_one_that_fixes_it_and_depends_on_both(stage: ServiceHarness) -> None:
    directive = idle(stage)
    one = completed(stage, directive, "One", order_index=1)
    two = completed(stage, directive, "Two", order_index=3)
    ended(stage, directive, order(stage, one, two), Broken(steps=(one, two), command="just check", output="clash"))
    settled(stage, directive, "active")
    (fix,) = stage.rows.all("step", directive_id=directive, status="ready")
    assert fix["name"] == "Mend the check: One with Two" and fix["order_index"] == 3
    assert "clash" in fix["task_plan"] and "just check" in fix["task_plan"]
    needs = stage.rows.all("step_dependency", step_id=fix["id"])
    assert {n["depends_on"] for n in needs} == {one, two}
    stage.await_event(StepReady, directive=directive, steps=(fix["id"],))


@pytest.mark.parametrize(("policy", "status"), [("pause", "paused"), ("replan", "paused"), ("continue", "idle")])
def test_after_the_last_fix_the_policy_decides(stage: ServiceHarness, policy: str, status: str) -> None:
    directive = idle(stage, on_failure=policy, delivery_fixes=1)
    one, two = completed(stage, directive, "One"), completed(stage, directive, "Two")
    three = completed(stage, directive, "Three", depends_on=(two,))
    ended(stage, directive, order(stage, one, two), Broken(steps=(one, two), command="just check", output="clash"))
    if status == "paused":
        assert "'One' and 'Two' break the check" in settled(stage, directive, status)["pause_reason"]
        return
    created = stage.await_event(TaskCreated, directive=directive)
    told = msgspec.convert(stage.rows.one("task", created.task)["delivery"], Delivery)
    assert [s.id for s in told.steps] == [one] and set(told.without) == {two, three}
    assert told.pull_request is not None and "**Two** breaks the check" in told.pull_request.body


def test_what_was_delivered_while_a_person_made_it_active_again_is_kept_and_the_status_left_alone(
    stage: ServiceHarness,
) -> None:
    directive = stage.rows.directive(status="active")
    step = completed(stage, directive)
    task = ended(stage, directive, order(stage, step), Delivered(branch="b", head="h"))
    stage.await_row("task", id=task, settled=True)
    row = stage.rows.one("directive", directive)
    assert (row["status"], row["pr_branch"]) == ("active", "b") and stage.rows.one("step", step)["delivered"]


def test_two_instances_order_one_delivery(stage: ServiceHarness) -> None:
    stage.start()
    with stage.frozen():
        directives = [undelivered(stage, f"t{n}") for n in range(8)]
        for directive in directives:
            hint(stage, directive)
    for directive in directives:
        stage.await_event(TaskCreated, directive=directive)
    fence(stage)
    assert all(len(stage.rows.all("task", directive_id=d)) == 1 for d in directives)


def test_hints_that_it_can_not_read_change_nothing(stage: ServiceHarness) -> None:
    stage.publish_raw(*unreadable_events("directive.changed"))
    fence(stage)
    assert stage.alive
