"""What people call things: a number, a title, the beginning of an id; nothing at all for the newest directive."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from cli.client import Failed, ask
from cli.completing import completing
from cli.text import clean, short

if TYPE_CHECKING:
    from shared.api.names import Kind

CALLED: dict[Kind, str] = {
    "directive": "its number (12), its title in quotes, or the beginning of its id",
    "step": "as DIRECTIVE/STEP by numbers or names (12/3, 12/Test), or the beginning of its id",
    "task": "as its step (12/3), as 12/plan, 12/delivery or 12/verification, as 12/step where its step was removed, an "
    "earlier one as 12/3.1 or 12/plan.1, or the beginning of its id",
    "order": "its number (7), its title in quotes, or the beginning of its id",
    "question": "as its directive (12), as the task that asks (12/3, 12/plan), or the beginning of its id",
    "anything": "a directive (12), a step (12/3), or a task (12/plan, 12/3.1)",
}
"""What is taken for each kind of thing, everywhere."""
_BRIEFLY: dict[Kind, str] = {
    "directive": "which directive: 12, or its title",
    "step": "which step: 12/3, or 12/NAME",
    "task": "which task: 12/3 or 12/plan, an earlier one 12/3.1",
    "order": "which order: 7, or its title",
    "question": "which question: 12/3, or 12",
    "anything": "12, 12/3 or 12/plan",
}
_METAVARS: dict[Kind, str] = {"anything": "NAME"}
_WHOLE = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_UNDER_WAY = ("active", "awaiting_approval", "paused", "idle")


def name(command: argparse.ArgumentParser, *flags: str, kind: Kind, newest: bool = False, **more: str | None) -> None:
    """Declare an argument that names something; with `newest`, left out it is the directive of the moment."""
    nargs = {"nargs": "?"} if newest else {}
    help_text = _BRIEFLY[kind] + ("; else the only one under way, or the newest" if newest else "")
    metavar = {} if flags[0].startswith("-") else {"metavar": _METAVARS.get(kind, kind.upper())}
    action = command.add_argument(*flags, **{"help": help_text, **metavar, **nargs, **more})  # type: ignore[arg-type]
    action.completer = completing(kind)  # type: ignore[attr-defined]
    named = [*(command.get_default("named") or ()), (action.dest, kind, newest)]
    command.set_defaults(named=named)


def resolve(arguments: argparse.Namespace) -> None:
    """Put the ids in the place of what things are called. Raises Failed."""
    named: Iterable[tuple[str, Kind, bool]] = getattr(arguments, "named", ())
    for where, kind, newest in named:
        said = getattr(arguments, where)
        if said is not None:
            setattr(arguments, where, find(kind, said))
        elif newest:
            setattr(arguments, where, os.environ.get("MAKIMA_DIRECTIVE_ID") or _newest())


def find(kind: Kind, said: str) -> str:
    """The id of what is called so. Raises Failed."""
    if _WHOLE.fullmatch(said):
        return said.lower()
    what = "directive, step or task" if kind == "anything" else kind
    if not said.strip():
        raise Failed(f"which {what}? say {CALLED[kind]}")
    from shared.api.names import Named

    found = ask(list[Named], "GET", f"/v1/names?{urlencode({'name': said, 'kind': kind})}")
    if len(found) == 1:
        return str(found[0].id)
    if not found:
        raise Failed(f"no {what} is called {clean(said)!r}; say {CALLED[kind]}")
    several = ", ".join(f"{one.label} {clean(one.name)} (id {short(one.id)})" for one in found[:3])
    raise Failed(f"{clean(said)!r} is what {len(found)} are called: {several}{', …' if len(found) > 3 else ''}")


def _newest() -> str:
    """The only directive that is under way, else the one that was made last and has begun, else the last one."""
    from shared.api.directives import DirectiveListed

    newest = ask(list[DirectiveListed], "GET", "/v1/directives?limit=50")
    if not newest:
        raise Failed("there is no directive yet; `makima run 'What you want'` makes one")
    under_way = [one for one in newest if one.status in _UNDER_WAY]
    begun = [one for one in newest if one.status != "draft"]
    chosen = under_way if len(under_way) == 1 else begun or newest
    return str(chosen[0].id)
