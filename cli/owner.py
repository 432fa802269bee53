"""`makima owner`: the teams of a cluster, and what each may use; made by the cluster's administrator."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import isfinite

from cli.client import Failed, act_in, ask, pages
from cli.command import Arguments, add_verb, print_json, print_table, verbs_of
from cli.member import tell_token
from cli.text import clean
from shared.api.people import NewOwner, OwnerLimits, OwnerMade, OwnerShown

LIFTED = "none"
_LIMITS = ("max_running", "max_cost_usd_a_day", "max_daemons")


def register(command: argparse.ArgumentParser) -> None:
    """Declare `owner` and its verbs."""
    verbs = verbs_of(command)
    create = add_verb(
        verbs,
        "create",
        _create,
        "make an owner; with its first admin, whose token is printed once",
        "makima owner create payments --admin ada",
        "makima owner create payments --max-running 10 --max-cost-usd-a-day 50",
    )
    create.add_argument("name", help="what to call it: letters, digits, `.`, `_` and `-`")
    create.add_argument("--admin", metavar="PERSON", help="who says who is a member, from then on")
    _limits(create)
    add_verb(verbs, "list", _list, "the cluster's owners", "makima owner list")
    show = add_verb(
        verbs, "show", _show, "an owner and what it may use; your token's without a name", "makima owner show"
    )
    show.add_argument("name", nargs="?", help="another one's, for the cluster's administrator")
    change = add_verb(
        verbs,
        "set",
        _set,
        "change what an owner may use (`none` lifts a limit)",
        "makima owner set payments --max-running 20 --max-daemons none",
    )
    change.add_argument("name", help="which owner")
    _limits(change)


def _limits(command: argparse.ArgumentParser) -> None:
    number, dollars = _limit(int), _limit(float)
    command.add_argument("--max-running", type=number, metavar="N", help="how many of its tasks run at once")
    command.add_argument("--max-cost-usd-a-day", type=dollars, metavar="USD", help="what its tasks may cost in a day")
    command.add_argument("--max-daemons", type=number, metavar="N", help="how many daemons it may have")


def _limit(kind: type[int] | type[float]) -> Callable[[str], str | float]:
    def limit(text: str) -> str | float:
        if text == LIFTED:
            return LIFTED
        if not isfinite(value := kind(text)):
            raise ValueError
        return value

    limit.__name__ = kind.__name__  # what argparse calls it where it is none
    return limit


def _given(arguments: Arguments) -> dict[str, float | None]:
    given = {name: getattr(arguments, name) for name in _LIMITS if getattr(arguments, name) is not None}
    return {name: None if value == LIFTED else value for name, value in given.items()}


def _create(arguments: Arguments) -> int:
    wanted = NewOwner(name=arguments.name, admin=arguments.admin, **_given(arguments))  # type: ignore[arg-type]
    made = ask(OwnerMade, "POST", "/v1/owners", wanted)
    if arguments.output == "json":
        return print_json(made)
    if made.token is None:
        print(f"{made.name} is made; `makima member add PERSON --role admin --owner {made.name}` gives it an admin")
        return 0
    return tell_token(made.token, f"{arguments.admin}'s, an admin of {made.name}")


def _list(arguments: Arguments) -> int:
    return _print(arguments, list(pages(OwnerShown, "/v1/owners")))


def _show(arguments: Arguments) -> int:
    if arguments.name is not None:
        act_in(arguments.name)
    return _print(arguments, ask(OwnerShown, "GET", "/v1/owner"))


def _set(arguments: Arguments) -> int:
    if not _given(arguments):
        raise Failed("nothing to set: give a limit; see `makima owner set -h`")
    act_in(arguments.name)
    return _print(arguments, ask(OwnerShown, "PATCH", "/v1/owner", OwnerLimits(**_given(arguments))))  # type: ignore[arg-type]


def _print(arguments: Arguments, told: OwnerShown | list[OwnerShown]) -> int:
    if arguments.output == "json":
        return print_json(told)
    owners = told if isinstance(told, list) else [told]
    rows = [
        (
            clean(owner.name),
            str(owner.members),
            str(owner.directives),
            *("-" if limit is None else f"{limit:g}" for limit in _limits_of(owner)),
        )
        for owner in owners
    ]
    print_table(("NAME", "MEMBERS", "DIRECTIVES", "MAX RUNNING", "MAX $ A DAY", "MAX DAEMONS"), rows)
    return 0


def _limits_of(owner: OwnerShown) -> tuple[float | None, ...]:
    return owner.max_running, owner.max_cost_usd_a_day, owner.max_daemons
