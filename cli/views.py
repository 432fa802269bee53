"""The verbs of `makima directive` that show: list, show and watch, which have short forms; log, graph, export."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from cli import naming
from cli.client import Failed, ask, pages
from cli.command import Arguments, add_verb, declare, print_json, print_table, say, say_line
from cli.text import ago, amount, clean, wrapped
from shared.domain.texts import dollars

if TYPE_CHECKING:
    from cli.command import Verbs
    from shared.api.directives import DirectiveListed, DirectiveShown
    from shared.api.steps import StepShown


STATUSES = (
    "draft", "active", "planning", "running", "waiting", "awaiting-approval", "merging", "checking", "delivering",
    "pull-request-open", "delivered", "merged", "completed", "paused", "archived",
)  # fmt: skip
"""What `list --status` takes: each standing, and all that is active."""
_KEPT_AS = {
    "merging": ("idle",), "checking": ("idle",), "delivering": ("idle",), "pull-request-open": ("idle",),
    "delivered": ("idle", "completed"), "merged": ("idle", "completed"), "planning": ("active",),
    "running": ("active",), "waiting": ("active", "idle"), "awaiting-approval": ("awaiting_approval",),
}  # fmt: skip
"""The statuses that the gateway keeps those standings under; the others are called the same."""
PROPOSED = {"added": "+ ", "removed": "- ", None: "  "}
"""What a change that isn't in force yet does with a step."""


def register(verbs: Verbs) -> None:
    """Declare the verbs."""
    for name, (declared, says) in _SHORT.items():
        declared(verbs.add_parser(name, help=says, description=says))
    log = add_verb(verbs, "log", _log, "what happened, in order", "makima directive log 12")
    naming.name(log, "id", kind="directive", newest=True)
    graph = add_verb(
        verbs,
        "graph",
        _graph,
        "its steps as a graph: in the terminal, as SVG, or as Mermaid",
        "makima directive graph 12",
        "makima directive graph 12 --svg plan.svg",
    )
    naming.name(graph, "id", kind="directive", newest=True)
    graph.add_argument("--svg", metavar="FILE", help="write a picture (- for standard output)")
    graph.add_argument("--mermaid", action="store_true", help="print a Mermaid flowchart")
    export = add_verb(
        verbs, "export", _export, "its plan as YAML that --plan takes again", "makima directive export 12 > plan.yaml"
    )
    naming.name(export, "id", kind="directive", newest=True)


def lists(command: argparse.ArgumentParser) -> None:
    """Declare `list`."""
    declare(command, _list, command.prog, f"{command.prog} --status paused")
    command.add_argument("--status", choices=STATUSES, help="only those that stand so; active: any that is under way")


def shows(command: argparse.ArgumentParser) -> None:
    """Declare `show`."""
    declare(command, _show, command.prog, f"{command.prog} 12 -o json")
    naming.name(command, "id", kind="directive", newest=True)


def watches(command: argparse.ArgumentParser) -> None:
    """Declare `watch`."""
    declare(command, _watch, command.prog, f"{command.prog} 12 --timeout 600")
    naming.name(command, "id", kind="directive", newest=True)
    command.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to watch; else until it ends")


_SHORT: dict[str, tuple[Callable[[argparse.ArgumentParser], None], str]] = {
    "list": (lists, "all of them, the newest last"),
    "show": (shows, "one with its steps"),
    "watch": (watches, "live until it ends: exit code 0 delivered, 1 stopped, 124 time is up, 130 Ctrl-C"),
}
"""The verbs that are commands by themselves, too."""


def print_directive(shown: DirectiveShown) -> None:
    """A directive for people."""
    from cli.graph import MARKS, in_order
    from cli.reviewing import looking

    reason = f": {clean(shown.pause_reason)}" if shown.pause_reason else ""
    say_line(f"{shown.number}  {clean(shown.title)}  {shown.standing}{reason}")
    known = (shown.pause_reason, f"delivered: {shown.pr_url}", f"{shown.pr_url} was merged")
    outcome = shown.delivery_outcome if shown.delivery_outcome not in known else None
    spent = f"{dollars(shown.cost_usd)}, {amount(shown.tokens)} tokens" if shown.tokens else None
    for what, value in (
        ("goal", shown.goal),
        ("repository", shown.repository_url),
        ("base", shown.base_branch),
        ("agent", shown.agent),
        ("branch", shown.pr_branch),
        ("pull request", shown.pr_url),
        ("delivery", outcome),
        ("to see it", looking(shown)),
        ("spent", spent),
        ("made", ago(shown.created_at)),
    ):
        if value:
            say_line(f"  {what:<12} {clean(value)}")
    rows = [
        (
            f"{PROPOSED[s.proposed]}{MARKS[s.status]} {s.status}",
            f"{shown.number}/{s.number}",
            clean(s.name) + (f"  [{clean(asked)}]" if (asked := where(s)) else ""),
            clean(s.branch or s.reason or s.waiting_reason or ""),
        )
        for s in in_order(shown.steps)
    ]
    print_table((), rows)
    if shown.awaited:
        what = "a plan" if shown.awaited_plan else "work that steps found"
        say(f"{what} waits: makima directive approve {shown.number}, or reject {shown.number} --reason WHY")


def where(step: StepShown) -> str:
    """Who is to work on a step and where, as far as it says so itself."""
    return " ".join(filter(None, (step.agent, step.model, *step.labels)))


def _standing(asked: str | None) -> Iterator[DirectiveListed]:
    """The directives that stand so; all, when nothing is asked."""
    from shared.api.directives import DirectiveListed

    if asked is None:
        yield from pages(DirectiveListed, "/v1/directives")
        return
    for status in _KEPT_AS.get(asked, (asked,)):
        for one in pages(DirectiveListed, f"/v1/directives?{urlencode({'status': status})}"):
            if asked == "active" or one.standing.replace(" ", "-") == asked:
                yield one


def _list(arguments: Arguments) -> int:
    directives = sorted(_standing(arguments.status), key=lambda one: one.number)
    if arguments.output == "json":
        return print_json(directives)
    rows = []
    for directive in directives:
        counts = {str(status): many for status, many in directive.steps.items()}
        done, all_of = counts.get("completed", 0) + counts.get("skipped", 0), sum(counts.values())
        rows.append(
            (
                str(directive.number),
                directive.standing,
                f"{done}/{all_of}" if all_of else "-",
                dollars(directive.cost_usd) if directive.cost_usd else "-",
                ago(directive.created_at),
                clean(directive.title),
                clean(directive.pause_reason or directive.pr_url or directive.pr_branch or ""),
            )
        )
    print_table(("#", "STATUS", "STEPS", "COST", "MADE", "TITLE", "BRANCH, OR WHY"), rows)
    return 0


def _show(arguments: Arguments) -> int:
    from shared.api.directives import DirectiveShown

    shown = ask(DirectiveShown, "GET", f"/v1/directives/{arguments.id}")
    if arguments.output == "json":
        return print_json(shown)
    print_directive(shown)
    return 0


def _watch(arguments: Arguments) -> int:
    from cli.watch import watch

    return watch(arguments.id, arguments.timeout, arguments.output)


def _log(arguments: Arguments) -> int:
    from cli.story import HANGING, told
    from shared.api.events import EventShown

    events = list(pages(EventShown, f"/v1/directives/{arguments.id}/events"))
    if arguments.output == "json":
        return print_json(events)
    for line in told(events):
        for part in wrapped(line, hanging=HANGING):
            say(part)
    return 0


def _graph(arguments: Arguments) -> int:
    from cli.graph import as_mermaid, as_svg, as_text, layers
    from shared.api.directives import DirectiveShown

    shown = ask(DirectiveShown, "GET", f"/v1/directives/{arguments.id}")
    if arguments.svg:
        _write(arguments.svg, as_svg(shown.title, shown.steps))
    if arguments.output == "json":
        return print_json([[step.id for step in layer] for layer in layers(shown.steps)])
    if arguments.svg:
        return 0 if arguments.svg == "-" else say(arguments.svg)
    if arguments.mermaid:
        print(as_mermaid(shown.steps), end="")
        return 0
    for line in as_text(shown.steps):
        say_line(line)
    return 0


def _export(arguments: Arguments) -> int:
    from cli.plans import to_yaml
    from shared.api.directives import DirectiveShown

    shown = ask(DirectiveShown, "GET", f"/v1/directives/{arguments.id}")
    if not shown.steps:
        raise Failed(f"directive {shown.number} has no steps yet, so there is no plan to export")
    if arguments.output == "json":
        from cli.plans import planned

        return print_json({"steps": planned(shown.steps)})
    print(to_yaml(shown.title, shown.goal, shown.steps), end="")
    return 0


def _write(path: str, text: str) -> None:
    """Write a file; `-` is standard output. Raises Failed."""
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"{path} can't be written: {error.strerror}") from None
