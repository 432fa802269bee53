"""The verbs of `makima directive` by which a person steers planning: goal, replan, approve, reject, update."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli import completing, delivery, naming
from cli.client import Failed, ask
from cli.command import Arguments, Verb, add_verb, print_json, say
from cli.steps import say_why
from cli.text import clean
from cli.views import PROPOSED
from shared.domain.statuses import DirectiveStatus

if TYPE_CHECKING:
    from cli.command import Verbs
    from shared.api.directives import DirectiveShown

_LIMITS = {"budget_usd": "max_cost_usd", "max_tokens": "max_tokens", "deadline": "deadline"}


def register(verbs: Verbs) -> None:
    """Declare the verbs."""
    goal = add_verb(
        verbs,
        "goal",
        _goal,
        "replace the goal: planning is due again",
        "makima directive goal 12 'Start in under a second'",
    )
    naming.name(goal, "id", kind="directive")
    goal.add_argument("text", metavar="TEXT|@FILE|-", help="the new goal; from a file, or from standard input")
    replan = add_verb(
        verbs,
        "replan",
        _telling("replan"),
        "ask for a new plan of the same goal",
        "makima directive replan 12 --reason 'Do without the cache'",
    )
    naming.name(replan, "id", kind="directive")
    replan.add_argument("--reason", default="", metavar="TEXT", help="what the planner is told")
    approve = add_verb(
        verbs, "approve", _approve, "let the plan that waits come into force", "makima directive approve 12"
    )
    naming.name(approve, "id", kind="directive")
    reject = add_verb(
        verbs,
        "reject",
        _telling("reject"),
        "withdraw the plan that waits, and plan again",
        "makima directive reject 12 --reason 'Too many steps'",
    )
    naming.name(reject, "id", kind="directive")
    reject.add_argument("--reason", required=True, metavar="TEXT", help="what the planner is told")
    update = add_verb(
        verbs,
        "update",
        _update,
        "change its agent, base, check, policies and limits (`none` lifts one); tell of its pull request",
        "makima directive update 12 --budget-usd 20",
        "makima directive update 12 --agent codex --check none",
    )
    naming.name(update, "id", kind="directive", nargs="?", default=os.environ.get("MAKIMA_DIRECTIVE_ID"))
    delivery.options(update)
    limits(update)
    agent = update.add_argument(
        "--agent", metavar="NAME", help="who plans, and works on the steps that begin from now on"
    )
    agent.completer = completing.agents()  # type: ignore[attr-defined]
    update.add_argument("--base", dest="base_branch", metavar="BRANCH", help="the branch to start from and merge into")
    update.add_argument("--check", metavar="COMMAND", help="must pass on what is delivered")
    update.add_argument(
        "--merge-into-base", action=argparse.BooleanOptionalAction, help="merge the delivery into the base branch, too"
    )
    update.add_argument("--on-failure", choices=ON_FAILURE, help=FAILED)
    update.add_argument("--max-attempts", type=int, metavar="N", help="how often a step is tried before it has failed")
    update.add_argument(
        "--approve-plan", action=argparse.BooleanOptionalAction, help="each plan waits for your `directive approve`"
    )
    for verb in (goal, replan, reject, update):
        verb.add_argument("--version", type=int, metavar="N", help="only if it is still at this version")


ON_FAILURE = ("replan", "pause", "continue")
FAILED = "when a step has failed: plan anew, wait for you, or go on with what doesn't need it"


def limits(command: argparse.ArgumentParser) -> None:
    """Declare the limits of a directive."""
    command.add_argument("--max-parallel", type=int, metavar="N", help="steps that run at once")
    command.add_argument("--budget-usd", metavar="USD", help="what its agents may cost; past it, it is paused")
    command.add_argument("--max-tokens", metavar="N", help="what its agents may use; past it, it is paused")
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
    from shared.api.directives import DirectiveShown, NewGoal

    body = NewGoal(goal=text_of(arguments.text, "TEXT"))
    return _shown(arguments, ask(DirectiveShown, "POST", _path(arguments, "goal"), body))


def _telling(verb: str) -> Verb:
    def carry_out(arguments: Arguments) -> int:
        from shared.api.directives import DirectiveShown, PlanWish

        body = PlanWish(reason=arguments.reason)
        return _shown(arguments, ask(DirectiveShown, "POST", _path(arguments, verb), body))

    return carry_out


def _approve(arguments: Arguments) -> int:
    from shared.api.directives import DirectiveShown

    before = ask(DirectiveShown, "GET", f"/v1/directives/{quote(arguments.id)}")
    path = f"/v1/directives/{quote(arguments.id)}/approve?version={before.version}"
    shown = ask(DirectiveShown, "POST", path)
    if arguments.output == "json":
        return print_json(shown)
    for step in before.steps:
        if step.proposed:
            print(f"{PROPOSED[step.proposed]}{clean(step.name)}")
    return say(shown.standing)


def _update(arguments: Arguments) -> int:
    from shared.api.directives import DirectiveShown

    body = given(arguments)
    for field in ("agent", "base_branch", "check"):
        if (text := getattr(arguments, field)) is not None:
            body[field] = None if text == "none" else text
    for field in ("on_failure", "max_attempts", "approve_plan", "merge_into_base"):
        if getattr(arguments, field) is not None:
            body[field] = getattr(arguments, field)
    told = delivery.told(arguments)
    if not arguments.id:
        raise Failed("which directive? give its number (inside a task it is known)")
    if not body and not told:
        raise Failed("nothing to update: give an option; see `makima directive update -h`")
    if body:
        shown = ask(DirectiveShown, "PATCH", _path(arguments), body)
    if told:
        shown = ask(DirectiveShown, "POST", f"/v1/directives/{quote(arguments.id)}/delivery", told)
    return _shown(arguments, shown)


def _path(arguments: Arguments, verb: str = "") -> str:
    version = f"?version={arguments.version}" if arguments.version is not None else ""
    return f"/v1/directives/{quote(arguments.id)}{'/' if verb else ''}{verb}{version}"


def _shown(arguments: Arguments, shown: DirectiveShown) -> int:
    if arguments.output == "json":
        return print_json(shown)
    if shown.status is DirectiveStatus.PAUSED:
        say_why(str(shown.id))
    return say(f"{shown.standing}  version {shown.version}")
