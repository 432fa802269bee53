"""What a batch of reports becomes: retries, limits, fencing, and words said twice."""

from uuid import UUID

from services.monitor.decisions import Decision, Known, decide
from shared.domain.ids import uuid7
from shared.domain.outcomes import Live
from shared.domain.policies import PLANNED_NOTHING
from shared.domain.statuses import AttemptOutcome, StepStatus, TaskKind, TaskStatus
from shared.messages.reports import (
    NotYours,
    Report,
    TaskAccepted,
    TaskFailed,
    TaskInterrupted,
    TaskStarted,
    TaskSucceeded,
)

TASK = uuid7(1, bytes(10))


def known(live: Live, kind: TaskKind = TaskKind.STEP) -> Known:
    return Known(id=TASK, directive=uuid7(2, bytes(10)), step=uuid7(3, bytes(10)), kind=kind, live=live)


def run(
    task: Known, *reports: Report, daemon: str = "d", planned: bool = False
) -> tuple[Decision | None, list[NotYours]]:
    decided, refused = decide([(daemon, r) for r in reports], {TASK: task}, {TASK: planned}, [0.5 for _ in reports])
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


def test_a_failure_runs_again_with_a_pause_until_its_attempts_are_spent() -> None:
    failure = TaskFailed(seq=1, task=TASK, attempt=1, reason="no")
    first, _ = run(known(running()), failure)
    assert first is not None
    assert (first.verdict.status, first.verdict.attempt) == (TaskStatus.PENDING, 2)
    assert first.verdict.delay_seconds > 0
    last, _ = run(known(running(failures=1)), failure)
    assert last is not None
    assert (last.verdict.status, last.verdict.step) == (TaskStatus.FAILED, StepStatus.FAILED)


def test_what_a_retry_cannot_mend_fails_at_once() -> None:
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
    decided, refused = decide([("d", TaskAccepted(seq=1, task=other, attempt=1))], {}, {}, [0.5])
    assert decided == {}
    assert refused == [("d", NotYours(task=other, attempt=1))]


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
