"""What a batch of reports becomes: retries, limits, fencing, and words said twice."""

from uuid import UUID

import msgspec
import pytest

from services.monitor.decisions import Decision, Known, decide
from shared.domain.ids import uuid7
from shared.domain.outcomes import Live
from shared.domain.policies import PLANNED_NOTHING
from shared.domain.retry import wait_seconds
from shared.domain.statuses import AttemptOutcome, CancelCause, StepStatus, TaskKind, TaskStatus
from shared.messages.identities import DaemonOf
from shared.messages.reports import (
    NotYours,
    Report,
    TaskAccepted,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
    TaskUsage,
)

TASK = uuid7(1, bytes(10))


def known(live: Live, kind: TaskKind = TaskKind.STEP) -> Known:
    return Known(id=TASK, directive=uuid7(2, bytes(10)), step=uuid7(3, bytes(10)), kind=kind, live=live)


def run(
    task: Known, *reports: Report, daemon: str = "d", planned: bool = False
) -> tuple[Decision | None, list[NotYours]]:
    decided, refused = decide(
        [(DaemonOf("", daemon), r) for r in reports], {TASK: task}, {TASK: planned}, [0.5 for _ in reports]
    )
    return decided.get(TASK), [refusal for _, refusal in refused]


def running(**more: int) -> Live:
    return Live(status=TaskStatus.RUNNING, attempt=1, daemon="d", **more)


def test_a_whole_life_in_one_batch_is_one_decision() -> None:
    task = known(Live(status=TaskStatus.STARTING, attempt=1))
    decision, refused = run(
        task,
        TaskAccepted(seq=1, task=TASK, attempt=1),
        TaskStarted(seq=2, task=TASK, attempt=1, branch="b"),
        TaskSucceeded(seq=3, task=TASK, attempt=1, branch="b", outcome="done"),
    )
    assert decision is not None
    assert (decision.verdict.status, decision.verdict.step) == (TaskStatus.COMPLETED, StepStatus.COMPLETED)
    assert (decision.branch, decision.daemon, refused) == ("b", "d", [])
    assert decision.verdict.delay_seconds == 0


def test_a_failure_runs_again_with_a_pause_until_its_attempts_are_spent() -> None:
    failure = TaskFailed(seq=1, task=TASK, attempt=1, reason="no")
    first, _ = run(known(running()), failure)
    assert first is not None
    assert (first.verdict.status, first.verdict.attempt) == (TaskStatus.PENDING, 2)
    assert first.verdict.delay_seconds > 0
    last, _ = run(known(running(failures=1)), failure)
    assert last is not None
    assert (last.verdict.status, last.verdict.step) == (TaskStatus.FAILED, StepStatus.FAILED)


def test_what_a_retry_cannot_fix_fails_at_once() -> None:
    decision, _ = run(known(running()), TaskFailed(seq=1, task=TASK, attempt=1, reason="no", permanent=True))
    assert decision is not None
    assert decision.verdict.status is TaskStatus.FAILED


def test_an_interruption_is_no_failure_but_a_cancel_is_the_end() -> None:
    again, _ = run(known(running()), TaskInterrupted(seq=1, task=TASK, attempt=1))
    ended, _ = run(known(running()), TaskInterrupted(seq=1, task=TASK, attempt=1, cancelled=True))
    assert again is not None
    assert ended is not None
    assert (again.verdict.status, again.verdict.failures, again.verdict.losses) == (TaskStatus.PENDING, 0, 1)
    assert (ended.verdict.status, ended.verdict.ended) == (TaskStatus.CANCELLED, AttemptOutcome.CANCELLED)


def test_only_the_live_attempt_on_its_own_daemon_counts() -> None:
    success = TaskSucceeded(seq=1, task=TASK, attempt=1)
    second_attempt = Live(status=TaskStatus.RUNNING, attempt=2, daemon="d")
    for task, daemon in ((known(second_attempt), "d"), (known(running()), "other")):
        assert run(task, success, daemon=daemon) == (None, [NotYours(task=TASK, attempt=1)])


def test_a_task_that_nobody_knows_is_refused() -> None:
    other = UUID(int=1)
    decided, refused = decide([(DaemonOf("", "d"), TaskAccepted(seq=1, task=other, attempt=1))], {}, {}, [0.5])
    assert decided == {}
    assert refused == [(DaemonOf("", "d"), NotYours(task=other, attempt=1))]


def test_a_success_said_twice_is_decided_once_and_not_refused() -> None:
    done = Live(status=TaskStatus.COMPLETED, attempt=1, daemon="d")
    assert run(known(done), TaskSucceeded(seq=1, task=TASK, attempt=1)) == (None, [])


def test_a_plan_that_planned_nothing_has_failed() -> None:
    success = TaskSucceeded(seq=1, task=TASK, attempt=1)
    nothing, _ = run(known(running(), TaskKind.PLAN), success)
    something, _ = run(known(running(), TaskKind.PLAN), success, planned=True)
    assert nothing is not None
    assert something is not None
    assert (nothing.verdict.status, nothing.reason) == (TaskStatus.PENDING, PLANNED_NOTHING)
    assert something.verdict.status is TaskStatus.COMPLETED


def test_a_limit_that_was_reached_is_the_next_attempt_after_its_pause_and_no_failure() -> None:
    again, _ = run(known(running()), TaskFailed(seq=1, task=TASK, attempt=1, reason="later", wait_seconds=90.0))
    assert again is not None
    verdict = again.verdict
    assert (verdict.status, verdict.attempt, verdict.ended) == (TaskStatus.PENDING, 2, AttemptOutcome.INTERRUPTED)
    assert (verdict.delay_seconds, verdict.failures, verdict.losses, verdict.step) == (90.0, 0, 0, None)


@pytest.mark.parametrize(
    ("attempt", "failures", "losses", "waits"), [(1, 0, 0, 0), (2, 0, 0, 1), (4, 1, 2, 0), (6, 1, 1, 3)]
)
def test_a_limit_that_says_no_time_is_waited_for_longer_each_time_it_comes_again(
    attempt: int, failures: int, losses: int, waits: int
) -> None:
    live = Live(status=TaskStatus.RUNNING, attempt=attempt, daemon="d", failures=failures, losses=losses)
    again, _ = run(known(live), TaskFailed(seq=1, task=TASK, attempt=attempt, reason="busy", wait_seconds=0.0))
    assert again is not None
    assert again.verdict.attempt == attempt + 1
    assert again.verdict.delay_seconds == wait_seconds(waits, 0.5)


def test_what_a_person_must_fix_is_the_next_attempt_at_once_and_no_failure() -> None:
    again, _ = run(known(running()), TaskFailed(seq=1, task=TASK, attempt=1, reason="signed out", blocked=True))
    assert again is not None
    assert again.blocked
    assert (again.verdict.status, again.verdict.attempt) == (TaskStatus.PENDING, 2)
    assert (again.verdict.delay_seconds, again.verdict.failures, again.verdict.losses) == (0.0, 0, 0)


def test_an_attempt_costs_the_most_that_was_said_of_it_and_keeps_the_session_it_had() -> None:
    decision, _ = run(
        known(running()),
        TaskStarted(seq=1, task=TASK, attempt=1, session="s1"),
        TaskUsage(seq=2, task=TASK, attempt=1, cost_usd=5.0, tokens=700),
        TaskUsage(seq=3, task=TASK, attempt=1, cost_usd=2.0, tokens=300),
        TaskSucceeded(seq=4, task=TASK, attempt=1),
    )
    assert decision is not None
    assert (decision.cost_usd, decision.tokens, decision.session) == (5.0, 700, "s1")
    renamed, _ = run(known(running()), TaskUsage(seq=1, task=TASK, attempt=1, session="s2"))
    assert renamed is not None
    assert renamed.session == "s2"


def test_a_task_that_was_superseded_is_cancelled_though_its_agent_gave_up() -> None:
    task = msgspec.structs.replace(known(running()), cancel_cause=CancelCause.SUPERSEDED, gave_up="too hard")
    superseded, _ = run(task, TaskSucceeded(seq=1, task=TASK, attempt=1))
    assert superseded is not None
    assert (superseded.verdict.status, superseded.reason) == (TaskStatus.CANCELLED, "it was superseded")
    gave_up, _ = run(msgspec.structs.replace(task, cancel_cause=None), TaskSucceeded(seq=1, task=TASK, attempt=1))
    assert gave_up is not None
    assert (gave_up.verdict.status, gave_up.reason) == (TaskStatus.PENDING, "the agent gave up: too hard")


def test_within_a_batch_an_attempt_is_the_daemons_that_took_it() -> None:
    started = TaskStarted(seq=1, task=TASK, attempt=1)
    success = TaskSucceeded(seq=1, task=TASK, attempt=1)
    task = known(Live(status=TaskStatus.STARTING, attempt=1))
    decided, refused = decide(
        [(DaemonOf("", "d"), started), (DaemonOf("", "other"), success)], {TASK: task}, {}, [0.5, 0.5]
    )
    assert (decided[TASK].verdict.status, decided[TASK].daemon) == (TaskStatus.RUNNING, "d")
    assert refused == [(DaemonOf("", "other"), NotYours(task=TASK, attempt=1))]
