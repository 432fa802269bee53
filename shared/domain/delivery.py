"""What is delivered and what came of it: the words that completer and daemon share. Pure data, and one rule on each."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from shared.domain.forge import Forge

Strategy = Literal["merge", "squash"]
PullRequestState = Literal["open", "merged", "closed"]
MAX_ROUNDS = 10_000
"""So many pull requests a directive has at most, one after the other."""
Round = Annotated[int, msgspec.Meta(ge=1, le=MAX_ROUNDS)]


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One commit of a step's work. `sha` is whole, `subject` the first line of its message."""

    sha: str
    subject: str


class StepBranch(msgspec.Struct, frozen=True, kw_only=True):
    """A completed step as a delivery sees it.

    `head` is the commit that it ended with, `base` the newest commit of the base branch that it was built on.
    """

    id: UUID
    name: str
    branch: str
    head: str | None = None
    base: str | None = None


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a pull request is to say. `body` is what stands between the markers, already under the size limit."""

    title: str
    body: str
    draft: bool = False
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The order that a completion or verification task carries to a daemon.

    `deliver`: merge `steps` (in topological order), prove, check, push, and see to the pull request. `verify`: only
    the last of it. `watch`: how the pull request `pr_url` stands, and the clean-up once it is over.
    """

    action: Literal["deliver", "verify", "watch"]
    title: str
    round: Annotated[int, msgspec.Meta(ge=1, le=2 * MAX_ROUNDS)] = 1
    """Counts the directive's pull requests: one that was merged or closed is followed by one on a branch of its own."""
    steps: tuple[StepBranch, ...] = ()
    earlier: tuple[StepBranch, ...] = ()
    """Steps that earlier deliveries hold."""
    heads: tuple[str, ...] = ()
    """The commits that were delivered so far, the newest last."""
    strategy: Strategy = "merge"
    merge_into_base: bool = False
    check: str | None = None
    """A command; None: the repository's own `check`, if it names one; empty: none, as it fails on the base branch by
    itself and it was chosen to go on without."""
    without: tuple[UUID, ...] = ()
    """Steps that are left out because they break the check."""
    forge: Forge | None = None
    pull_request: PullRequest | None = None
    pr_url: str | None = None
    etag: str | None = None
    remove_branches: bool = False
    """Remove the branches of the directive from the remote once the base branch holds them; where no pull request
    follows, those of its steps once what is delivered does."""


class Delivered(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="delivered"):
    """The branch holds every step; with a forge, `pr_url` is its pull request."""

    branch: str
    head: str
    round: Round = 1
    pr_url: str | None = None
    notes: tuple[str, ...] = ()
    """What a person should know: a pull request that was over, a base branch that was moved on."""
    overtaken: tuple[str, ...] = ()
    """Commits that were pushed for it before, onto branches that turned out to be over."""
    removed: tuple[str, ...] = ()
    """The branches of steps that are gone from the remote, as this one holds them."""


class Conflicted(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="conflicted"):
    """A merge needs judgement. Nothing was pushed. `by_hand` are the commands that resolve it."""

    branch: str
    into: str
    files: tuple[str, ...]
    step: UUID | None = None
    by_hand: tuple[str, ...] = ()


class Broken(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="broken"):
    """The check fails on the merged result. Nothing was pushed.

    `steps` break it, and only together when there are two; none: the base branch fails it by itself.
    """

    steps: tuple[UUID, ...]
    command: str
    output: str
    checks: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0


class Seen(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="seen"):
    """How a pull request stands. `removed` are the branches that were removed from the remote."""

    state: PullRequestState
    etag: str | None = None
    removed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What a person should know: branches that stay on the remote."""
    missing: tuple[UUID, ...] = ()
    """Steps that it was merged without, and that the base branch does not hold either."""


class Nothing(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="nothing"):
    """There is nothing to deliver or to look at, as `reason` says."""

    reason: str
    missing: tuple[UUID, ...] = ()
    """Steps that were delivered, and are neither on the delivery's branch nor in the base branch any more."""
    not_ours: bool = False
    """The pull request that was named is not the delivery's: its own is looked for."""


Result = Delivered | Conflicted | Broken | Seen | Nothing
