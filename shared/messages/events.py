"""Events: something became true. They are hints: losing, doubling or reordering them costs time, never correctness."""

from __future__ import annotations

from uuid import UUID

import msgspec

from shared.messages.numbers import LineNumber, Number


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event carries. `directive` is None only for events about daemons, slots and people."""

    directive: UUID | None = None

    def words(self) -> tuple[str, ...]:
        """What its topic says besides its type."""
        return ()


class DirectiveCreated(Event, frozen=True, kw_only=True, tag="directive.created"):
    """By the gateway, when a directive was stored."""


class DirectiveChanged(Event, frozen=True, kw_only=True, tag="directive.changed"):
    """By whoever changed its goal, status or policies. `status` is the new one, `changed` names what else a person
    changed, `version` (by the gateway) is the row's after it."""

    status: str = ""
    reason: str | None = None
    changed: tuple[str, ...] = ()
    version: Number = 0

    def words(self) -> tuple[str, ...]:
        """Its status."""
        return (self.status,)


class PlanRequested(Event, frozen=True, kw_only=True, tag="plan.requested"):
    """By the gateway or the monitor, when a plan request was stored."""

    reason: str = ""


class PlanFinished(Event, frozen=True, kw_only=True, tag="plan.finished"):
    """By the monitor, when a plan task ended well and its steps came into force."""

    steps: Number = 0


class StepAdded(Event, frozen=True, kw_only=True, tag="step.added"):
    """By the gateway, once a batch."""

    steps: tuple[UUID, ...] = ()


class StepRemoved(Event, frozen=True, kw_only=True, tag="step.removed"):
    """By the gateway or, when a plan comes into force or is withdrawn, the monitor: the step is gone."""

    step: UUID | None = None


class StepReady(Event, frozen=True, kw_only=True, tag="step.ready"):
    """By the monitor or the gateway, once a batch: these steps may run now."""

    steps: tuple[UUID, ...] = ()


class StepChanged(Event, frozen=True, kw_only=True, tag="step.changed"):
    """By the monitor or the gateway, once a step and change."""

    step: UUID | None = None
    name: str = ""
    status: str = ""
    reason: str | None = None


class TaskCreated(Event, frozen=True, kw_only=True, tag="task.created"):
    """By the planner, executor or completer: a task waits to be dispatched."""

    task: UUID | None = None
    kind: str = ""


class TaskChanged(Event, frozen=True, kw_only=True, tag="task.changed"):
    """By the executor (starting, pending) or the monitor (everything else): the task's status is another. By the
    gateway or the monitor, with `asked`: something is asked of a task whose status is as before."""

    task: UUID | None = None
    attempt: Number = 0
    kind: str = ""
    status: str = ""
    daemon: str | None = None
    reason: str | None = None
    asked: bool = False

    def words(self) -> tuple[str, ...]:
        """Its status, or that something is asked of it; and the task's kind."""
        return ("asked" if self.asked else self.status, self.kind)


class TaskOutput(Event, frozen=True, kw_only=True, tag="task.output"):
    """By the broker, as a batch of output passes; the stored rows are the truth."""

    task: UUID | None = None
    attempt: Number = 0
    first: LineNumber = 0
    lines: tuple[str, ...] = ()


class QuestionAsked(Event, frozen=True, kw_only=True, tag="question.asked"):
    """By the gateway: an agent waits for an answer; the monitor pauses its task."""

    question: UUID | None = None
    task: UUID | None = None
    text: str = ""


class QuestionAnswered(Event, frozen=True, kw_only=True, tag="question.answered"):
    """By the gateway (a person answered) or the monitor (nobody did in time): `settled` says how."""

    question: UUID | None = None
    task: UUID | None = None
    settled: str = ""


class OrderChanged(Event, frozen=True, kw_only=True, tag="order.changed"):
    """By the gateway (added, linked, cancelled) or the monitor (the steps that serve it moved on)."""

    order: UUID | None = None
    status: str = ""


class DeliveryFinished(Event, frozen=True, kw_only=True, tag="delivery.finished"):
    """By the completer, when a delivery's result was recorded."""

    branch: str = ""
    pr_url: str | None = None


class DaemonConnected(Event, frozen=True, kw_only=True, tag="daemon.connected"):
    """By the broker, at a daemon's first Hello."""

    daemon: str = ""
    owner: str = ""


class DaemonLost(Event, frozen=True, kw_only=True, tag="daemon.lost"):
    """By the broker, when a daemon was unheard for `lost_seconds` or said goodbye."""

    daemon: str = ""
    owner: str = ""


class DaemonKeyChanged(Event, frozen=True, kw_only=True, tag="daemon.key_changed"):
    """By the gateway: a key of a daemon on another machine has this status from now on, or is `expired` and gone.
    `key` is its fingerprint, `daemon` the name that it stands for."""

    key: str = ""
    daemon: str = ""
    owner: str = ""
    status: str = ""
    reason: str | None = None


class OwnerChanged(Event, frozen=True, kw_only=True, tag="owner.changed"):
    """By the gateway: an owner was made, or what it may use is another; `changed` names what."""

    owner: str = ""
    changed: tuple[str, ...] = ()


class MemberChanged(Event, frozen=True, kw_only=True, tag="member.changed"):
    """By the gateway: a person has this role in an owner from now on, or none."""

    owner: str = ""
    person: str = ""
    role: str | None = None


ISSUED, REVOKED = "issued", "revoked"


class TokenChanged(Event, frozen=True, kw_only=True, tag="token.changed"):
    """By the gateway: a person's token was ISSUED or REVOKED."""

    owner: str = ""
    person: str = ""
    token: UUID | None = None
    name: str = ""
    status: str = ""


class SlotsFree(Event, frozen=True, kw_only=True, tag="slots.free"):
    """By the broker, when an owner's free slots grew: how many are free now."""

    owner: str = ""
    free: Number = 0


AnyEvent = (
    DirectiveCreated
    | DirectiveChanged
    | PlanRequested
    | PlanFinished
    | StepAdded
    | StepRemoved
    | StepReady
    | StepChanged
    | TaskCreated
    | TaskChanged
    | TaskOutput
    | QuestionAsked
    | QuestionAnswered
    | OrderChanged
    | DeliveryFinished
    | DaemonConnected
    | DaemonLost
    | DaemonKeyChanged
    | OwnerChanged
    | MemberChanged
    | TokenChanged
    | SlotsFree
)
