"""The verbs of `makima directive` by which a person steers planning: goal, replan, approve, reject, update."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli import delivery, naming
from cli.client import Failed, call
from cli.command import Arguments, Verb, add_verb, print_json, say
from cli.text import clean
from cli.views import PROPOSED

if TYPE_CHECKING:
    from cli.command import Verbs

_LIMITS = {"budget_usd": "max_cost_usd", "max_tokens": "max_tokens", "deadline": "deadline"}


def register(verbs: Verbs) -> None:
    """Declare the verbs."""
    goal = add_verb(verbs, "goal", _goal, "replace the goal: planning is due again")
    naming.name(goal, "id", kind="directive")
    goal.add_argument("text", metavar="TEXT|@FILE|-")
    replan = add_verb(verbs, "replan", _telling("replan"), "ask for a new plan of the same goal")
    naming.name(replan, "id", kind="directive")
    replan.add_argument("--reason", default="", help="what the planner is told")
    approve = add_verb(verbs, "approve", _approve, "let the plan that waits come into force")
    naming.name(approve, "id", kind="directive")
    reject = add_verb(verbs, "reject", _telling("reject"), "withdraw the plan that waits, and plan again")
    naming.name(reject, "id", kind="directive")
    reject.add_argument("--reason", required=True, help="what the planner is told")
    update = add_verb(
        verbs,
        "update",
        _update,
        "change its agent, base, check, policies and limits (`none` lifts one); tell of its pull request",
    )
    naming.name(update, "id", kind="directive", nargs="?", default=os.environ.get("MAKIMA_DIRECTIVE_ID"))
    delivery.options(update)
    limits(update)
    update.add_argument("--agent", metavar="NAME", help="who plans, and works on the steps that begin from now on")
    update.add_argument("--base", dest="base_branch", metavar="BRANCH", help="the branch to start from and merge into")
    update.add_argument("--check", metavar="COMMAND", help="must pass on what is delivered")
    update.add_argument("--merge-into-base", action=argparse.BooleanOptionalAction)
    update.add_argument("--on-failure", choices=("replan", "pause", "continue"))
    update.add_argument("--max-attempts", type=int)
    update.add_argument("--approve-plan", action=argparse.BooleanOptionalAction)
    for verb in (goal, replan, reject, update):
        verb.add_argument("--version", type=int, help="only if it is still at this version")


def limits(command: argparse.ArgumentParser) -> None:
    """Declare the limits of a directive."""
    command.add_argument("--max-parallel", type=int, help="steps that run at once")
    command.add_argument("--budget-usd", metavar="USD")
    command.add_argument("--max-tokens", metavar="N")
    command.add_argument(
        "--deadline", metavar="TIME", help="e.g. 2030-01-31T18:00; local time unless it says otherwise"
    )
    command.add_argument(
        "--stop-now", action=argparse.BooleanOptionalAction, help="past a limit, end what runs instead of finishing it"
    )


def given(arguments: Arguments) -> dict[str, Any]:
    """The limits that were given, as the gateway takes them. Raises Failed."""
    body: dict[str, Any] = {}
    for option, field in _LIMITS.items():
        text = getattr(arguments, option)
        if text is not None:
            body[field] = None if text == "none" else _limit(option, text)
    for field in ("max_parallel", "stop_now"):
        if getattr(arguments, field) is not None:
            body[field] = getattr(arguments, field)
    return body


def _limit(option: str, text: str) -> float | int | str:
    try:
        if option == "deadline":
            at = datetime.fromisoformat(text)
            return (at if at.tzinfo else at.astimezone()).astimezone(UTC).isoformat()
        return int(text) if option == "max_tokens" else float(text)
    except ValueError:
        raise Failed(
            f"--{option.replace('_', '-')}: {text!r} can't be read; see `makima directive update -h`"
        ) from None


def _goal(arguments: Arguments) -> int:
    from cli.plans import text_of

    return _shown(arguments, call("POST", _path(arguments, "goal"), {"goal": text_of(arguments.text, "TEXT")}))


def _telling(verb: str) -> Verb:
    def carry_out(arguments: Arguments) -> int:
        return _shown(arguments, call("POST", _path(arguments, verb), {"reason": arguments.reason}))

    return carry_out


def _approve(arguments: Arguments) -> int:
    before = call("GET", f"/v1/directives/{quote(arguments.id)}")
    shown = call("POST", f"/v1/directives/{quote(arguments.id)}/approve?version={before['version']}")
    if arguments.output == "json":
        return print_json(shown)
    for step in before["steps"]:
        if step["proposed"]:
            print(f"{PROPOSED[step['proposed']]}{clean(step['name'])}")
    return say(shown["status"])


def _update(arguments: Arguments) -> int:
    body = given(arguments)
    for field in ("agent", "base_branch", "check"):
        if (text := getattr(arguments, field)) is not None:
            body[field] = None if text == "none" else text
    for field in ("on_failure", "max_attempts", "approve_plan", "merge_into_base"):
        if getattr(arguments, field) is not None:
            body[field] = getattr(arguments, field)
    told = delivery.told(arguments)
    if not arguments.id:
        raise Failed("which directive? give its ID (inside a task it is known)")
    if not body and not told:
        raise Failed("nothing to update: give an option; see `makima directive update -h`")
    shown = call("PATCH", _path(arguments), body) if body else {}
    if told:
        shown = call("POST", f"/v1/directives/{quote(arguments.id)}/delivery", told)
    return _shown(arguments, shown)


def _path(arguments: Arguments, verb: str = "") -> str:
    version = f"?version={arguments.version}" if arguments.version is not None else ""
    return f"/v1/directives/{quote(arguments.id)}{'/' if verb else ''}{verb}{version}"


def _shown(arguments: Arguments, shown: dict[str, Any]) -> int:
    if arguments.output == "json":
        return print_json(shown)
    if shown["status"] == "paused":
        reason = f"it is paused ({shown['pause_reason']})"
        print(f"makima: {reason}: `makima directive resume {shown['id']}`", file=sys.stderr)
    return say(f"{shown['status']}  version {shown['version']}")
