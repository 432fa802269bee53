"""The verbs of `makima directive` that change steps: what planning agents call."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli import naming
from cli.client import Failed, call
from cli.command import Arguments, Verb, add_verb, print_json, say

if TYPE_CHECKING:
    from cli.command import Verbs


def register(verbs: Verbs) -> None:
    """Declare the verbs."""
    add = add_verb(verbs, "add-step", _add_step, "one step")
    add.add_argument("name")
    for option in ("--description", "--task-plan"):
        add.add_argument(option, default="")
    add.add_argument("--depends-on", action="append", default=[])
    add.add_argument("--order-index", type=int, default=0)
    add.add_argument("--generation", type=int)
    add.add_argument("--file", action="append", default=[], help="a file or glob that it is expected to touch")
    add.add_argument("--order", action="append", default=[], metavar="ID", help="an order that it serves")
    batch = add_verb(verbs, "batch-add-steps", _batch, "several steps at once")
    batch.add_argument("--json", required=True, metavar="TEXT|@FILE|-")
    remove = add_verb(verbs, "remove-step", _remove_step, "one that hasn't run")
    naming.name(remove, "id", kind="step")
    retry = add_verb(verbs, "retry-step", _settle("retry"), "let a failed one run again")
    naming.name(retry, "id", kind="step")
    skip = add_verb(verbs, "skip-step", _settle("skip"), "go on without one that is pending, ready or failed")
    naming.name(skip, "id", kind="step")
    for command in (add, batch, remove, retry, skip):
        directive = os.environ.get("MAKIMA_DIRECTIVE_ID")
        naming.name(command, "--directive", kind="directive", default=directive, metavar="NAME")


def directive_of(arguments: Arguments) -> str:
    """The directive named by `--directive`, or by the environment inside a task. Raises Failed."""
    if not arguments.directive:
        raise Failed("which directive? give --directive ID (inside a task it is known)")
    return str(arguments.directive)


def _add_step(arguments: Arguments) -> int:
    step = {
        "name": arguments.name,
        "description": arguments.description,
        "taskPlan": arguments.task_plan,
        "dependsOn": arguments.depends_on,
        "orderIndex": arguments.order_index,
        "generation": arguments.generation,
        "files": arguments.file,
        "orderIds": arguments.order,
    }
    added = _submit(arguments, [step])[0]
    return print_json(added) if arguments.output == "json" else say(f"{added['name']}  {added['id']}")


def _batch(arguments: Arguments) -> int:
    from cli.plans import from_argument

    steps = from_argument(arguments.json)
    added = _submit(arguments, steps)
    if arguments.output == "json":
        return print_json(added)
    for step in added:
        print(f"{step['name']}  {step['id']}")
    return 0


def _remove_step(arguments: Arguments) -> int:
    directive = _directive_of_step(arguments)
    removed = call("DELETE", f"/v1/directives/{quote(directive)}/steps/{quote(arguments.id)}")
    warn(removed["warnings"])
    return print_json(removed) if arguments.output == "json" else 0


def _settle(verb: str) -> Verb:
    def carry_out(arguments: Arguments) -> int:
        directive = _directive_of_step(arguments)
        moved = call("POST", f"/v1/directives/{quote(directive)}/steps/{quote(arguments.id)}/{verb}")
        if arguments.output == "json":
            return print_json(moved)
        if moved["directive_status"] == "paused":
            print(f"makima: the directive is paused: `makima directive resume {directive}`", file=sys.stderr)
        return say(f"{moved['name']}  {moved['status']}")

    return carry_out


def _directive_of_step(arguments: Arguments) -> str:
    return str(arguments.directive or call("GET", f"/v1/steps/{quote(arguments.id)}")["directive_id"])


def warn(warnings: Sequence[str]) -> None:
    """Say what a planner should look at again. Never refuses."""
    for warning in warnings:
        print(f"makima: warning: {warning}", file=sys.stderr)


def _submit(arguments: Arguments, steps: list[Any]) -> list[dict[str, Any]]:
    answer = call("POST", f"/v1/directives/{quote(directive_of(arguments))}/steps", {"steps": steps})
    warn(answer["warnings"])
    added: list[dict[str, Any]] = answer["steps"]
    return added
