"""A check that fails before anything was changed: what is done about it. Pure."""

from __future__ import annotations

import shlex
from typing import Literal

import msgspec

from services.daemon.runs.decisions import TAIL_CHARACTERS, Over
from shared.domain.texts import quoted

Choice = Literal["fix", "continue", "stop"]

ANSWERS: dict[str, Choice] = {"go on without the check": "continue", "fix it first": "fix", "stop": "stop"}
"""What a person may answer; anything else stops, too."""
ASKED_CHARACTERS = 3000


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """How the check ended on an untouched base branch: why it failed (None: it passed), and the end of its output."""

    failed: str | None
    tail: str = ""


def question(check: str, base: Base, fixes: bool) -> str:
    """The command line that asks a person, and prints the answer. `fixes`: whether somebody could fix it first."""
    text = f"the check `{check}` fails on the base branch before anything was changed: {base.failed}. What now?"
    if base.tail.strip():
        text += f" Its output ends with:\n\n{base.tail[-ASKED_CHARACTERS:]}"
    answers = (answer for answer, choice in ANSWERS.items() if fixes or choice != "fix")
    options = (part for answer in answers for part in ("--option", answer))
    return shlex.join(["makima", "ask", text, *options])


def told(choice: Choice, check: str, base: Base) -> str:
    """What the planning agent is told, before its prompt."""
    what = (
        "Plan a first step that fixes it, and let every other step depend on that one."
        if choice == "fix"
        else "It stays as it is: no step is held to it, and none is to fix it."
    )
    begin = f"The check of this repository, `{check}`, fails on the base branch before anything was changed. {what}"
    return f"{begin} Its output ends with:\n\n{quoted(base.tail[-TAIL_CHARACTERS:])}"


def stopped(check: str, base: Base) -> Over:
    """The end of a planning, or a step, that is not to be."""
    fix = "fix it there, or choose another way by the setting red_base, then resume"
    return Over(reason=f"{_fails(check, base)}; {fix}", blocked=True)


def to_be_mended(check: str, base: Base) -> Over:
    """The end of a step of a plan that nobody made for a red base: another plan is to fix it first."""
    fix = "a first step is to fix it, which every other step depends on"
    return Over(reason=f"{_fails(check, base)}; {fix}", permanent=True)


def _fails(check: str, base: Base) -> str:
    return f"the check `{check}` fails on the base branch by itself: {base.failed}"
