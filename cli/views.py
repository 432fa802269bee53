"""The verbs of `makima directive` that show: list, show, watch, log, graph, export."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.client import Failed, call
from cli.command import Arguments, add_verb, print_json, print_table, say
from cli.text import clean, duration

if TYPE_CHECKING:
    from cli.command import Verbs


PROPOSED = {"added": "+ ", "removed": "- ", None: "  "}
"""What a change that isn't in force yet does with a step."""


def register(verbs: Verbs) -> None:
    """Declare the verbs."""
    listed = add_verb(verbs, "list", _list, "all of them, the newest last")
    listed.add_argument("--status", help="only those with this status")
    add_verb(verbs, "show", _show, "one with its steps").add_argument("id")
    watch = add_verb(verbs, "watch", _watch, "live until it ends: exit code 0 delivered, 1 stopped, 124 time is up")
    watch.add_argument("id")
    watch.add_argument("--timeout", type=float, metavar="SECONDS")
    add_verb(verbs, "log", _log, "every event of it").add_argument("id")
    graph = add_verb(verbs, "graph", _graph, "its steps as a graph: in the terminal, as SVG, or as Mermaid")
    graph.add_argument("id")
    graph.add_argument("--svg", metavar="FILE", help="write a picture (- for standard output)")
    graph.add_argument("--mermaid", action="store_true", help="print a Mermaid flowchart")
    export = add_verb(verbs, "export", _export, "its plan as YAML that --plan takes again")
    export.add_argument("id")


def print_directive(shown: dict[str, Any]) -> None:
    """A directive for people."""
    from cli.graph import MARKS, in_order

    reason = f": {clean(shown['pause_reason'])}" if shown["pause_reason"] else ""
    print(f"{clean(shown['title'])}  {shown['status']}{reason}")
    for key in ("repository_url", "pr_branch", "pr_url"):
        if shown[key]:
            print(f"  {key.removesuffix('_url').replace('_', ' '):<11} {clean(shown[key])}")
    if shown["delivery_outcome"] and shown["delivery_outcome"] != shown["pause_reason"]:
        print(f"  {'delivery':<11} {clean(shown['delivery_outcome'])}")
    if shown["tokens"]:
        print(f"  {'spent':<11} ${shown['cost_usd']:.2f}, {shown['tokens']} tokens")
    rows = [
        (
            f"{PROPOSED[s['proposed']]}{MARKS[s['status']]} {s['status']}",
            clean(s["name"]),
            s["id"],
            clean(s["branch"] or s["reason"] or s["waiting_reason"] or ""),
        )
        for s in in_order(shown["steps"])
    ]
    print_table((), rows)
    if shown["awaited"]:
        what = "a plan" if shown["awaited_plan"] else "work that steps found"
        print(f"{what} waits: makima directive approve {shown['id']}, or reject {shown['id']} --reason WHY")


def _list(arguments: Arguments) -> int:
    only = f"?status={arguments.status}" if arguments.status else ""
    directives = call("GET", f"/v1/directives{only}")[::-1]
    if arguments.output == "json":
        return print_json(directives)
    rows = []
    for directive in directives:
        steps = directive["steps"]
        done, all_of = steps.get("completed", 0) + steps.get("skipped", 0), sum(steps.values())
        age = (datetime.now(UTC) - datetime.fromisoformat(directive["created_at"])).total_seconds()
        rows.append(
            (
                directive["id"],
                directive["status"].replace("_", " "),
                f"{done}/{all_of}" if all_of else "-",
                f"${directive['cost_usd']:.2f}" if directive["cost_usd"] else "-",
                duration(age),
                clean(directive["title"]),
                clean(directive["pause_reason"] or directive["pr_url"] or directive["pr_branch"] or ""),
            )
        )
    print_table(("ID", "STATUS", "STEPS", "COST", "AGE", "TITLE", ""), rows)
    return 0


def _show(arguments: Arguments) -> int:
    shown = call("GET", f"/v1/directives/{arguments.id}")
    if arguments.output == "json":
        return print_json(shown)
    print_directive(shown)
    return 0


def _watch(arguments: Arguments) -> int:
    from cli.watch import watch

    code = watch(arguments.id, arguments.timeout)
    return code if arguments.output == "text" else print_json(call("GET", f"/v1/directives/{arguments.id}")) or code


def _log(arguments: Arguments) -> int:
    events: list[dict[str, Any]] = []
    while page := call("GET", f"/v1/directives/{arguments.id}/events?after={events[-1]['seq'] if events else 0}"):
        events += page
    if arguments.output == "json":
        return print_json(events)
    for event in events:
        print(f"{event['at']}  {event['type']:<20} {json.dumps(event['body'])}")
    return 0


def _graph(arguments: Arguments) -> int:
    from cli.graph import as_mermaid, as_svg, as_text, layers

    shown = call("GET", f"/v1/directives/{arguments.id}")
    if arguments.output == "json":
        return print_json([[step["id"] for step in layer] for layer in layers(shown["steps"])])
    if arguments.mermaid:
        print(as_mermaid(shown["steps"]), end="")
        return 0
    if arguments.svg:
        return _write(arguments.svg, as_svg(shown["title"], shown["steps"]))
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


def _write(path: str, text: str) -> int:
    if path == "-":
        sys.stdout.write(text)
        return 0
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failed(f"{path} can't be written: {error.strerror}") from None
    return say(path)
