"""What a delivery asks of a forge, and how a forge refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from shared.domain.delivery import PullRequest, PullRequestState


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A pull request as the forge has it.

    `branch` is what it proposes, `own` whether that lies in the repository itself and not in somebody's copy. `head` is
    the commit that the branch is at, or was when it was merged or closed; None where the forge may not know.
    """

    number: int
    url: str
    state: PullRequestState
    body: str = ""
    branch: str = ""
    own: bool = True
    head: str | None = None
    etag: str | None = None


class ForgeFailed(RuntimeError):
    """The forge did not do what was asked: why, in words.

    `passing`: it is worth asking again; after `wait_seconds`, where the forge said so.
    """

    def __init__(self, reason: str, passing: bool = False, wait_seconds: float | None = None) -> None:
        self.passing = passing
        self.wait_seconds = wait_seconds
        super().__init__(reason)


class AlreadyThere(ForgeFailed):
    """There is an open one of the branch already."""


class NothingToPropose(ForgeFailed):
    """The base branch holds everything already."""


class Client(Protocol):
    """One repository on a forge. Every method raises ForgeFailed."""

    async def find(self, branch: str) -> Sequence[Found]:
        """The pull requests of a branch, newest first."""

    async def create(self, branch: str, base: str, wanted: PullRequest, body: str) -> Found:
        """Make one. Raises NothingToPropose when the base holds the branch, and AlreadyThere."""

    async def adorn(self, made: Found, wanted: PullRequest) -> None:
        """Give a new one its labels, and ask its reviewers."""

    async def update(self, found: Found, body: str) -> None:
        """Replace its body."""

    async def look(self, number: int, etag: str | None) -> Found | None:
        """How one stands; None: as it did when this etag was given."""


def wait_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """When a forge that limits the rate wants to be asked again; None when it doesn't say."""
    if (after := headers.get("retry-after", "")).isdigit():
        return float(after)
    for name in ("x-ratelimit-reset", "ratelimit-reset"):
        if (reset := headers.get(name, "")).isdigit():
            return max(float(reset) - now, 1.0)
    return None


def one_line(text: str, longest: int) -> str:
    """A text on one line, cut with a sign that it was."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
