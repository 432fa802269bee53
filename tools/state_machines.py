"""`just state-machines`: docs/state-machines.md and the triggers that hold to it, from shared/domain/statuses.py."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Set
from enum import StrEnum
from pathlib import Path
from typing import Any

from shared.domain import statuses

_ROOT = Path(__file__).parents[1]
PATH = _ROOT / "docs" / "state-machines.md"
TRIGGERS_PATH = _ROOT / "shared" / "store" / "definitions" / "transitions.sql"

Table = Mapping[Any, Set[StrEnum]]

ABOUT = """\
# State machines

Every status and every allowed transition, one machine an entity. Each is a table in `shared/domain/statuses.py`; the
database refuses a transition that is not in it, whoever asks for it (`shared/store/definitions/transitions.sql`). Both
are written by `just state-machines` from those tables; change them, not these.
"""
MACHINES: tuple[tuple[str, type[StrEnum], Table], ...] = (
    ("Directive", statuses.DirectiveStatus, statuses.DIRECTIVE_TRANSITIONS),
    ("Step", statuses.StepStatus, statuses.STEP_TRANSITIONS),
    ("Task", statuses.TaskStatus, statuses.TASK_TRANSITIONS),
)


ABOUT_TRIGGERS = """\
-- A change of status that is not in the tables of shared/domain/statuses.py is refused. Written by
-- `just state-machines` from those; change them, not this. The condition is the table: the function is only called for
-- what is refused.

CREATE OR REPLACE FUNCTION makima.refuse_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a % that is % can''t become %', TG_TABLE_NAME, OLD.status, NEW.status
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME,
              DETAIL = format('id %s', NEW.id);
END $$;
"""


def triggers() -> str:
    """The triggers as they are checked in."""
    return "\n".join([ABOUT_TRIGGERS, *(_trigger(name.lower(), kind, table) for name, kind, table in MACHINES)])


def _trigger(name: str, kind: type[StrEnum], table: Table) -> str:
    allowed = [
        f"        WHEN '{before}' THEN NEW.status IN ({_listed(kind, table[before])})"
        for before in kind
        if table[before]
    ]
    head = f"CREATE OR REPLACE TRIGGER {name}_transition AFTER UPDATE OF status ON makima.{name} FOR EACH ROW"
    when = "    WHEN (NEW.status <> OLD.status AND NOT CASE OLD.status"
    tail = "        ELSE false END)\n    EXECUTE FUNCTION makima.refuse_transition();\n"
    return "\n".join([head, when, *allowed, tail])


def _listed(kind: type[StrEnum], chosen: Set[StrEnum]) -> str:
    return ", ".join(f"'{status}'" for status in kind if status in chosen)


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
    """Write the page and the triggers."""
    PATH.write_text(text(), encoding="utf-8")
    TRIGGERS_PATH.write_text(triggers(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
