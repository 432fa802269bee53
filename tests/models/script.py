"""What a scripted model answers, whatever protocol it is asked by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Say:
    """Words. A turn without a tool call ends the agent's run."""

    text: str


@dataclass(frozen=True)
class Run:
    """A shell command."""

    command: str


@dataclass(frozen=True)
class Edit:
    """A file written by the agent's own tool, where it has one."""

    path: str
    text: str


@dataclass(frozen=True)
class Refuse:
    """An HTTP error instead of an answer."""

    status: int
    kind: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)
    """Further fields of the error."""


@dataclass(frozen=True)
class Fail:
    """An error in mid-answer, after an HTTP status that promised one."""

    kind: str
    message: str


@dataclass(frozen=True)
class Break:
    """The connection breaks in mid-answer."""


@dataclass(frozen=True)
class Hang:
    """An answer that never comes."""


Part = Say | Run | Edit
Answer = list[Part] | Refuse | Fail | Break | Hang


@dataclass(frozen=True)
class Conversation:
    """What the model is asked: all that was said so far."""

    prompt: str
    """What the agent was told first, its whole first message."""
    last: str
    """What came last: a tool's result, or what it was told when it was resumed."""
    turn: int
    """How often the model has answered in it."""
    raw: dict[str, Any]


Script = Callable[[Conversation], Answer]


def turns(*answers: Answer) -> Script:
    """A script that gives these answers one after the other, the last one again and again."""
    return lambda conversation: answers[min(conversation.turn, len(answers) - 1)]
