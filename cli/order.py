"""`makima order`: small work items that a directive's planner picks up."""

from __future__ import annotations

import argparse
import os
from urllib.parse import quote, urlencode
from uuid import UUID

from cli import naming
from cli.client import Failed, ask, pages
from cli.command import Arguments, add_verb, print_json, print_table, say, verbs_of
from cli.text import ago, clean
from shared.api.directives import DirectiveShown
from shared.api.orders import Link, NewOrder, OrderShown
from shared.api.steps import StepFound
from shared.domain.orders import OrderType, Priority
from shared.domain.statuses import OrderStatus

PRIORITIES = tuple(map(str, Priority))
TYPES = tuple(map(str, OrderType))
STATUSES = tuple(map(str, OrderStatus))


def register(command: argparse.ArgumentParser) -> None:
    """Declare `order` and its verbs."""
    verbs = verbs_of(command)
    add = add_verb(verbs, "add", _add, "an open order", "makima order add 'Fix the typo' --directive 12 --type bug")
    add.add_argument("title", help="what is wanted, in a line")
    add.add_argument("--description", default="", metavar="TEXT", help="what is wanted, in more words")
    add.add_argument("--priority", choices=PRIORITIES, default="medium", help="the most urgent is planned first")
    add.add_argument("--type", choices=TYPES, default="feature", help="what kind of work it is")
    naming.name(add, "--directive", kind="directive", metavar="NAME")
    add.add_argument("--quiet", action="store_true", help="print its number alone")
    listed = add_verb(verbs, "list", _list, "the most urgent first", "makima order list --status open")
    naming.name(listed, "--directive", kind="directive", metavar="NAME")
    listed.add_argument("--status", choices=STATUSES, help="only those with this status")
    link = add_verb(
        verbs,
        "link",
        _link,
        "let a directive pick it up; or say which of its steps serves it already",
        "makima order link 7 12",
        "makima order link 7 --step 12/3",
    )
    naming.name(link, "id", kind="order")
    known = os.environ.get("MAKIMA_DIRECTIVE_ID")
    naming.name(link, "directive", kind="directive", nargs="?", default=known)
    naming.name(link, "--step", kind="step", metavar="STEP")
    pick_up = add_verb(verbs, "pick-up", _pick_up, "plan a directive's open orders", "makima order pick-up 12")
    naming.name(pick_up, "directive", kind="directive")
    says = "do without it; steps that serve it stay"
    naming.name(add_verb(verbs, "cancel", _cancel, says, "makima order cancel 7"), "id", kind="order")


def _add(arguments: Arguments) -> int:
    body = NewOrder(
        title=arguments.title,
        description=arguments.description,
        priority=Priority(arguments.priority),
        order_type=OrderType(arguments.type),
        directive=UUID(arguments.directive) if arguments.directive else None,
    )
    order = ask(OrderShown, "POST", "/v1/orders", body)
    return say(str(order.number)) if arguments.quiet and arguments.output == "text" else _print(arguments, order)


def _list(arguments: Arguments) -> int:
    asked = {k: v for k, v in (("directive", arguments.directive), ("status", arguments.status)) if v}
    orders = list(pages(OrderShown, f"/v1/orders?{urlencode(asked)}"))
    if arguments.output == "json":
        return print_json(orders)
    print_table(("#", "STATUS", "PRIORITY", "TYPE", "MADE", "TITLE"), [_row(order) for order in orders])
    return 0


def _link(arguments: Arguments) -> int:
    path, directive = f"/v1/orders/{quote(arguments.id)}/link", arguments.directive
    if directive is None and arguments.step is not None:
        directive = str(ask(StepFound, "GET", f"/v1/steps/{quote(arguments.step)}").directive_id)
    if directive is None:
        raise Failed("which directive? name it, or with --step a step of it")
    step = UUID(arguments.step) if arguments.step else None
    return _print(arguments, ask(OrderShown, "POST", path, Link(directive=UUID(directive), step=step)))


def _pick_up(arguments: Arguments) -> int:
    shown = ask(DirectiveShown, "POST", f"/v1/directives/{quote(arguments.directive)}/pick-up")
    return print_json(shown) if arguments.output == "json" else say(shown.standing)


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
        str(order.number), status, order.priority, order.order_type, ago(order.created_at), clean(order.title),
    )  # fmt: skip
