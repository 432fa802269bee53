"""The verbs of `makima directive` that change steps: what planning agents call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cli.client import Failed, call
from cli.command import Arguments, add_verb, print_json, say

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
    batch = add_verb(verbs, "batch-add-steps", _batch, "several steps at once")
    batch.add_argument("--json", required=True, metavar="TEXT|@FILE|-")
    remove = add_verb(verbs, "remove-step", _remove_step, "one that hasn't run")
    remove.add_argument("id")
    for command in (add, batch, remove):
        command.add_argument("--directive", default=os.environ.get("MAKIMA_DIRECTIVE_ID"))


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
    }
    added = call("POST", f"/v1/directives/{directive_of(arguments)}/steps", {"steps": [step]})[0]
    return print_json(added) if arguments.output == "json" else say(f"{added['name']}  {added['id']}")


def _batch(arguments: Arguments) -> int:
    from cli.plans import from_argument

    steps = from_argument(arguments.json)
    added = call("POST", f"/v1/directives/{directive_of(arguments)}/steps", {"steps": steps})
    if arguments.output == "json":
        return print_json(added)
    for step in added:
        print(f"{step['name']}  {step['id']}")
    return 0


def _remove_step(arguments: Arguments) -> int:
    call("DELETE", f"/v1/directives/{directive_of(arguments)}/steps/{arguments.id}")
    return 0
