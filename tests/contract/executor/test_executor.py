"""The executor: what is due is claimed in the database, then sent; what can't be routed waits with its reason."""

from __future__ import annotations

import asyncio
import signal
from uuid import UUID

import msgspec
import psycopg
import pytest

from services.executor.rows import DUE_STEPS, DueStep
from services.executor.service import short
from shared.domain.ids import new_id
from shared.domain.names import task_branch
from shared.messages.commands import CancelTask, Drain, SpawnTask, Unroutable
from shared.messages.events import (
    DaemonConnected,
    DirectiveChanged,
    Event,
    SlotsFree,
    StepReady,
    TaskChanged,
    TaskCreated,
)
from shared.messages.frames import LIMIT_BYTES, REPLIES
from shared.messages.topics import topic
from shared.store.database import connect
from tests.contract.frames import unreadable_batches, unreadable_events
from tests.contract.service_harness import ServiceHarness

SERVICE = "executor"


def fence(stage: ServiceHarness) -> None:
    """All that the executor was told before has been done when this returns."""
    later = stage.rows.directive(title="Later", owner="fence")
    stage.rows.daemon("fence", owner="fence", capacity=1000)
    step = stage.rows.step(later, status="ready")
    stage.publish(StepReady(directive=later, steps=(step,)))
    stage.await_command(SpawnTask, step=step)


@pytest.mark.parametrize(
    "hint",
    [
        StepReady(),
        TaskCreated(),
        TaskChanged(status="completed", kind="step"),
        TaskChanged(status="running", kind="step", asked=True),
        DirectiveChanged(status="active"),
        SlotsFree(),
        DaemonConnected(),
    ],
    ids=topic,
)
def test_any_hint_makes_a_ready_step_one_task_that_is_claimed_and_then_sent(stage: ServiceHarness, hint: Event) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, "Build it", status="ready", task_plan="make")
    stage.publish(msgspec.structs.replace(hint, directive=directive))
    sent = stage.await_command(SpawnTask, step=step)
    task = stage.rows.one("task", sent.task)
    assert (task["status"], task["attempt"], task["step_id"]) == ("starting", 1, step)
    assert task["lease_until"] is not None
    assert (sent.attempt, sent.kind, sent.name, sent.directive) == (1, "step", "Build it", directive)
    assert (sent.task_plan, task["prompt"].endswith("Your task:\n\nmake\n")) == ("make", True)
    assert sent.branch == task_branch("Build it", sent.task, 1)
    assert sent.token.startswith("mkt_")
    assert sent.owner == "default"
    stage.await_event(TaskChanged, task=sent.task, status="starting")


def test_a_step_is_sent_with_what_it_asks_for_the_first_time_and_again(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive(agent="claude")
    choice = {"agent": "codex", "model": "small", "labels": ["gpu", "linux"]}
    step = stage.rows.step(directive, "Train", status="ready", **choice)
    stage.publish(StepReady(directive=directive, steps=(step,)))
    sent = stage.await_command(SpawnTask, step=step)
    assert (sent.agent, sent.agent_chosen, sent.model, sent.labels) == ("codex", True, "small", ("gpu", "linux"))
    assert stage.rows.one("task", sent.task)["agent"] == "codex"
    stage.reply(Unroutable(task=sent.task, attempt=1, reason="no connected daemon has the label gpu", refusal="labels"))
    stage.await_event(TaskChanged, task=sent.task, status="pending")
    stage.rows.change("step", step, labels=["cpu"], model=None, agent="shell")
    stage.publish(DaemonConnected())
    again = stage.await_command(SpawnTask, step=step, labels=("cpu",))
    assert (again.task, again.attempt, again.agent, again.model) == (sent.task, 1, "shell", None)


def test_a_step_starts_from_its_first_dependency_and_merges_the_others(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive(pr_branch="makima/directive-a")
    done = [
        stage.rows.step(directive, name, status="completed", branch=f"makima/{name}", completed_at="now")
        for name in ("a", "b", "c")
    ]
    ran_on = stage.rows.task(directive, step=done[1], status="completed", daemon="d7")
    stage.rows.change("step", done[1], task_id=ran_on)
    step = stage.rows.step(directive, "joined", depends_on=(done[1], done[0]), status="ready")
    alone = stage.rows.step(directive, "alone", status="ready")
    stage.publish(StepReady(directive=directive, steps=(step, alone)))
    sent = stage.await_command(SpawnTask, step=step)
    assert (sent.start_from, sent.merge_branches, sent.prefer_daemon) == ("makima/b", ("makima/a",), "d7")
    assert stage.await_command(SpawnTask, step=alone).start_from == "makima/directive-a"


def test_a_step_does_not_start_from_a_branch_that_was_removed(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive(base_branch="main")
    gone, kept = (
        stage.rows.step(
            directive, n, status="completed", branch=f"makima/{n}", branch_removed=n == "gone", completed_at=at
        )
        for n, at in (("gone", "2026-01-02"), ("kept", "2026-01-01"))
    )
    joined = stage.rows.step(directive, "joined", depends_on=(gone, kept), status="ready")
    alone = stage.rows.step(directive, "alone", status="ready")
    stage.publish(StepReady(directive=directive, steps=(joined, alone)))
    sent = stage.await_command(SpawnTask, step=joined)
    assert (sent.start_from, sent.merge_branches) == ("makima/kept", ())
    assert stage.await_command(SpawnTask, step=alone).start_from == "makima/kept"


@pytest.mark.parametrize(("delivered", "start"), [(True, None), (False, "makima/done")])
def test_after_its_pull_request_was_merged_a_directive_starts_from_its_base(
    stage: ServiceHarness, delivered: bool, start: str | None
) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive(base_branch="main", pr_branch="makima/directive-a", pr_state="merged")
    stage.rows.step(
        directive, "done", status="completed", branch="makima/done", completed_at="now", delivered=delivered
    )
    step = stage.rows.step(directive, "next", status="ready")
    stage.publish(StepReady(directive=directive, steps=(step,)))
    assert stage.await_command(SpawnTask, step=step).start_from == start


@pytest.mark.parametrize(
    ("kind", "status"), [("plan", "active"), ("completion", "idle"), ("verification", "idle"), ("step", "active")]
)
def test_a_pending_task_of_whatever_kind_is_dispatched(stage: ServiceHarness, kind: str, status: str) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive(status=status)
    step = stage.rows.step(directive, status="ready") if kind == "step" else None
    task = stage.rows.task(directive, kind, step=step, attempt=2, session="s1", merge_branches=["x", "y"])
    stage.publish(TaskCreated(directive=directive, task=task, kind=kind))
    sent = stage.await_command(SpawnTask, task=task)
    assert (sent.kind, sent.attempt, sent.resume_session, sent.merge_branches) == (kind, 2, "s1", ("x", "y"))
    assert sent.branch.endswith("-2")
    stage.await_row("task", id=task, status="starting", attempt=2)


def test_a_task_that_a_report_holds_for_a_moment_is_dispatched_right_after(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    task = stage.rows.task(directive, step=stage.rows.step(directive, status="ready"), attempt=2)
    stage.connection.commit()
    with psycopg.connect(stage.environment["MAKIMA_POSTGRES_URL"]) as another:
        another.execute("SELECT FROM makima.task WHERE id = %s FOR UPDATE", (task,))
        stage.publish(TaskChanged(directive=directive, task=task, attempt=2, status="pending", kind="step", reason="x"))
        waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        stage.until(lambda: another.execute(waiting).fetchall(), "wait for the task")
    stage.await_command(SpawnTask, task=task)


def test_hints_doubled_late_or_about_nothing_dispatch_once(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    stage.publish(*[StepReady(directive=directive, steps=(step,))] * 3)
    stage.await_command(SpawnTask, step=step)
    stage.publish(StepReady(directive=directive, steps=(step,)), StepReady(directive=new_id(), steps=(new_id(),)))
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive)) == 1


def test_no_more_is_claimed_than_there_are_free_slots(stage: ServiceHarness) -> None:
    stage.rows.daemon(capacity=3)
    directive = stage.rows.directive(max_parallel=10)
    stage.rows.running_step(directive, "already")
    steps = [stage.rows.step(directive, f"s{n}", status="ready") for n in range(5)]
    stage.publish(StepReady(directive=directive, steps=tuple(steps)))
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive, status="starting")) == 2


def test_waiting_tasks_take_every_slot_but_no_more(stage: ServiceHarness) -> None:
    stage.rows.daemon(capacity=2)
    tasks = [stage.rows.task(stage.rows.directive(), "plan", status="pending") for _ in range(3)]
    stage.publish(SlotsFree())
    stage.until(lambda: len(stage.commands) >= 2, "use both slots")
    fence(stage)
    assert sorted(stage.rows.one("task", t)["status"] for t in tasks) == ["pending", "starting", "starting"]


def test_what_backs_off_stays_though_there_are_slots(stage: ServiceHarness) -> None:
    stage.rows.daemon(capacity=4)
    later = stage.rows.task(stage.rows.directive(), "plan", status="pending", not_before="2100-01-01")
    now = stage.rows.task(stage.rows.directive(), "plan", status="pending")
    stage.publish(SlotsFree())
    stage.await_command(SpawnTask, task=now)
    fence(stage)
    assert stage.rows.one("task", later)["status"] == "pending"


def test_no_more_of_a_directive_runs_at_once_than_it_allows(stage: ServiceHarness) -> None:
    stage.rows.daemon(capacity=100)
    directive = stage.rows.directive(max_parallel=2)
    steps = [stage.rows.step(directive, f"s{n}", status="ready") for n in range(5)]
    stage.publish(StepReady(directive=directive, steps=tuple(steps)))
    fence(stage)
    started = stage.rows.all("task", directive_id=directive)
    assert [t["step_id"] for t in started] == steps[:2]


def test_an_owner_has_no_more_running_at_once_than_is_set_for_it(stage: ServiceHarness) -> None:
    stage.rows.daemon(owner="frugal", capacity=100)
    stage.rows.change("owner", stage.rows.owner("frugal"), max_running=2)
    directive = stage.rows.directive(owner="frugal", max_parallel=10)
    steps = [stage.rows.step(directive, f"s{n}", status="ready") for n in range(5)]
    retried = stage.rows.task(directive, step=stage.rows.step(directive, "again", status="running"), attempt=2)
    stage.publish(StepReady(directive=directive, steps=tuple(steps)))
    fence(stage)
    live = stage.rows.all("task", directive_id=directive, status="starting")
    assert len(live) == 2
    for task in live:
        stage.rows.change("task", task["id"], status="completed")
    stage.publish(TaskChanged(directive=directive, task=live[0]["id"], status="completed", kind="step"))
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive, status="starting")) == 2
    assert stage.rows.one("task", retried)["status"] != "pending"


def test_a_daemon_that_drains_gives_no_slots(stage: ServiceHarness) -> None:
    stage.rows.daemon("leaving", capacity=100, draining=True)
    stage.rows.daemon("staying", capacity=1)
    directive = stage.rows.directive(max_parallel=10)
    steps = [stage.rows.step(directive, f"s{n}", status="ready") for n in range(3)]
    retried = stage.rows.task(directive, step=stage.rows.step(directive, "again", status="running"), attempt=2)
    stage.publish(StepReady(directive=directive, steps=tuple(steps)))
    fence(stage)
    live = [t for t in stage.rows.all("task", directive_id=directive) if t["status"] == "starting"]
    assert len(live) == 1, retried


def test_a_directive_that_runs_more_than_it_may_by_now_starts_nothing_and_holds_up_nobody(
    stage: ServiceHarness,
) -> None:
    stage.rows.daemon(capacity=100)
    crowded, other = stage.rows.directive(max_parallel=1), stage.rows.directive(title="Other")
    for name in ("a", "b", "c"):
        stage.rows.running_step(crowded, name)
    waiting, free = (stage.rows.step(d, "next", status="ready") for d in (crowded, other))
    stage.publish(StepReady(directive=crowded, steps=(waiting,)), StepReady(directive=other, steps=(free,)))
    stage.await_command(SpawnTask, step=free)
    fence(stage)
    assert stage.rows.all("task", step_id=waiting) == []


def test_a_directive_that_is_paused_while_its_steps_are_claimed_starts_none(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    stage.connection.commit()
    with psycopg.connect(stage.environment["MAKIMA_POSTGRES_URL"]) as another:
        another.execute("LOCK TABLE makima.task IN EXCLUSIVE MODE")  # it may be read: what is due is seen, not claimed
        stage.publish(StepReady(directive=directive, steps=(step,)))
        waiting = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        stage.until(lambda: another.execute(waiting).fetchall(), "wait for the table")
        stage.rows.change("directive", directive, status="paused")
    fence(stage)
    assert stage.rows.all("task", directive_id=directive) == []


@pytest.mark.parametrize("status", ["draft", "paused", "awaiting_approval", "idle", "archived"])
def test_nothing_of_a_directive_that_is_not_active_starts(stage: ServiceHarness, status: str) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive(status=status)
    step = stage.rows.step(directive, status="ready")
    stage.publish(StepReady(directive=directive, steps=(step,)))
    fence(stage)
    assert stage.rows.all("task", directive_id=directive) == []


def test_a_task_that_backs_off_starts_when_its_time_has_come_without_a_hint(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="running")
    task = stage.rows.task(directive, step=step, attempt=2, not_before="2100-01-01")
    stage.publish(TaskChanged(directive=directive, task=task, status="pending"))
    fence(stage)
    assert stage.rows.one("task", task)["status"] == "pending"
    stage.connection.execute("UPDATE makima.task SET not_before = now() + interval '0.3 second' WHERE id = %s", (task,))
    stage.publish(TaskChanged(directive=directive, task=task, status="pending"))
    stage.await_command(SpawnTask, task=task, attempt=2)


def refuse(stage: ServiceHarness, sent: SpawnTask, refusal: str = "slots", reason: str = "4 of 4 slots taken") -> None:
    """Say that no daemon can take it, and wait until that is written."""
    stage.commands.clear()
    stage.reply(Unroutable(task=sent.task, attempt=sent.attempt, reason=reason, refusal=refusal))
    stage.await_row("task", id=sent.task, status="pending", waiting_reason=reason, refusal=refusal)


def words(stage: ServiceHarness, sent: SpawnTask) -> list[tuple[str, str | None]]:
    """What the audit log says of a task's statuses."""
    said = [row["body"] for row in stage.rows.all("event", type="task.changed")]
    return [(body["status"], body.get("reason")) for body in said if body["task"] == str(sent.task)]


def test_what_no_daemon_can_take_waits_with_the_reason_and_is_asked_for_again(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    stage.publish(StepReady(directive=directive, steps=(step,)))
    sent = stage.await_command(SpawnTask, step=step)
    stage.connection.execute("UPDATE makima.daemon SET connected = false")
    refusal = Unroutable(task=sent.task, attempt=1, reason="4 of 4 slots taken")
    stage.reply(refusal, refusal)
    stage.await_event(TaskChanged, task=sent.task, status="pending", reason="4 of 4 slots taken")
    row = stage.rows.one("task", sent.task)
    assert (row["status"], row["waiting_reason"], row["lease_until"], row["attempt"]) == (
        "pending", "4 of 4 slots taken", None, 1
    )  # fmt: skip
    stage.commands.clear()
    stage.connection.execute("UPDATE makima.daemon SET connected = true")
    stage.publish(DaemonConnected(daemon="d1", owner="default"))
    stage.await_command(SpawnTask, task=sent.task, attempt=1)
    assert stage.await_row("task", id=sent.task, status="starting")["waiting_reason"] == "4 of 4 slots taken"


def test_what_is_refused_again_and_again_is_asked_for_ever_more_rarely_and_logged_once_a_reason(
    stage: ServiceHarness,
) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    stage.publish(StepReady(directive=directive, steps=(step,)))
    sent = stage.await_command(SpawnTask, step=step)
    refuse(stage, sent)

    def rests() -> bool:
        statement = "SELECT not_before > makima.now() + interval '5 seconds' FROM makima.task WHERE id = %s"
        row = stage.connection.execute(statement, (sent.task,)).fetchone()
        if not (row and row[0]) and any(c.task == sent.task for c in stage.commands if isinstance(c, SpawnTask)):
            stage.connection.execute("UPDATE makima.task SET refused_since = makima.now() - interval '1 hour'")
            refuse(stage, sent)
        return bool(row and row[0])

    stage.until(rests, "long pause")
    assert words(stage, sent) == [("starting", None), ("pending", "4 of 4 slots taken")]
    stage.connection.execute("UPDATE makima.task SET not_before = makima.now()")
    stage.publish(DirectiveChanged(directive=directive, status="active"))
    stage.await_command(SpawnTask, task=sent.task)
    refuse(stage, sent, "agent", "no connected daemon has the agent codex")
    assert words(stage, sent)[2:] == [("pending", "no connected daemon has the agent codex")]


@pytest.mark.parametrize("hint", [SlotsFree, DaemonConnected, TaskChanged], ids=lambda e: e.__name__)
def test_what_was_refused_is_asked_for_as_soon_as_a_slot_or_a_daemon_comes(
    stage: ServiceHarness, hint: type[Event]
) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    stage.publish(StepReady(directive=directive, steps=(step,)))
    sent = stage.await_command(SpawnTask, step=step)
    stage.connection.execute("UPDATE makima.daemon SET connected = false")
    refuse(stage, sent)
    stage.connection.execute("UPDATE makima.daemon SET connected = true")
    stage.connection.execute("UPDATE makima.task SET not_before = makima.now() + interval '1 hour'")
    fence(stage)
    assert not [c for c in stage.commands if isinstance(c, SpawnTask) and c.task == sent.task]
    hints = {
        SlotsFree: SlotsFree(owner="default", free=1),
        DaemonConnected: DaemonConnected(daemon="d2", owner="default"),
        TaskChanged: TaskChanged(directive=directive, task=new_id(), attempt=1, kind="step", status="completed"),
    }
    stage.publish(hints[hint])
    stage.await_command(SpawnTask, task=sent.task, attempt=1)


def test_a_late_refusal_does_not_take_back_what_runs(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    _, task = stage.rows.running_step(directive)
    stage.publish(DirectiveChanged(directive=directive, status="active"))
    fence(stage)
    stage.reply(
        Unroutable(task=task, attempt=1, reason="late"),
        Unroutable(task=new_id(), attempt=1, reason="of nobody"),
    )
    fence(stage)
    row = stage.rows.one("task", task)
    assert (row["status"], row["waiting_reason"], row["daemon"]) == ("running", None, "d1")


def test_a_command_that_no_daemon_accepted_is_sent_again_as_the_same_attempt(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="ready")
    stage.publish(StepReady(directive=directive, steps=(step,)))
    first = stage.await_command(SpawnTask, step=step)
    stage.until(lambda: [c for c in stage.commands if c == first][1:], "the same command once more")


@pytest.mark.parametrize("status", ["starting", "running", "paused"])
def test_a_cancel_that_somebody_asked_for_is_passed_on(stage: ServiceHarness, status: str) -> None:
    directive = stage.rows.directive()
    step = stage.rows.step(directive, status="running")
    task = stage.rows.task(directive, step=step, status=status, daemon="d1", cancel_asked="not wanted", attempt=3)
    stage.publish(TaskChanged(directive=directive, task=task, status=status, asked=True))
    sent = stage.await_command(CancelTask, task=task)
    assert (sent.attempt, sent.reason, sent.owner) == (3, "not wanted", "default")
    assert stage.rows.one("task", task)["status"] == status


def test_a_pending_task_whose_end_is_asked_for_is_not_started(stage: ServiceHarness) -> None:
    stage.rows.daemon()
    directive = stage.rows.directive()
    task = stage.rows.task(directive, "plan", cancel_asked="not wanted")
    stage.publish(TaskChanged(directive=directive, task=task, status="pending", asked=True))
    fence(stage)
    assert stage.rows.one("task", task)["status"] == "pending"


def test_frames_that_cannot_be_read_are_skipped(stage: ServiceHarness) -> None:
    stage.publish_raw(*unreadable_events("step.ready"))
    fence(stage)
    stage.reply_raw(*unreadable_batches(b"replies", REPLIES.encode([])))
    fence(stage)
    stage.await_log("message skipped")
    assert stage.alive


def ready_steps(stage: ServiceHarness) -> set[UUID]:
    directives = [stage.rows.directive(max_parallel=20) for _ in range(5)]
    return {stage.rows.step(d, f"s{n}", status="ready") for d in directives for n in range(20)}


def spawned(stage: ServiceHarness) -> set[UUID | None]:
    return {c.step for c in stage.commands if isinstance(c, SpawnTask)}


def test_of_two_executors_the_other_takes_over_when_the_leader_dies(stage: ServiceHarness) -> None:
    stage.start()
    stage.rows.daemon(capacity=200)
    stage.kill_leader()
    steps = ready_steps(stage)
    stage.publish(StepReady())
    stage.until(lambda: spawned(stage) >= steps, "every step sent")
    assert sorted(t["step_id"] for t in stage.rows.all("task")) == sorted(steps)


def test_a_leader_that_stalls_is_replaced_and_does_no_harm_when_it_goes_on(stage: ServiceHarness) -> None:
    stage.start()
    stage.rows.daemon(capacity=200)
    leader = stage.stall_leader()
    steps = ready_steps(stage)
    stage.publish(StepReady())
    stage.until(lambda: spawned(stage) >= steps, "every step sent")
    leader.send_signal(signal.SIGCONT)
    stage.publish(*(StepReady(directive=d["id"]) for d in stage.rows.all("directive")))
    stage.await_log("stands by: another one leads")
    assert sorted(t["step_id"] for t in stage.rows.all("task")) == sorted(steps)


def test_what_was_ready_before_its_start_is_dispatched_without_any_hint(stage: ServiceHarness) -> None:
    stage.kill()
    stage.rows.daemon()
    step = stage.rows.step(stage.rows.directive(), status="ready")
    stage.start()
    stage.await_command(SpawnTask, step=step)


def test_a_plan_too_long_for_one_frame_waits_with_that_reason_and_holds_up_nobody(stage: ServiceHarness) -> None:
    stage.rows.daemon(capacity=100)
    directive = stage.rows.directive(max_parallel=100)
    long = stage.rows.step(directive, "long", status="ready", task_plan="x" * (LIMIT_BYTES + 1))
    middling = [stage.rows.step(directive, f"s{n}", status="ready", task_plan="x" * 700_000) for n in range(12)]
    stage.publish(StepReady(directive=directive))
    stage.until(lambda: {c.step for c in stage.commands if isinstance(c, SpawnTask)} >= set(middling), "the others")
    stage.until(
        lambda: [t for t in stage.rows.all("task", step_id=long) if str(LIMIT_BYTES) in (t["waiting_reason"] or "")],
        "the reason why the long one waits",
    )


def looked(stage: ServiceHarness) -> list[DueStep]:
    """What the executor would find, were it woken."""

    async def look() -> list[DueStep]:
        async with connect(stage.settings.postgres(), most=1) as database:
            return await database.fetch(DUE_STEPS())

    return asyncio.run(look())


# -- what an owner may use ---------------------------------------------------------------------------------------------


def spend(stage: ServiceHarness, owner: str, usd: float, day: str = "(makima.now() AT TIME ZONE 'UTC')::date") -> None:
    stage.connection.execute(
        f"INSERT INTO makima.owner_spending (owner_id, day, cost_usd) VALUES (%s, {day}, %s)",
        (stage.rows.owner(owner), usd),
    )


def test_nothing_starts_once_an_owner_has_spent_what_it_may_a_day(stage: ServiceHarness) -> None:
    for owner in ("frugal", "other"):
        stage.rows.daemon(owner=owner)
        stage.rows.change("owner", stage.rows.owner(owner), max_cost_usd_a_day=5)
    spend(stage, "frugal", 5)
    spend(stage, "other", 9, "'2020-01-01'")
    waits, goes = (stage.rows.directive(owner=owner) for owner in ("frugal", "other"))
    stage.rows.task(waits, "plan", status="pending")
    steps = [stage.rows.step(directive, status="ready") for directive in (waits, goes)]
    stage.publish(*(StepReady(directive=d, steps=(s,)) for d, s in zip((waits, goes), steps, strict=True)))
    stage.await_command(SpawnTask, step=steps[1])
    fence(stage)
    assert [task["status"] for task in stage.rows.all("task", directive_id=waits)] == ["pending"]
    stage.rows.change("owner", stage.rows.owner("frugal"), max_cost_usd_a_day=6)
    stage.publish(SlotsFree(owner="frugal"))
    assert stage.await_command(SpawnTask, step=steps[0]).owner == "frugal"


def test_the_newest_daemons_beyond_what_an_owner_may_have_are_drained_and_give_no_slots(stage: ServiceHarness) -> None:
    stage.rows.change("owner", stage.rows.owner("frugal"), max_daemons=1)
    stage.rows.daemon("b-first", owner="frugal", capacity=2, connected_at="2020-01-01")
    stage.rows.daemon("a-second", owner="frugal", capacity=8, connected_at="2021-01-01")
    directive = stage.rows.directive(owner="frugal", max_parallel=10)
    steps = [stage.rows.step(directive, f"s{n}", status="ready") for n in range(5)]
    stage.publish(SlotsFree())
    stage.await_command(Drain, owner="frugal", daemon="a-second", on=True)
    stage.publish(StepReady(directive=directive, steps=tuple(steps)))
    fence(stage)
    assert len(stage.rows.all("task", directive_id=directive)) == 2
    assert not [c for c in stage.commands if isinstance(c, Drain) and c.daemon == "b-first"]
    stage.rows.change("owner", stage.rows.owner("frugal"), max_daemons=2)
    stage.connection.execute("UPDATE makima.daemon SET draining = true, drains = true WHERE name = 'a-second'")
    stage.publish(SlotsFree())
    stage.await_command(Drain, owner="frugal", daemon="a-second", on=False)


def test_slots_go_first_to_the_directive_with_the_fewest_tasks_running(stage: ServiceHarness) -> None:
    stage.rows.daemon(capacity=5)
    busy, idle = stage.rows.directive("Busy", max_parallel=10), stage.rows.directive("Idle")
    for name in ("a", "b"):
        stage.rows.running_step(busy, name)
    first = [stage.rows.step(busy, f"s{n}", status="ready") for n in range(4)]
    last = [stage.rows.step(idle, f"s{n}", status="ready", order_index=9) for n in range(4)]
    stage.rows.task(busy, step=stage.rows.step(busy, "again", status="running"), attempt=2, not_before="2020-01-01")
    stage.publish(StepReady(directive=busy, steps=tuple(first)), StepReady(directive=idle, steps=tuple(last)))
    fence(stage)
    started = [
        t["directive_id"] for t in stage.rows.all("task", status="starting") if t["directive_id"] in (busy, idle)
    ]
    assert sorted(started, key=str) == sorted([idle, idle, busy], key=str)
    assert [t["attempt"] for t in stage.rows.all("task", directive_id=busy, status="starting")] == [2]


def test_a_look_that_serves_one_directive_knows_that_another_waits_for_a_slot(stage: ServiceHarness) -> None:
    stage.kill()  # it would take what is looked at; nothing follows that needs it
    stage.rows.daemon(capacity=100)
    full, other = stage.rows.directive(max_parallel=1), stage.rows.directive(max_parallel=5)
    late = stage.rows.step(other, "late", status="ready")
    assert short(looked(stage)) is False
    stage.rows.running_step(full)
    stage.rows.step(full, "waits", status="ready")
    assert [step.step_id for step in looked(stage)] == [late]
    assert short(looked(stage)) is True
