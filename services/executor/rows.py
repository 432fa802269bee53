"""The executor's statements, and what their rows become."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.executor.prompts import Dependency
from shared.domain.delivery import Delivery
from shared.store.statements import Statements

SQL = Statements("services.executor")


class DueStep(msgspec.Struct, frozen=True, kw_only=True):
    """A ready step, with all that decides where it starts (rule 7) and what its agent is told."""

    step_id: UUID
    directive_id: UUID
    owner_id: UUID
    owner: str
    """Its owner's name."""
    title: str
    name: str
    description: str
    task_plan: str
    pr_branch: str | None
    repository_url: str | None
    base_branch: str | None
    check_command: str | None
    unplanned: bool
    """No planning of its directive has come into force: somebody brought the plan."""
    agent: str | None
    """Of the step, else of its directive; None: nobody chose one."""
    model: str | None
    labels: tuple[str, ...]
    free: int
    """How many more tasks its owner's daemons take; and its directive allows."""
    parallel: int
    others_wait: bool
    """Whether another directive has ready steps, and no slot for them."""
    branches: tuple[str, ...]
    daemon: str | None
    last_completed: str | None
    handed_on: tuple[Dependency, ...]
    dependencies: int
    failed_reason: str | None
    failed_tail: str | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it is sent: a row of the view task_to_send. `asked_again`: it was starting before, the same attempt."""

    id: UUID
    owner_id: UUID
    owner: str
    directive_id: UUID
    step_id: UUID | None
    kind: str
    name: str
    prompt: str
    agent: str
    agent_chosen: bool
    model: str | None = None
    labels: tuple[str, ...] = ()
    attempt: int = 1
    session: str | None = None
    session_daemon: str | None = None
    daemon: str | None
    start_from: str | None
    merge_branches: tuple[str, ...]
    target_branch: str | None = None
    delivery: Delivery | None = None
    tokens: int = 0
    repository_url: str | None
    base_branch: str | None
    check_command: str | None
    task_plan: str | None
    failed_reason: str | None
    failed_tail: str | None
    base_unjudged: bool = False
    asked_again: bool = False


class NextLook(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds until there is something to look at; None when nothing waits for its time."""

    seconds: float | None


class PutBack(msgspec.Struct, frozen=True, kw_only=True):
    """A task that waits again. `changed`: for a reason of another kind than the last time."""

    id: UUID
    directive_id: UUID
    attempt: int
    kind: str
    waiting_reason: str | None
    changed: bool


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt whose end is asked for, and why."""

    id: UUID
    attempt: int
    owner: str
    cancel_asked: str | None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What a person told a task."""

    id: UUID
    task_id: UUID
    owner: str
    text: str
    attempt: int


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon that a person wants otherwise."""

    owner: str
    name: str
    drain_asked: bool


DUE_STEPS = SQL.query("due_steps", DueStep)
CLAIM_STEPS = SQL.query("claim_steps", UUID)
CLAIM_PENDING = SQL.query("claim_pending", Task)
PENDING = SQL.query("pending", bool)
UNACCEPTED = SQL.query("unaccepted", Task)
NEXT_LOOK = SQL.query("next_look", NextLook)
PUT_BACK = SQL.query("put_back", PutBack)
RECALL = SQL.query("recall", float)
CANCELS = SQL.query("cancels", Cancel)
MESSAGES = SQL.query("messages", Message)
DRAINS = SQL.query("drains", Drained)
