"""What a delivery asks of a forge, and how a forge refuses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol, TypeVar

import msgspec

from shared.domain import texts
from shared.domain.delivery import PullRequest, PullRequestState
from shared.messages.unreadable import UNREADABLE

T = TypeVar("T")
Number = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
"""Of a pull request, a label, a user."""

MAX_BYTES = 16 << 20
"""Of an answer; no forge's is longer."""
MAX_SECONDS = 120.0
"""From a question to the end of its answer, however slowly it comes."""
LONGEST_WAIT_SECONDS = 86_400.0
_SECONDS = re.compile(r"[0-9]{1,18}")


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


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A forge's answer. The names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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


def read(host: str, answer: Answer, wanted: type[T]) -> T:
    """What an answer holds. Raises ForgeFailed, in one line that says what came instead."""
    try:
        return msgspec.json.decode(answer.body, type=wanted)
    except UNREADABLE as error:
        what = answer.headers.get("content-type", "").partition(";")[0] or "a body without a type"
        why = one_line(str(error), 200)
        raise unexpected(host, f"{len(answer.body)} bytes of {one_line(what, 60)} ({why})", answer.status) from None


def unexpected(host: str, what: str, status: int | None = None) -> ForgeFailed:
    """A forge answered something that no forge of its kind answers."""
    told = "" if status is None else f" ({status})"
    return ForgeFailed(f"{host} gave an unexpected answer{told}: {what}; see that it is the forge's own address")


def wait_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """When a forge that limits the rate wants to be asked again; None when it doesn't say."""
    if _SECONDS.fullmatch(after := headers.get("retry-after", "")):
        return min(float(after), LONGEST_WAIT_SECONDS)
    for name in ("x-ratelimit-reset", "ratelimit-reset"):
        if _SECONDS.fullmatch(reset := headers.get(name, "")):
            return min(max(float(reset) - now, 1.0), LONGEST_WAIT_SECONDS)
    return None


def one_line(text: str, longest: int) -> str:
    """A text on one line, cut with a sign that it was."""
    line = texts.one_line(text)
    return line if len(line) <= longest else line[: longest - 1] + "…"
