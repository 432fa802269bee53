"""A batch of reports on tasks as they stand -> one decision a task, and an answer to each report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

import msgspec

from shared.domain import outcomes
from shared.domain.delivery import Commit, Result
from shared.domain.outcomes import Live, Verdict
from shared.domain.policies import PLANNED_NOTHING, OnFailure
from shared.domain.statuses import AttemptOutcome, CancelCause, TaskKind, TransitionRefused
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


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A task that reports are about, with its row's facts."""

    id: UUID
    directive: UUID
    step: UUID | None
    kind: TaskKind
    live: Live
    owner: str = ""
    """Its owner's name."""
    name: str = ""
    on_failure: OnFailure = OnFailure.REPLAN
    approve_plan: bool = False
    has_budget: bool = False
    serves: bool = False
    """Its step serves an order."""
    cancel_cause: CancelCause | None = None
    """Why its end was asked for, when that is no person's wish that it fail."""
    gave_up: str | None = None
    """Why its agent says that it can't do it."""
    spent_usd: float = 0.0
    """What its attempt cost by the last report of it, and"""
    spent_tokens: int = 0
    """the tokens that it used."""


class Decision(msgspec.Struct, kw_only=True):
    """What to write of one task: its attempt's facts so far, and the verdict."""

    task: Known
    attempt: int
    verdict: Verdict
    daemon: str | None = None
    branch: str | None = None
    head: str | None = None
    base: str | None = None
    """The newest commit of the base branch that its work is built on."""
    session: str | None = None
    agent: str = ""
    """The one that runs in the place of the task's."""
    outcome: str = ""
    reason: str | None = None
    cost_usd: float = 0.0
    tokens: int = 0
    kept_branch: str | None = None
    blocked: bool = False
    """A person must fix something before it goes on."""
    tail: str | None = None
    exit_code: int | None = None
    result: Result | None = None
    files_changed: tuple[str, ...] = ()
    commits: tuple[Commit, ...] = ()
    unchecked: bool = False
    """Its directive goes on without the check."""


def decide(
    reports: Sequence[tuple[DaemonOf, Report]],
    tasks: Mapping[UUID, Known],
    planned: Mapping[UUID, bool],
    jitters: Sequence[float],
) -> tuple[dict[UUID, Decision], list[tuple[DaemonOf, NotYours]]]:
    """One decision a task, and the refusals.

    `reports` are (daemon, report) in order of arrival, `planned` whether each planning task planned something,
    `jitters` a number in [0, 1) a report for the backoff's jitter. A late or doubled word of the daemon that had the
    attempt, or one that can't follow on what it said before, is neither decided nor refused: it is simply acknowledged.
    """
    decisions: dict[UUID, Decision] = {}
    refused: list[tuple[DaemonOf, NotYours]] = []
    for (sender, report), jitter in zip(reports, jitters, strict=True):
        task, daemon = tasks.get(report.task), sender.name
        before = decisions.get(report.task)
        live = _after(task.live, before) if task and task.owner == sender.owner else None
        if task is None or live is None or not outcomes.is_live(live, report.attempt, daemon):
            if live is None or not _was_theirs(task, before, daemon, report):
                refused.append((sender, NotYours(task=report.task, attempt=report.attempt)))
            continue
        with suppress(TransitionRefused):
            decisions[report.task] = _decide(task, live, daemon, report, before, planned.get(report.task), jitter)
    return decisions, refused


def _after(live: Live, decision: Decision | None) -> Live:
    """A task as it stands after an earlier report of the same batch."""
    if decision is None:
        return live
    v = decision.verdict
    return Live(
        status=v.status,
        attempt=v.attempt,
        failures=v.failures,
        losses=v.losses,
        max_attempts=live.max_attempts,
        daemon=decision.daemon,
    )


def _was_theirs(task: Known | None, before: Decision | None, daemon: str, report: Report) -> bool:
    """Whether a daemon speaks of an attempt of its own that has ended already: said twice, or out of order."""
    if before is not None:
        return before.attempt == report.attempt and before.daemon == daemon
    return task is not None and task.live.daemon == daemon and task.live.attempt == report.attempt


def _decide(
    task: Known, live: Live, daemon: str, report: Report, before: Decision | None, planned: bool | None, jitter: float
) -> Decision:
    decision = before or Decision(task=task, attempt=report.attempt, verdict=outcomes.accepted(live))
    decision.daemon = daemon
    match report:
        case TaskAccepted():
            decision.verdict = outcomes.accepted(live)
        case TaskStarted():
            decision.verdict = outcomes.running(live)
            decision.branch, decision.session, decision.agent = report.branch or None, report.session, report.agent
        case TaskSucceeded() if task.cancel_cause is CancelCause.SUPERSEDED:
            decision.verdict, decision.reason = outcomes.cancelled(live), "it was superseded"
        case TaskSucceeded() if task.gave_up:
            decision.verdict, decision.reason = outcomes.failed(live, jitter), f"the agent gave up: {task.gave_up}"
        case TaskSucceeded() if task.kind is TaskKind.PLAN and not planned:
            decision.verdict, decision.reason = outcomes.failed(live, jitter), PLANNED_NOTHING
        case TaskSucceeded():
            decision.verdict = outcomes.succeeded(live)
            decision.branch, decision.head, decision.outcome = report.branch, report.head, report.outcome
            decision.files_changed, decision.commits = report.files_changed, report.commits
            decision.result, decision.base = report.result, report.base
            decision.unchecked = report.unchecked
        case TaskUsage():
            pass
        case TaskFailed():
            decision.verdict = _setback(live, report, jitter)
            decision.blocked, decision.kept_branch = report.blocked, report.branch
            decision.reason, decision.tail, decision.exit_code = report.reason, report.tail, report.exit_code
        case TaskInterrupted():
            decision.verdict = _ended(task, live) if report.cancelled else outcomes.interrupted(live)
            decision.reason, decision.kept_branch = report.reason or "interrupted", report.branch
        case _:
            raise TypeError(f"no decision on {type(report).__name__}")
    if isinstance(report, TaskUsage | TaskSucceeded | TaskFailed | TaskInterrupted):
        decision.session = decision.session if report.session is None else report.session
        decision.cost_usd = max(decision.cost_usd, report.cost_usd)
        decision.tokens = max(decision.tokens, report.tokens)
    return decision


def _setback(live: Live, report: TaskFailed, jitter: float) -> Verdict:
    if report.blocked:
        return outcomes.blocked(live)
    if report.wait_seconds is not None:
        return outcomes.limited(live, report.wait_seconds, jitter)
    return outcomes.failed(live, jitter, permanent=report.permanent)


def _ended(task: Known, live: Live) -> Verdict:
    """What a task becomes whose end was asked for: its step has failed, unless it was only to stop for now."""
    return outcomes.stopped(live) if task.cancel_cause is CancelCause.STOPPED else outcomes.cancelled(live)


def lost(task: Known) -> Decision:
    """The lease of a task ran out."""
    verdict = outcomes.interrupted(task.live, AttemptOutcome.LOST)
    reason = f"the daemon {task.live.daemon} was lost" if task.live.daemon else "no daemon took it in time"
    return Decision(task=task, attempt=task.live.attempt, verdict=verdict, reason=reason)


def cancelled(task: Known, reason: str) -> Decision:
    """A task that never ran is to be cancelled."""
    return Decision(task=task, attempt=task.live.attempt, verdict=_ended(task, task.live), reason=reason)
