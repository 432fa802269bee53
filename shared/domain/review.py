"""What a valid plan may still get wrong (rule 2): warnings for whoever plans. They never refuse. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from uuid import UUID

from shared.domain.plans import PlannedStep

MAX_WARNINGS = 20
MAX_GLOBS = 200
"""Patterns compared with every other file; more of them would take long and say little."""

_ELSEWHERE = re.compile(
    r"\b(as (?:described |mentioned |explained |discussed )?(?:above|before|earlier)|see above|like (?:the )?previous"
    r"|same as (?:the )?(?:previous|last|other) step|as (?:we )?discussed|mentioned (?:above|earlier))\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w./-]+")
"""What a path may be of; linear in the text, whatever it holds."""


def review(plan: Sequence[PlannedStep], ids: Sequence[UUID], needs: Sequence[Sequence[UUID]]) -> list[str]:
    """Warnings on a batch, most important first: files that two steps may change at once, task plans that refer to
    what they don't carry, files that a step needs without depending on the step that makes them.

    `ids` are the steps' own, `needs` their dependencies as ids; dependencies outside the batch are ignored.
    """
    place = {step_id: at for at, step_id in enumerate(ids)}
    before = _ancestors([[place[n] for n in need if n in place] for need in needs])
    warnings = [*_shared_files(plan, before), *_references(plan), *_missing_dependencies(plan, before)]
    if len(warnings) > MAX_WARNINGS:
        return [*warnings[:MAX_WARNINGS], f"and {len(warnings) - MAX_WARNINGS} more warnings"]
    return warnings


def _ancestors(needs: Sequence[Sequence[int]]) -> list[int]:
    """Each step's ancestors as a bit set. Steps may come in any order; there is no cycle."""
    found: list[int | None] = [None] * len(needs)
    for root in range(len(needs)):
        stack = [root]
        while stack:
            at = stack[-1]
            if found[at] is not None:
                stack.pop()
            elif missing := [n for n in needs[at] if found[n] is None]:
                stack.extend(missing)
            else:
                bits = 0
                for n in needs[at]:
                    bits |= 1 << n | (found[n] or 0)
                found[at] = bits
                stack.pop()
    return [bits or 0 for bits in found]


def _at_once(plan: Sequence[PlannedStep], before: Sequence[int], a: int, b: int) -> bool:
    return plan[a].order_index == plan[b].order_index and not (before[a] >> b & 1 or before[b] >> a & 1)


def _shared_files(plan: Sequence[PlannedStep], before: Sequence[int]) -> list[str]:
    by_file: dict[str, list[int]] = {}
    for at, step in enumerate(plan):
        for file in dict.fromkeys(step.files):
            by_file.setdefault(file, []).append(at)
    for glob in [f for f in by_file if any(c in f for c in "*?[")][:MAX_GLOBS]:
        for file, steps in by_file.items():
            if file != glob and fnmatchcase(file, glob):
                steps.extend(at for at in by_file[glob] if at not in steps)
    return [
        f"{plan[a].name!r} and {plan[b].name!r} may run at once and both name {file!r}: let one depend on the other"
        for file, steps in by_file.items()
        for a, b in _first_pair(plan, before, steps)
    ]


def _first_pair(plan: Sequence[PlannedStep], before: Sequence[int], steps: Sequence[int]) -> list[tuple[int, int]]:
    """One pair a file says enough, and looking at the neighbours keeps it linear for chains."""
    for place, a in enumerate(steps):
        for b in steps[place + 1 : place + 1 + MAX_WARNINGS]:
            if _at_once(plan, before, a, b):
                return [(a, b)]
    return []


def _references(plan: Sequence[PlannedStep]) -> list[str]:
    return [
        f"the task plan of {step.name!r} says {match[0]!r}, but whoever runs it sees this step alone: write it out"
        for step in plan
        if (match := _ELSEWHERE.search(step.task_plan))
    ]


def _missing_dependencies(plan: Sequence[PlannedStep], before: Sequence[int]) -> list[str]:
    needed = 0
    for bits in before:
        needed |= bits
    makers: Mapping[str, int] = {
        file: at for at, step in enumerate(plan) if not needed >> at & 1 for file in step.files if "*" not in file
    }
    warnings = []
    for at, step in enumerate(plan):
        for path in dict.fromkeys(word.rstrip(".") for word in _WORD.findall(step.task_plan)):
            maker = makers.get(path)
            if maker is not None and maker != at and path not in step.files and _at_once(plan, before, maker, at):
                warnings.append(
                    f"{step.name!r} refers to {path!r}, which {plan[maker].name!r} works on, but doesn't depend on it"
                )
    return warnings
