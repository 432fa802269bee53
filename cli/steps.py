"""The verbs of `makima directive` that change steps: what planning agents call."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli import completing, naming
from cli.client import Failed, ask
from cli.command import Arguments, Verb, add_verb, print_json, say
from cli.text import clean, commands, short
from shared.domain.statuses import DirectiveStatus

if TYPE_CHECKING:
    from cli.command import Verbs
    from shared.api.steps import StepAdded


def register(verbs: Verbs) -> None:
    """Declare the verbs."""
    add = add_verb(verbs, "add-step", _add_step, "one step", "makima directive add-step Test --depends-on Build")
    add.add_argument("name", help="what people call it")
    add.add_argument("--description", default="", metavar="TEXT", help="what it is for")
    add.add_argument("--task-plan", default="", metavar="TEXT", help="what its agent is to do, or a shell script")
    _place(add)
    add.add_argument("--depends-on", action="append", default=[], metavar="NAME", help="a step that comes before it")
    add.add_argument("--order-index", type=int, default=0, metavar="N", help="its phase: lower ones come before it")
    add.add_argument("--generation", type=int, metavar="N", help="of the plan that it belongs to; else the newest")
    add.add_argument("--file", action="append", default=[], help="a file or glob that it is expected to touch")
    add.add_argument(
        "--order", action="append", default=[], metavar="ORDER", help="an order that it serves: 7, or its title"
    )
    batch = add_verb(
        verbs, "batch-add-steps", _batch, "several steps at once", "makima directive batch-add-steps --json @steps.json"
    )
    batch.add_argument(
        "--json", required=True, metavar="TEXT|@FILE|-", help="the steps: a list, or `steps` with one, as in a plan"
    )
    edit = add_verb(
        verbs,
        "edit-step",
        _edit_step,
        "change one while nothing of it runs (`none` lifts a choice)",
        "makima directive edit-step 12/3 --agent codex --label gpu",
    )
    naming.name(edit, "id", kind="step")
    edit.add_argument("--name", metavar="TEXT", help="what people call it")
    edit.add_argument("--description", metavar="TEXT", help="what it is for")
    edit.add_argument("--task-plan", metavar="TEXT", help="what its agent is to do, or a shell script")
    edit.add_argument("--file", action="append", help="a file or glob that it is expected to touch, instead of its own")
    _place(edit)
    remove = add_verb(verbs, "remove-step", _remove_step, "one that hasn't run", "makima directive remove-step 12/3")
    naming.name(remove, "id", kind="step")
    retry = add_verb(
        verbs, "retry-step", _settle("retry"), "let a failed one run again", "makima directive retry-step 12/3"
    )
    naming.name(retry, "id", kind="step")
    skip = add_verb(
        verbs,
        "skip-step",
        _settle("skip"),
        "go on without one that is pending, ready or failed",
        "makima directive skip-step 12/3",
    )
    naming.name(skip, "id", kind="step")
    for command in (add, batch, edit, remove, retry, skip):
        directive = os.environ.get("MAKIMA_DIRECTIVE_ID")
        naming.name(command, "--directive", kind="directive", default=directive, metavar="NAME")


def _place(command: argparse.ArgumentParser) -> None:
    agent = command.add_argument("--agent", metavar="NAME", help="who works on it, instead of the directive's agent")
    agent.completer = completing.agents()  # type: ignore[attr-defined]
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
        "orders": [naming.find("order", order) for order in arguments.order],
        "agent": arguments.agent,
        "model": arguments.model,
        "labels": arguments.label or [],
    }
    added = _submit(arguments, [step])
    return print_json(added[0]) if arguments.output == "json" else _say_added(added)


def _batch(arguments: Arguments) -> int:
    from cli.plans import from_argument

    added = _submit(arguments, from_argument(arguments.json))
    return print_json(added) if arguments.output == "json" else _say_added(added)


def _say_added(added: Sequence[StepAdded]) -> int:
    for step in added:
        say(f"{step.called}  {clean(step.name)}")
    return 0


def _edit_step(arguments: Arguments) -> int:
    from shared.api.steps import StepChanged

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
    changed = ask(StepChanged, "PATCH", f"/v1/directives/{quote(directive)}/steps/{quote(arguments.id)}", body)
    warn(changed.warnings)
    if arguments.output == "json":
        return print_json(changed)
    again = f"; makima directive retry-step {short(changed.id)} runs it again" if changed.status == "failed" else ""
    return say(f"{clean(changed.name)}  {changed.status}{again}")


def _remove_step(arguments: Arguments) -> int:
    from shared.api.steps import StepRemoved

    path = f"/v1/directives/{quote(_directive_of_step(arguments))}/steps/{quote(arguments.id)}"
    removed = ask(StepRemoved, "DELETE", path)
    warn(removed.warnings)
    return print_json(removed) if arguments.output == "json" else 0


def _settle(verb: str) -> Verb:
    def carry_out(arguments: Arguments) -> int:
        from shared.api.steps import StepMoved

        directive = _directive_of_step(arguments)
        moved = ask(StepMoved, "POST", f"/v1/directives/{quote(directive)}/steps/{quote(arguments.id)}/{verb}")
        if arguments.output == "json":
            return print_json(moved)
        if moved.directive_status is DirectiveStatus.PAUSED:
            say_why(directive)
        return say(f"{clean(moved.name)}  {moved.status}")

    return carry_out


def say_why(directive: str) -> None:
    """Say why a directive still doesn't go on, and what would move it on, on standard error."""
    from shared.api.waiting import WhyShown

    told = ask(WhyShown, "GET", f"/v1/why/{quote(directive)}")
    print(f"makima: directive {told.called}: {clean(told.why)}", file=sys.stderr)
    for command in commands(told.fix):
        print(f"  {command}", file=sys.stderr)


def _directive_of_step(arguments: Arguments) -> str:
    from shared.api.steps import StepFound

    found: str | None = arguments.directive
    return found or str(ask(StepFound, "GET", f"/v1/steps/{quote(arguments.id)}").directive_id)


def warn(warnings: Sequence[str]) -> None:
    """Say what a planner should look at again. Never refuses."""
    for warning in warnings:
        print(f"makima: warning: {warning}", file=sys.stderr)


def _submit(arguments: Arguments, steps: list[Any]) -> list[StepAdded]:
    from shared.api.steps import StepsAdded

    answer = ask(StepsAdded, "POST", f"/v1/directives/{quote(directive_of(arguments))}/steps", {"steps": steps})
    warn(answer.warnings)
    return answer.steps
