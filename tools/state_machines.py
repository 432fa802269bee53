"""`just state-machines`: docs/state-machines.md, drawn from the transition tables of shared/domain/statuses.py."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Set
from enum import StrEnum
from pathlib import Path
from typing import Any

from shared.domain import statuses

PATH = Path(__file__).parents[1] / "docs" / "state-machines.md"

Table = Mapping[Any, Set[StrEnum]]

ABOUT = """\
# State machines

Every status and every allowed transition, one machine an entity. Each is a table in `shared/domain/statuses.py`; a
transition that is not in it raises. Written by `just state-machines` from those tables; change them, not this.
"""
MACHINES: tuple[tuple[str, type[StrEnum], Table], ...] = (
    ("Directive", statuses.DirectiveStatus, statuses.DIRECTIVE_TRANSITIONS),
    ("Step", statuses.StepStatus, statuses.STEP_TRANSITIONS),
    ("Task", statuses.TaskStatus, statuses.TASK_TRANSITIONS),
)


def text() -> str:
    """The page as it is checked in."""
    parts = [ABOUT, *(_machine(*machine) for machine in MACHINES), _attempt()]
    return "\n".join(parts)


def _machine(name: str, kind: type[StrEnum], table: Table) -> str:
    lines = [f"## {name}", "", inspect.cleandoc(kind.__doc__ or ""), "", "```mermaid", "stateDiagram-v2"]
    lines.append(f"    [*] --> {next(iter(kind))}")
    for before in kind:
        lines += [f"    {before} --> {after}" for after in kind if after in table[before]]
        lines += [f"    {before} --> [*]"] if not table[before] else []
    lines += ["```", "", "| from | to |", "|---|---|"]
    for before in kind:
        after = ", ".join(f"`{a}`" for a in kind if a in table[before])
        lines.append(f"| `{before}` | {after or 'nothing: it ends here'} |")
    return "\n".join(lines) + "\n"


def _attempt() -> str:
    about = inspect.cleandoc(statuses.AttemptOutcome.__doc__ or "")
    outcomes = ", ".join(f"`{outcome}`" for outcome in statuses.AttemptOutcome)
    return f"## Attempt\n\n{about} It has no machine: it is open, and then ends once as one of {outcomes}.\n"


def main() -> int:
    """Write the page."""
    PATH.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
