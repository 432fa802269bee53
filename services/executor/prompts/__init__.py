"""The executor's prompts: what a step's agent is told, and what it is told besides when it is tried again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import msgspec

from shared.domain.texts import cut, one_line
from shared.service.prompts import templates

OUTCOME_BYTES = 2000
"""Of a dependency's closing words."""
HANDED_ON_BYTES = 32 << 10
"""Of all dependencies' closing words together."""
MAX_FILES = 50
REASON_BYTES = 4000
TAIL_BYTES = 6000


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """What a step that this one depends on hands on."""

    name: str
    branch: str | None = None
    head: str | None = None
    outcome: str = ""
    files: tuple[str, ...] = ()


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """All that a step's agent is told. `unlisted` counts the dependencies beyond those that are given."""

    directive: str
    name: str
    task_plan: str
    description: str = ""
    start: str | None = None
    merges: tuple[str, ...] = ()
    dependencies: tuple[Dependency, ...] = ()
    unlisted: int = 0


_templates = templates("services.executor")
_STEP = _templates.get_template("step.md.j2")
_AGAIN = _templates.get_template("again.md.j2")
_COMMANDS = {
    "ask": shlex.join(["makima", "ask", "Which format do you want?", "--option", "JSON", "--option", "YAML"]),
    "fail": shlex.join(["makima", "fail", "the tests need a database, and there is none"]),
}


def step(brief: Brief) -> str:
    """The prompt of a step's first attempt."""
    return _STEP.render(
        directive=one_line(brief.directive),
        name=one_line(brief.name),
        description=brief.description,
        start=brief.start,
        merges=brief.merges,
        dependencies=_dependencies(brief.dependencies),
        unlisted=brief.unlisted,
        commands=_COMMANDS,
        task_plan=brief.task_plan,
    )


def again(prompt: str, reason: str, tail: str) -> str:
    """A prompt for another attempt: what failed last time, and then the whole of it."""
    return _AGAIN.render(prompt=prompt, reason=cut(reason, REASON_BYTES), tail=_end_of(tail))


def _dependencies(dependencies: Sequence[Dependency]) -> list[dict[str, str]]:
    budget = min(OUTCOME_BYTES, HANDED_ON_BYTES // max(len(dependencies), 1))
    return [
        {
            "name": one_line(d.name),
            "branch": d.branch or "",
            "head": (d.head or "")[:12],
            "outcome": cut(d.outcome, budget),
            "files": _files(d.files),
        }
        for d in dependencies
    ]


def _files(files: Sequence[str]) -> str:
    listed = ", ".join(one_line(f) for f in files[:MAX_FILES])
    return listed + (f" and {len(files) - MAX_FILES} more" if len(files) > MAX_FILES else "")


def _end_of(text: str) -> str:
    return text.encode(errors="replace")[-TAIL_BYTES:].decode(errors="ignore")
