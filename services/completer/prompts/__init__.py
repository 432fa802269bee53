"""The completer's texts: pure functions of typed arguments, a template each."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from shared.domain.delivery import Broken, Commit, Conflicted
from shared.domain.descriptions import CHECKED, FILES, cut, fenced
from shared.domain.inert import inert_body
from shared.domain.markdown import plain, safe, unmarked
from shared.domain.texts import one_line
from shared.service.prompts import templates

MAX_DETAILS = 40
"""Steps beyond these are listed without what they did."""
OUTCOME_CHARACTERS = 1000
MAX_COMMITS = 20
"""Of a step's, the newest; one more may be given, which says that there are earlier ones."""
GOAL_CHARACTERS = 10_000
ALL_OUTCOMES_CHARACTERS = 24_000
"""Of all steps' closing words together."""
REASON_CHARACTERS = 300
TITLE_CHARACTERS = 200
FIX = "Mends the check on the merged result"
"""What a step of `fix` is for."""
_SIGNS = {"completed": "\u2714", "failed": "\u2718 failed:", "skipped": "skipped:", "left out": "left out:"}

_templates = templates("services.completer")


class StepText(msgspec.Struct, frozen=True, kw_only=True):
    """A step as the texts tell of it."""

    id: UUID
    name: str
    status: str
    branch: str | None = None
    head: str | None = None
    description: str = ""
    outcome: str = ""
    reason: str | None = None
    tail: str | None = None
    """The end of what a failed one printed."""
    commits: tuple[Commit, ...] | None = None


def pull_request(
    *,
    goal: str,
    steps: Sequence[StepText],
    left_out: Sequence[UUID] = (),
    orders: Sequence[str] = (),
    cost_usd: float = 0.0,
    tokens: int = 0,
    seconds: float = 0.0,
) -> str:
    """The text of a pull request, but for what only the delivery knows: what was checked, and the files.

    Whatever people and agents typed stands in it as Markdown that reaches no further than itself; only what an order
    says to the forge counts there.
    """
    gone = [s for s in steps if s.status in ("failed", "skipped")]
    budget = min(OUTCOME_CHARACTERS, ALL_OUTCOMES_CHARACTERS // max(len(steps), 1))
    missing = [{"what": f"**{plain(s.name)}** breaks the check", "tail": ""} for s in steps if s.id in left_out]
    missing += [
        {"what": _gone(s), "tail": _indented(fenced(inert_body(unmarked(s.tail)))) if s.tail else ""} for s in gone
    ]
    figures = f"{cost_usd:.2f} USD, {tokens:,} tokens, {_duration(seconds)} from the goal to here."
    return cut(
        _templates.get_template("pull_request.md.j2").render(
            goal=safe(goal, GOAL_CHARACTERS),
            steps=[
                {
                    "sign": _SIGNS["left out"] if s.id in left_out else _SIGNS.get(s.status, s.status),
                    "name": plain(s.name),
                    "note": plain(_first_sentence(s.description)) if at < MAX_DETAILS else "",
                }
                for at, s in enumerate(steps)
            ],
            told=[
                {
                    "name": plain(s.name),
                    "commit": "" if s.commits else (s.head or "")[:12],
                    "commits": _commits(s.commits or ()),
                    "did": safe(s.outcome, budget),
                }
                for s in steps[:MAX_DETAILS]
                if s.outcome.strip() or s.commits
            ],
            checked=CHECKED,
            files=FILES,
            orders=[safe(one_line(o), TITLE_CHARACTERS, orders=True) for o in orders],
            missing=missing,
            figures=figures if cost_usd or tokens or seconds else "",
        )
    )


def _gone(step: StepText) -> str:
    reason = f": {plain(step.reason[:REASON_CHARACTERS])}" if step.reason else ""
    ended = "was skipped" if step.status == "skipped" else step.status
    return f"**{plain(step.name)}** {ended}{reason}"


def _first_sentence(text: str) -> str:
    line = one_line(text)
    end = line.find(". ")
    return (line[:end] if end > 0 else line)[:TITLE_CHARACTERS]


def completion(*, title: str, goal: str, conflict: Conflicted, steps: Sequence[StepText]) -> str:
    """The prompt of an agent that resolves a conflict."""
    step = next((s for s in steps if s.id == conflict.step), None)
    return _templates.get_template("completion.md.j2").render(
        title=title, goal=goal, conflict=conflict, step=step, steps=[s for s in steps if s.branch]
    )


def fix(*, broken: Broken, names: Sequence[str]) -> str:
    """The task plan of a step that fixes a check which fails on the merged result."""
    return _templates.get_template("fix.md.j2").render(
        command=broken.command, names=[repr(n) for n in names], output=fenced(broken.output)
    )


def _commits(commits: Sequence[Commit]) -> list[str]:
    listed = [f"{c.sha[:12]} {plain(c.subject)}" for c in commits[-MAX_COMMITS:]]
    return ["earlier ones", *listed] if len(commits) > MAX_COMMITS else listed


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{max(int(seconds), 1)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
