"""Commands: what is to be done. Rows promise them, the broker routes them, (task, attempt) makes them idempotent."""

from __future__ import annotations

from uuid import UUID

import msgspec

from shared.domain.delivery import Delivery
from shared.messages.numbers import Number, Tokens


class Command(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every command carries: the attempt that it is about."""

    task: UUID
    attempt: Number


class SpawnTask(Command, frozen=True, kw_only=True, tag="SpawnTask"):
    """By the executor: run this attempt. The daemon reports TaskAccepted, or the broker answers Unroutable.

    `start_from` None means the base branch, `base_branch` None the remote's HEAD. `merge_branches` are merged
    into the start, in order. `task_plan` is what the agent "shell" runs instead of reading a prompt: a step's
    task plan, a planning's goal. Both are there when nobody chose the agent. With a `delivery` the daemon merges and
    delivers by itself; `agent` is "native", or the one that resolves what conflicts.
    """

    owner: str
    directive: UUID
    step: UUID | None = None
    kind: str
    name: str
    prompt: str = ""
    task_plan: str = ""
    agent: str = "shell"
    repository_url: str | None = None
    base_branch: str | None = None
    start_from: str | None = None
    merge_branches: tuple[str, ...] = ()
    branch: str = ""
    target_branch: str | None = None
    resume_session: str | None = None
    environment: dict[str, str] = {}
    labels: tuple[str, ...] = ()
    token: str = ""
    prefer_daemon: str | None = None
    session_daemon: str | None = None
    """Where `resume_session` lives; on another one it can't be resumed."""
    spent_tokens: Tokens = 0
    """What the task's earlier attempts took."""
    delivery: Delivery | None = None
    unchecked: bool = False
    """The check fails on the base branch by itself, and it was chosen to go on without."""
    agent_chosen: bool = True
    """Somebody chose the agent for this step or directive; if not, the repository's own settings may name another."""
    model: str | None = None
    """Which model the agent uses; None: the one of its settings."""
    base_unjudged: bool = False
    """It begins at a base branch that no planning has looked at: where its check fails, so may that of the base."""
    git_token: str = ""
    """With it the git of a daemon elsewhere reaches a repository that is a folder of the cluster's machine."""


class CancelTask(Command, frozen=True, kw_only=True, tag="CancelTask"):
    """By the executor: end this attempt and its whole process tree. Reported as TaskInterrupted."""

    owner: str
    reason: str = ""


class TellTask(Command, frozen=True, kw_only=True, tag="TellTask"):
    """By the executor: a person's words for the agent of this attempt. The daemon reports MessageDelivered."""

    owner: str
    message: UUID
    text: str


class Drain(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Drain"):
    """By the executor: take no more work, or (`on` False) take work again. What runs goes on."""

    owner: str
    daemon: str
    on: bool = True


AnyCommand = SpawnTask | CancelTask | TellTask | Drain


class Unroutable(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="Unroutable"):
    """By the broker: no daemon can take it now, and why, in words and as their kind (one of Refusal)."""

    task: UUID
    attempt: Number
    reason: str
    refusal: str = ""


AnyReply = Unroutable
