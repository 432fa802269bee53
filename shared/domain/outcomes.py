"""What becomes of a task and its step when an attempt says something (rules 4, 9 and 14). Pure."""

from __future__ import annotations

import msgspec

from shared.domain.retry import FIRST_WAIT_SECONDS, backoff_seconds, may_resume, may_retry, wait_seconds
from shared.domain.statuses import ON_A_DAEMON, AttemptOutcome, StepStatus, TaskStatus, check_task


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it stands."""

    status: TaskStatus
    attempt: int
    failures: int = 0
    losses: int = 0
    max_attempts: int = 2
    daemon: str | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a task becomes. `step` None leaves its step as it is; `ended` None means that the attempt goes on."""

    status: TaskStatus
    attempt: int
    failures: int
    losses: int
    delay_seconds: float = 0.0
    step: StepStatus | None = None
    ended: AttemptOutcome | None = None


def is_live(task: Live, attempt: int, daemon: str) -> bool:
    """Fencing: whether a daemon's word on an attempt counts."""
    return task.status in ON_A_DAEMON and task.attempt == attempt and task.daemon in (None, daemon)


def running(task: Live) -> Verdict:
    """The attempt was accepted or has started: the task runs."""
    return _verdict(task, TaskStatus.RUNNING, step=StepStatus.RUNNING)


def accepted(task: Live) -> Verdict:
    """A daemon has it in hand."""
    return _verdict(task, task.status)


def succeeded(task: Live) -> Verdict:
    """It ended well."""
    return _verdict(task, TaskStatus.COMPLETED, step=StepStatus.COMPLETED, ended=AttemptOutcome.SUCCEEDED)


def failed(task: Live, jitter: float, permanent: bool = False) -> Verdict:
    """It ended badly: again after a pause while attempts are left, unless trying again can't help."""
    failures = task.failures + 1
    if permanent or not may_retry(failures, task.max_attempts):
        return _verdict(task, TaskStatus.FAILED, step=StepStatus.FAILED, ended=AttemptOutcome.FAILED, failures=failures)
    return _verdict(
        task,
        TaskStatus.PENDING,
        ended=AttemptOutcome.FAILED,
        failures=failures,
        attempt=task.attempt + 1,
        delay_seconds=backoff_seconds(failures, jitter),
    )


def limited(task: Live, seconds: float, jitter: float) -> Verdict:
    """Its model is limited or not there: again after so long, or after growing pauses (0); nothing has failed."""
    waits = max(task.attempt - 1 - task.failures - task.losses, 0)
    return _verdict(
        task,
        TaskStatus.PENDING,
        ended=AttemptOutcome.INTERRUPTED,
        attempt=task.attempt + 1,
        delay_seconds=max(seconds, FIRST_WAIT_SECONDS) if seconds else wait_seconds(waits, jitter),
    )


def blocked(task: Live) -> Verdict:
    """A person must fix something first: again as soon as the directive, which is paused for it, goes on."""
    return _verdict(task, TaskStatus.PENDING, ended=AttemptOutcome.INTERRUPTED, attempt=task.attempt + 1)


def interrupted(task: Live, outcome: AttemptOutcome = AttemptOutcome.INTERRUPTED) -> Verdict:
    """The daemon stopped or was lost: again at once, up to the limit of losses."""
    losses = task.losses + 1
    if not may_resume(losses):
        return _verdict(task, TaskStatus.FAILED, step=StepStatus.FAILED, ended=outcome, losses=losses)
    return _verdict(task, TaskStatus.PENDING, ended=outcome, losses=losses, attempt=task.attempt + 1)


def cancelled(task: Live) -> Verdict:
    """Somebody wanted it to end."""
    return _verdict(task, TaskStatus.CANCELLED, step=StepStatus.FAILED, ended=AttemptOutcome.CANCELLED)


def stopped(task: Live) -> Verdict:
    """It was told to stop for now: its step is to run again, and nothing has failed."""
    return _verdict(task, TaskStatus.CANCELLED, step=StepStatus.READY, ended=AttemptOutcome.CANCELLED)


def _verdict(
    task: Live,
    status: TaskStatus,
    *,
    step: StepStatus | None = None,
    ended: AttemptOutcome | None = None,
    attempt: int | None = None,
    failures: int | None = None,
    losses: int | None = None,
    delay_seconds: float = 0.0,
) -> Verdict:
    if status is not task.status:
        check_task(task.status, status)
    return Verdict(
        status=status,
        attempt=task.attempt if attempt is None else attempt,
        failures=task.failures if failures is None else failures,
        losses=task.losses if losses is None else losses,
        delay_seconds=delay_seconds,
        step=step,
        ended=ended,
    )
