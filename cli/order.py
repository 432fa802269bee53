"""`makima order`: small work items that a directive's planner picks up."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote, urlencode

from cli.client import call
from cli.command import Arguments, add_verb, print_json, say, verbs_of
from cli.text import clean

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
    add.add_argument("--directive", metavar="ID", help="link it at once")
    add.add_argument("--quiet", action="store_true", help="print the id alone")
    listed = add_verb(verbs, "list", _list, "the most urgent first")
    listed.add_argument("--directive", metavar="ID")
    listed.add_argument("--status", choices=("open", "in_progress", "done", "cancelled"))
    link = add_verb(verbs, "link", _link, "let a directive pick it up")
    link.add_argument("id")
    link.add_argument("directive")
    pick_up = add_verb(verbs, "pick-up", _pick_up, "plan a directive's open orders")
    pick_up.add_argument("directive")
    add_verb(verbs, "cancel", _cancel, "it is wanted no more").add_argument("id")


def _add(arguments: Arguments) -> int:
    body = {
        "title": arguments.title,
        "description": arguments.description,
        "priority": arguments.priority,
        "order_type": arguments.type,
        "directive": arguments.directive,
    }
    order = call("POST", "/v1/orders", body)
    return say(order["id"]) if arguments.quiet else _print(arguments, order)


def _list(arguments: Arguments) -> int:
    asked = {k: v for k, v in (("directive", arguments.directive), ("status", arguments.status)) if v}
    orders = call("GET", f"/v1/orders?{urlencode(asked)}")
    if arguments.output == "json":
        return print_json(orders)
    for order in orders:
        print(_line(order))
    return 0


def _link(arguments: Arguments) -> int:
    order = call("POST", f"/v1/orders/{quote(arguments.id)}/link", {"directive": arguments.directive})
    return _print(arguments, order)


def _pick_up(arguments: Arguments) -> int:
    shown = call("POST", f"/v1/directives/{quote(arguments.directive)}/pick-up")
    return print_json(shown) if arguments.output == "json" else say(shown["status"])


def _cancel(arguments: Arguments) -> int:
    return _print(arguments, call("POST", f"/v1/orders/{quote(arguments.id)}/cancel"))


def _print(arguments: Arguments, order: dict[str, Any]) -> int:
    return print_json(order) if arguments.output == "json" else say(_line(order))


def _line(order: dict[str, Any]) -> str:
    return (
        f"{order['id']}  {order['status']:<11} {order['priority']:<8} {order['order_type']:<11} {clean(order['title'])}"
    )
