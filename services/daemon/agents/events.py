"""What an agent says, whichever it is: an adapter reads its lines into these. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec

SHOWN_CHARACTERS = 2000
"""So much of a tool's input or result is kept in a task's output; an agent's own words are kept whole."""


class Trouble(StrEnum):
    """Why an agent could not go on. Each asks for something else."""

    LIMITED = "limited"
    """A rate or usage limit: it goes on by itself once that is reset."""
    UNAVAILABLE = "unavailable"
    """The model's server is overloaded, fails or isn't reached: it goes on by itself once that is over."""
    SIGNED_OUT = "signed out"
    """A person must sign in, or fix the key."""
    NO_CREDIT = "no credit"
    """A person must add credit, or allow more spending."""
    REFUSED = "refused"
    """Its account may not do this, or its settings name what there isn't: a person must change one of them."""
    TOO_LONG = "too long"
    """The conversation has outgrown the model: only a new one can go on."""
    TURNS = "turns"
    """It used up the turns that it is allowed."""
    BUDGET = "budget"
    """It used up the money that it is allowed."""
    SESSION = "session"
    """The session to be resumed isn't known here."""
    OTHER = "other"


class Session(msgspec.Struct, frozen=True):
    """The id under which the agent's conversation can be resumed."""

    id: str


class Text(msgspec.Struct, frozen=True):
    """The agent's own words."""

    text: str


class ToolCall(msgspec.Struct, frozen=True):
    """A tool runs from here to the result of the same id."""

    id: str
    name: str
    detail: str = ""


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool said."""

    id: str
    text: str = ""
    failed: bool = False


class Usage(msgspec.Struct, frozen=True):
    """Tokens that one answer of the model took. The same key again replaces, and is not added."""

    key: str
    tokens: int


class Denied(msgspec.Struct, frozen=True):
    """It was denied a tool that it asked for. `detail` is what it wanted with it: a path, a command."""

    tool: str
    detail: str = ""


class Waiting(msgspec.Struct, frozen=True):
    """The agent waits by itself and goes on: a retry of a request."""

    why: str


class Problem(msgspec.Struct, frozen=True):
    """It can't go on. `seconds`: how long until a limit is reset, where that is known."""

    trouble: Trouble
    text: str
    seconds: float | None = None


class Result(msgspec.Struct, frozen=True):
    """The agent's own word on how it ended, with what it cost (of this run, not of its session)."""

    ok: bool
    text: str = ""
    cost_usd: float | None = None
    tokens: int | None = None


class Raw(msgspec.Struct, frozen=True):
    """A line that the adapter doesn't know: kept as it is."""

    line: str


Event = Session | Text | ToolCall | ToolResult | Denied | Usage | Waiting | Problem | Result | Raw


def shown(event: Event) -> list[str]:
    """An event as lines of a task's output; of what is no news to a reader, none.

    >>> shown(ToolCall("1", "Bash", "git status"))
    ['> Bash: git status']
    """
    match event:
        case Text(text) if text.strip():
            return text.rstrip().split("\n")
        case ToolCall(_, name, detail):
            first, *more = cut(detail).split("\n")
            return [f"> {name}: {first}" if first else f"> {name}", *(f"  {line}" for line in more)]
        case ToolResult(_, text, failed):
            lines = [f"  {line}" for line in cut(text.rstrip()).split("\n") if line]
            return ["  (failed)", *lines] if failed else lines
        case Denied(tool, detail):
            return [f"[denied: {cut(f'{tool} {detail}'.rstrip())}]"]
        case Waiting(why):
            return [f"[waits: {why}]"]
        case Problem(trouble, text):
            return [f"[{trouble}: {text}]"]
        case Raw(line):
            return [line]
        case _:
            return []


def cut(text: str) -> str:
    """A text at its shown length, with a mark where it was cut."""
    if len(text) <= SHOWN_CHARACTERS:
        return text
    return f"{text[:SHOWN_CHARACTERS]} [{len(text) - SHOWN_CHARACTERS} characters cut]"
