"""The verbs of `makima directive` that show: list, show, watch, log, graph, export."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from cli import naming
from cli.client import Failed, ask, call, pages
from cli.command import Arguments, add_verb, print_json, print_table, say, say_line
from cli.text import ago, amount, clean
from shared.domain.texts import dollars

if TYPE_CHECKING:
    from cli.command import Verbs
    from shared.api.directives import DirectiveListed, DirectiveShown
    from shared.api.steps import StepShown


PROPOSED = {"added": "+ ", "removed": "- ", None: "  "}
"""What a change that isn't in force yet does with a step."""


def register(verbs: Verbs) -> None:
    """Declare the verbs."""
    listed = add_verb(verbs, "list", _list, "all of them, the newest last")
    listed.add_argument("--status", help="only those with this status")
    naming.name(add_verb(verbs, "show", _show, "one with its steps"), "id", kind="directive", newest=True)
    watch = add_verb(verbs, "watch", _watch, "live until it ends: exit code 0 delivered, 1 stopped, 124 time is up")
    naming.name(watch, "id", kind="directive", newest=True)
    watch.add_argument("--timeout", type=float, metavar="SECONDS")
    naming.name(add_verb(verbs, "log", _log, "what happened, in order"), "id", kind="directive", newest=True)
    graph = add_verb(verbs, "graph", _graph, "its steps as a graph: in the terminal, as SVG, or as Mermaid")
    naming.name(graph, "id", kind="directive", newest=True)
    graph.add_argument("--svg", metavar="FILE", help="write a picture (- for standard output)")
    graph.add_argument("--mermaid", action="store_true", help="print a Mermaid flowchart")
    export = add_verb(verbs, "export", _export, "its plan as YAML that --plan takes again")
    naming.name(export, "id", kind="directive", newest=True)


def print_directive(shown: DirectiveShown) -> None:
    """A directive for people."""
    from cli.graph import MARKS

    reason = f": {clean(shown.pause_reason)}" if shown.pause_reason else ""
    say_line(f"{shown.number}  {clean(shown.title)}  {standing(shown)}{reason}")
    outcome = shown.delivery_outcome if shown.delivery_outcome != shown.pause_reason else None
    spent = f"{dollars(shown.cost_usd)}, {amount(shown.tokens)} tokens" if shown.tokens else None
    for what, value in (
        ("goal", shown.goal),
        ("repository", shown.repository_url),
        ("base", shown.base_branch),
        ("agent", shown.agent),
        ("branch", shown.pr_branch),
        ("pull request", shown.pr_url),
        ("delivery", outcome),
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
        for s in _in_order(shown.steps)
    ]
    print_table((), rows)
    if shown.awaited:
        what = "a plan" if shown.awaited_plan else "work that steps found"
        say(f"{what} waits: makima directive approve {shown.number}, or reject {shown.number} --reason WHY")


def where(step: StepShown) -> str:
    """Who is to work on a step and where, as far as it says so itself."""
    return " ".join(filter(None, (step.agent, step.model, *step.labels)))


def _in_order(steps: Sequence[StepShown]) -> list[StepShown]:
    """Steps as `graph` orders them."""
    import msgspec

    from cli.graph import in_order

    by_id = {str(step.id): step for step in steps}
    return [by_id[step["id"]] for step in in_order(msgspec.to_builtins(steps))]


def standing(directive: DirectiveShown | DirectiveListed) -> str:
    """A status as people call it: what is delivered and waits for its pull request is no idler."""
    if directive.status == "idle" and directive.pr_url:
        return "delivered"
    return directive.status.replace("_", " ")


def _list(arguments: Arguments) -> int:
    from shared.api.directives import DirectiveListed

    only = f"?{urlencode({'status': arguments.status})}" if arguments.status else ""
    directives = list(pages(DirectiveListed, f"/v1/directives{only}"))[::-1]
    if arguments.output == "json":
        return print_json(directives)
    rows = []
    for directive in directives:
        counts = {str(status): many for status, many in directive.steps.items()}
        done, all_of = counts.get("completed", 0) + counts.get("skipped", 0), sum(counts.values())
        rows.append(
            (
                str(directive.number),
                standing(directive),
                f"{done}/{all_of}" if all_of else "-",
                dollars(directive.cost_usd) if directive.cost_usd else "-",
                ago(directive.created_at),
                clean(directive.title),
                clean(directive.pause_reason or directive.pr_url or directive.pr_branch or ""),
            )
        )
    print_table(("#", "STATUS", "STEPS", "COST", "MADE", "TITLE", ""), rows)
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

    code = watch(arguments.id, arguments.timeout)
    return code if arguments.output == "text" else print_json(call("GET", f"/v1/directives/{arguments.id}")) or code


def _log(arguments: Arguments) -> int:
    from cli.story import told
    from shared.api.directives import DirectiveShown
    from shared.api.events import EventShown

    events = list(pages(EventShown, f"/v1/directives/{arguments.id}/events"))
    if arguments.output == "json":
        return print_json(events)
    shown = ask(DirectiveShown, "GET", f"/v1/directives/{arguments.id}")
    for line in told(events, {str(step.id): step.name for step in shown.steps}):
        say_line(line)
    return 0


def _graph(arguments: Arguments) -> int:
    from cli.graph import as_mermaid, as_svg, as_text, layers

    shown = call("GET", f"/v1/directives/{arguments.id}")
    if arguments.svg:
        _write(arguments.svg, as_svg(shown["title"], shown["steps"]))
    if arguments.output == "json":
        return print_json([[step["id"] for step in layer] for layer in layers(shown["steps"])])
    if arguments.svg:
        return 0 if arguments.svg == "-" else say(arguments.svg)
    if arguments.mermaid:
        print(as_mermaid(shown["steps"]), end="")
        return 0
    for line in as_text(shown["steps"]):
        print(line)
    return 0


def _export(arguments: Arguments) -> int:
    from cli.plans import to_yaml

    shown = call("GET", f"/v1/directives/{arguments.id}")
    if not shown["steps"]:
        raise Failed(f"directive {arguments.id} has no steps yet, so there is no plan to export")
    if arguments.output == "json":
        from cli.plans import planned

        return print_json({"steps": planned(shown["steps"])})
    print(to_yaml(shown["title"], shown["goal"], shown["steps"]), end="")
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
