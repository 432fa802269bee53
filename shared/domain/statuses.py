"""Every status and every allowed transition, in one table an entity. docs/state-machines.md is drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class DirectiveStatus(StrEnum):
    """Where a directive stands. `idle` with a pr_url means: delivered, waiting for its pull request."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    AWAITING_APPROVAL = "awaiting_approval"
    IDLE = "idle"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class Standing(StrEnum):
    """Where a directive stands, as people are told (makima.standing decides it): finer than its status."""

    DRAFT = "draft"
    PLANNING = "planning"
    RUNNING = "running"
    WAITING = "waiting"
    AWAITING_APPROVAL = "awaiting approval"
    MERGING = "merging"
    CHECKING = "checking"
    DELIVERING = "delivering"
    PULL_REQUEST_OPEN = "pull request open"
    DELIVERED = "delivered"
    MERGED = "merged"
    COMPLETED = "completed"
    PAUSED = "paused"
    ARCHIVED = "archived"


class StepStatus(StrEnum):
    """Where a node of the DAG stands."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


class TaskStatus(StrEnum):
    """Where a job stands. `paused` means that a question waits for its answer."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TaskKind(StrEnum):
    """What a task is for."""

    PLAN = "plan"
    STEP = "step"
    COMPLETION = "completion"
    VERIFICATION = "verification"


class OrderStatus(StrEnum):
    """Where an order stands; all but `cancelled` follow from the steps that serve it."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"


class PauseCause(StrEnum):
    """Why a directive is paused: what would let it go on differs."""

    PERSON = "person"
    PLANNING = "planning"
    FAILURE = "failure"
    STUCK = "stuck"
    BUDGET = "budget"
    DELIVERY = "delivery"
    BLOCKED = "blocked"


class CancelCause(StrEnum):
    """Why a task's end was asked for, where no person wants the task itself ended. None is a failure of the work."""

    SUPERSEDED = "superseded"
    STOPPED = "stopped"
    ARCHIVED = "archived"


class AttemptOutcome(StrEnum):
    """How one run of a task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    CANCELLED = "cancelled"


class Refusal(StrEnum):
    """The kinds of reasons why an attempt can be sent to no daemon."""

    NO_DAEMON = "no_daemon"
    DRAINING = "draining"
    LABELS = "labels"
    AGENT = "agent"
    SLOTS = "slots"
    ENDED = "ended"
    TOO_LARGE = "too_large"


class KeyStatus(StrEnum):
    """Where a key of a daemon on another machine stands: an invitation's, or a daemon's own."""

    INVITED = "invited"
    USED = "used"
    ASKING = "asking"
    ACCEPTED = "accepted"
    REVOKED = "revoked"


class DeliveredAs(StrEnum):
    """How a person's words reached an agent."""

    WHILE_IT_RAN = "while_it_ran"
    NEXT_TURN = "next_turn"

    @classmethod
    def _missing_(cls, value: object) -> DeliveredAs | None:
        """Daemons of makima before its first release say it in prose."""
        return {"while it ran": cls.WHILE_IT_RAN, "at its next turn": cls.NEXT_TURN}.get(str(value))


class TransitionRefused(ValueError):
    """A status change that the tables below don't hold."""


_D, _S, _T = DirectiveStatus, StepStatus, TaskStatus

DIRECTIVE_TRANSITIONS: Mapping[DirectiveStatus, frozenset[DirectiveStatus]] = {
    _D.DRAFT: frozenset({_D.ACTIVE, _D.ARCHIVED}),
    _D.ACTIVE: frozenset({_D.PAUSED, _D.AWAITING_APPROVAL, _D.IDLE, _D.ARCHIVED}),
    _D.PAUSED: frozenset({_D.ACTIVE, _D.AWAITING_APPROVAL, _D.COMPLETED, _D.ARCHIVED}),
    _D.AWAITING_APPROVAL: frozenset({_D.ACTIVE, _D.PAUSED, _D.ARCHIVED}),
    _D.IDLE: frozenset({_D.ACTIVE, _D.PAUSED, _D.COMPLETED, _D.ARCHIVED}),
    _D.COMPLETED: frozenset({_D.ACTIVE, _D.ARCHIVED}),
    _D.ARCHIVED: frozenset(),
}

STEP_TRANSITIONS: Mapping[StepStatus, frozenset[StepStatus]] = {
    _S.PENDING: frozenset({_S.READY, _S.SKIPPED}),
    _S.READY: frozenset({_S.RUNNING, _S.PENDING, _S.SKIPPED, _S.COMPLETED, _S.FAILED}),
    _S.RUNNING: frozenset({_S.COMPLETED, _S.FAILED, _S.READY}),
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset({_S.PENDING, _S.SKIPPED}),
    _S.SKIPPED: frozenset({_S.PENDING}),
}

TASK_TRANSITIONS: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    _T.PENDING: frozenset({_T.STARTING, _T.CANCELLED, _T.FAILED}),
    _T.STARTING: frozenset({_T.RUNNING, _T.PENDING, _T.COMPLETED, _T.FAILED, _T.CANCELLED}),
    _T.RUNNING: frozenset({_T.PAUSED, _T.PENDING, _T.COMPLETED, _T.FAILED, _T.CANCELLED}),
    _T.PAUSED: frozenset({_T.RUNNING, _T.PENDING, _T.COMPLETED, _T.FAILED, _T.CANCELLED}),
    _T.COMPLETED: frozenset(),
    _T.FAILED: frozenset(),
    _T.CANCELLED: frozenset(),
}

LIVE_TASK = frozenset({_T.PENDING, _T.STARTING, _T.RUNNING, _T.PAUSED})
"""Statuses of which a step, a planning and a delivery may have one task at most."""

ON_A_DAEMON = frozenset({_T.STARTING, _T.RUNNING, _T.PAUSED})
"""Statuses that take one of a daemon's slots."""

UNSTARTED_TASK = frozenset({_T.PENDING, _T.STARTING})
"""Statuses before an agent works on it."""

BEGUN_TASK = frozenset({_T.RUNNING, _T.PAUSED})
"""Statuses in which its agent can be told something."""

ENDED_TASK = frozenset({_T.COMPLETED, _T.FAILED, _T.CANCELLED})
"""Statuses that a task never leaves."""

SETTLED_STEP = frozenset({_S.COMPLETED, _S.SKIPPED})
"""Statuses that satisfy whoever depends on a step."""

TERMINAL_STEP = frozenset({_S.COMPLETED, _S.SKIPPED, _S.FAILED})
"""Statuses that a step leaves only when somebody wants it to run again."""

UNSETTLED_STEP = frozenset({_S.PENDING, _S.READY, _S.RUNNING, _S.FAILED})
"""Statuses that hold up whoever depends on a step."""

BEGUN_STEP = frozenset({_S.RUNNING, _S.COMPLETED, _S.FAILED, _S.SKIPPED})
"""Statuses in which something was done for a step, or decided of it."""

ACTIVE_STEP = frozenset({_S.READY, _S.RUNNING})
"""Statuses in which something is being done for a step, or may be at once."""

INACTIVE_STEP = frozenset(_S) - ACTIVE_STEP
"""The others: a report on a task doesn't change a step of them."""

UNFINISHED_STEP = frozenset({_S.PENDING, _S.READY, _S.RUNNING})
"""Statuses of a step that is still to be run, or runs: those that aren't terminal."""

SKIPPABLE_STEP = frozenset(status for status, after in STEP_TRANSITIONS.items() if _S.SKIPPED in after)
"""Statuses in which a person may skip a step."""

REMOVABLE_STEP = frozenset({_S.PENDING, _S.READY, _S.FAILED, _S.SKIPPED})
"""Statuses in which a plan may take a step away: it did no work that counts, and does none."""

AGENT_KINDS = frozenset({TaskKind.PLAN, TaskKind.STEP})
"""Kinds of task that an agent is asked to do."""

DELIVERY_KINDS = frozenset({TaskKind.COMPLETION, TaskKind.VERIFICATION})
"""Kinds of task that are about a directive's delivery, of which it has one at a time."""

SETS: Mapping[str, frozenset[StepStatus] | frozenset[TaskStatus] | frozenset[TaskKind]] = {
    "live_task": LIVE_TASK,
    "on_a_daemon": ON_A_DAEMON,
    "unstarted_task": UNSTARTED_TASK,
    "begun_task": BEGUN_TASK,
    "ended_task": ENDED_TASK,
    "settled_step": SETTLED_STEP,
    "terminal_step": TERMINAL_STEP,
    "unsettled_step": UNSETTLED_STEP,
    "begun_step": BEGUN_STEP,
    "active_step": ACTIVE_STEP,
    "inactive_step": INACTIVE_STEP,
    "unfinished_step": UNFINISHED_STEP,
    "skippable_step": SKIPPABLE_STEP,
    "removable_step": REMOVABLE_STEP,
    "agent_kinds": AGENT_KINDS,
    "delivery_kinds": DELIVERY_KINDS,
}
"""The sets by the names that SQL has for them: `status IN ({live_task})`.

A statement that says NOT IN, where it could say IN, keeps itself from an index over all rows of the set.
"""


def check_directive(before: DirectiveStatus, after: DirectiveStatus) -> None:
    """Raise TransitionRefused unless the table allows it."""
    if after not in DIRECTIVE_TRANSITIONS[before]:
        raise TransitionRefused(f"a directive that is {before} can't become {after}")


def check_task(before: TaskStatus, after: TaskStatus) -> None:
    """Raise TransitionRefused unless the table allows it."""
    if after not in TASK_TRANSITIONS[before]:
        raise TransitionRefused(f"a task that is {before} can't become {after}")
