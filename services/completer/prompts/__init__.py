"""The completer's texts: pure functions of typed arguments, a template each."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import msgspec

from shared.domain.delivery import Broken, Commit, Conflicted
from shared.domain.descriptions import cut, fenced, inline
from shared.service.prompts import templates

MOST_DETAILS = 40
"""Steps beyond these are listed without what they did."""
OUTCOME_LETTERS = 1000
MOST_COMMITS = 20
"""Of a step's, the newest; one more may be given, which says that there are earlier ones."""
_SIGNS = {"completed": "done", "failed": "failed", "skipped": "skipped"}

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
    """The text of a pull request. Whatever people and agents typed stands in it exactly, as code."""
    told = [
        {
            "sign": "left out" if s.id in left_out else _SIGNS.get(s.status, s.status),
            "name": inline(s.name),
            "commit": "" if s.commits else (s.head or "")[:12],
            "commits": _commits(s.commits or ()) if at < MOST_DETAILS else [],
            "note": inline((s.reason or "")[:300]) if s.status in ("failed", "skipped") else "",
            "did": _indented(fenced(s.outcome[:OUTCOME_LETTERS])) if at < MOST_DETAILS and s.outcome.strip() else "",
        }
        for at, s in enumerate(steps)
    ]
    missing = [f"{inline(s.name)} breaks the check" for s in steps if s.id in left_out]
    missing += [f"{inline(s.name)} {s.status}" for s in steps if s.status in ("failed", "skipped")]
    cost = f"{cost_usd:.2f} USD, {tokens:,} tokens, " if cost_usd or tokens else ""
    return cut(
        _templates.get_template("pull_request.md.j2").render(
            goal=fenced(goal) if goal.strip() else "",
            steps=told,
            orders=[inline(o) for o in orders],
            missing=missing,
            figures=f"{cost}{_duration(seconds)} from the goal to here.",
        )
    )


def completion(*, title: str, goal: str, conflict: Conflicted, steps: Sequence[StepText]) -> str:
    """The prompt of an agent that resolves a conflict."""
    step = next((s for s in steps if s.id == conflict.step), None)
    return _templates.get_template("completion.md.j2").render(
        title=title, goal=goal, conflict=conflict, step=step, steps=[s for s in steps if s.branch]
    )


def fix(*, broken: Broken, names: Sequence[str]) -> str:
    """The task plan of a step that mends a check which fails on the merged result."""
    return _templates.get_template("fix.md.j2").render(
        command=broken.command, names=[repr(n) for n in names], output=fenced(broken.output)
    )


def _commits(commits: Sequence[Commit]) -> list[str]:
    listed = [f"{c.sha[:12]} {inline(c.subject)}" for c in commits[-MOST_COMMITS:]]
    return ["earlier ones", *listed] if len(commits) > MOST_COMMITS else listed


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" if line else "" for line in text.splitlines())


def _duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{max(int(seconds), 1)} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
