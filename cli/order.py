"""`makima order`: small work items that a directive's planner picks up."""

from __future__ import annotations

import argparse
import os
from urllib.parse import quote, urlencode

from cli import naming
from cli.client import Failed, ask, call, pages
from cli.command import Arguments, add_verb, print_json, print_table, say, verbs_of
from cli.text import ago, clean, short
from shared.api.orders import OrderShown

PRIORITIES = ("critical", "high", "medium", "low", "none")
TYPES = ("feature", "bug", "spike", "chore", "improvement")


def register(command: argparse.ArgumentParser) -> None:
    """Declare `order` and its verbs."""
    verbs = verbs_of(command)
    add = add_verb(verbs, "add", _add, "an open order")
    add.add_argument("title")
    add.add_argument("--description", default="")
    add.add_argument("--priority", choices=PRIORITIES, default="medium")
    add.add_argument("--type", choices=TYPES, default="feature")
    naming.name(add, "--directive", kind="directive", metavar="NAME")
    add.add_argument("--quiet", action="store_true", help="print the id alone")
    listed = add_verb(verbs, "list", _list, "the most urgent first")
    naming.name(listed, "--directive", kind="directive", metavar="NAME")
    listed.add_argument("--status", choices=("open", "in_progress", "done", "cancelled"))
    link = add_verb(verbs, "link", _link, "let a directive pick it up; or say which of its steps serves it already")
    naming.name(link, "id", kind="order")
    known = os.environ.get("MAKIMA_DIRECTIVE_ID")
    naming.name(link, "directive", kind="directive", nargs="?", default=known)
    naming.name(link, "--step", kind="step", metavar="STEP")
    pick_up = add_verb(verbs, "pick-up", _pick_up, "plan a directive's open orders")
    naming.name(pick_up, "directive", kind="directive")
    naming.name(add_verb(verbs, "cancel", _cancel, "do without it; steps that serve it stay"), "id", kind="order")


def _add(arguments: Arguments) -> int:
    body = {
        "title": arguments.title,
        "description": arguments.description,
        "priority": arguments.priority,
        "order_type": arguments.type,
        "directive": arguments.directive,
    }
    order = ask(OrderShown, "POST", "/v1/orders", body)
    return say(str(order.id)) if arguments.quiet else _print(arguments, order)


def _list(arguments: Arguments) -> int:
    asked = {k: v for k, v in (("directive", arguments.directive), ("status", arguments.status)) if v}
    orders = list(pages(OrderShown, f"/v1/orders?{urlencode(asked)}"))
    if arguments.output == "json":
        return print_json(orders)
    print_table(("ORDER", "STATUS", "PRIORITY", "TYPE", "MADE", "TITLE"), [_row(order) for order in orders])
    return 0


def _link(arguments: Arguments) -> int:
    path, directive = f"/v1/orders/{quote(arguments.id)}/link", arguments.directive
    if directive is None and arguments.step is not None:
        directive = call("GET", f"/v1/steps/{quote(arguments.step)}")["directive_id"]
    if directive is None:
        raise Failed("which directive? name it, or with --step a step of it")
    order = ask(OrderShown, "POST", path, {"directive": directive, "step": arguments.step})
    return _print(arguments, order)


def _pick_up(arguments: Arguments) -> int:
    shown = call("POST", f"/v1/directives/{quote(arguments.directive)}/pick-up")
    return print_json(shown) if arguments.output == "json" else say(shown["status"])


def _cancel(arguments: Arguments) -> int:
    return _print(arguments, ask(OrderShown, "POST", f"/v1/orders/{quote(arguments.id)}/cancel"))


def _print(arguments: Arguments, order: OrderShown) -> int:
    if arguments.output == "json":
        return print_json(order)
    print_table((), [_row(order)])
    return 0


def _row(order: OrderShown) -> tuple[str, ...]:
    status = order.status.replace("_", " ")
    return (
        short(order.id), status, order.priority, order.order_type, ago(order.created_at), clean(order.title),
    )  # fmt: skip
