"""The verbs of `makima directive` that change steps: what planning agents call."""

from __future__ import annotations

import argparse
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
    _place(add)
    add.add_argument("--depends-on", action="append", default=[])
    add.add_argument("--order-index", type=int, default=0)
    add.add_argument("--generation", type=int)
    add.add_argument("--file", action="append", default=[], help="a file or glob that it is expected to touch")
    add.add_argument("--order", action="append", default=[], metavar="ID", help="an order that it serves")
    batch = add_verb(verbs, "batch-add-steps", _batch, "several steps at once")
    batch.add_argument("--json", required=True, metavar="TEXT|@FILE|-")
    edit = add_verb(verbs, "edit-step", _edit_step, "change one while nothing of it runs (`none` lifts a choice)")
    naming.name(edit, "id", kind="step")
    for option in ("--name", "--description", "--task-plan"):
        edit.add_argument(option)
    edit.add_argument("--file", action="append", help="a file or glob that it is expected to touch, instead of its own")
    _place(edit)
    remove = add_verb(verbs, "remove-step", _remove_step, "one that hasn't run")
    naming.name(remove, "id", kind="step")
    retry = add_verb(verbs, "retry-step", _settle("retry"), "let a failed one run again")
    naming.name(retry, "id", kind="step")
    skip = add_verb(verbs, "skip-step", _settle("skip"), "go on without one that is pending, ready or failed")
    naming.name(skip, "id", kind="step")
    for command in (add, batch, edit, remove, retry, skip):
        directive = os.environ.get("MAKIMA_DIRECTIVE_ID")
        naming.name(command, "--directive", kind="directive", default=directive, metavar="NAME")


def _place(command: argparse.ArgumentParser) -> None:
    command.add_argument("--agent", metavar="NAME", help="who works on it, instead of the directive's agent")
    command.add_argument("--model", metavar="NAME", help="which model that agent uses")
    command.add_argument("--label", action="append", metavar="NAME", help="what its daemon has to offer")


def directive_of(arguments: Arguments) -> str:
    """The directive named by `--directive`, or by the environment inside a task. Raises Failed."""
    if not arguments.directive:
        raise Failed("which directive? give --directive ID (inside a task it is known)")
    return str(arguments.directive)


def _add_step(arguments: Arguments) -> int:
    step = {
        "name": arguments.name,
        "description": arguments.description,
        "task_plan": arguments.task_plan,
        "depends_on": arguments.depends_on,
        "order_index": arguments.order_index,
        "generation": arguments.generation,
        "files": arguments.file,
        "orders": arguments.order,
        "agent": arguments.agent,
        "model": arguments.model,
        "labels": arguments.label or [],
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


def _edit_step(arguments: Arguments) -> int:
    body: dict[str, Any] = {}
    for option in ("name", "description", "task_plan"):
        if (text := getattr(arguments, option)) is not None:
            body[option] = text
    for option in ("agent", "model"):
        if (text := getattr(arguments, option)) is not None:
            body[option] = None if text == "none" else text
    for option, field in (("label", "labels"), ("file", "files")):
        if (texts := getattr(arguments, option)) is not None:
            body[field] = [] if texts == ["none"] else texts
    if not body:
        raise Failed("nothing to change: give an option; see `makima directive edit-step -h`")
    directive = _directive_of_step(arguments)
    changed = call("PATCH", f"/v1/directives/{quote(directive)}/steps/{quote(arguments.id)}", body)
    warn(changed["warnings"])
    return print_json(changed) if arguments.output == "json" else say(f"{changed['name']}  {changed['status']}")


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
