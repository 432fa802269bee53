"""`makima member`: who may do what in an owner."""

from __future__ import annotations

import argparse
import sys
from urllib.parse import quote

from cli.client import Failed, ask, pages
from cli.command import Arguments, add_verb, print_accepted, print_json, print_table, say, verbs_of
from cli.text import ago, clean
from shared.api.people import MemberShown, MemberWish
from shared.api.tasks import Accepted
from shared.domain.roles import Role

ROLES = tuple(map(str, Role))
_NOT_FOUND = 404


def register(command: argparse.ArgumentParser) -> None:
    """Declare `member` and its verbs."""
    verbs = verbs_of(command)
    add = add_verb(
        verbs,
        "add",
        _add,
        "make a person a member; `makima token create` gives them a token",
        "makima member add grace",
        "makima member add linus@example.org --role viewer",
    )
    _person(add)
    _role(add).default = str(Role.OPERATOR)
    add_verb(verbs, "list", _list, "who is one, and what they may", "makima member list")
    change = add_verb(
        verbs,
        "set",
        _set,
        "give a member another role, at once",
        "makima member set grace --role admin",
    )
    _person(change)
    _role(change).required = True
    remove = add_verb(
        verbs, "remove", _remove, "let them be none any more: their tokens end, at once", "makima member remove grace"
    )
    _person(remove)


def tell_token(token: str, whose: str) -> int:
    """Print a token alone on standard output, and beside it what it is."""
    print(token, flush=True)
    print(
        f"\nThis token is {clean(whose)}. It is shown this once: keep it as you would a password, "
        "and hand it on like one.\nIt counts where MAKIMA_TOKEN holds it.",
        file=sys.stderr,
    )
    return 0


def _person(command: argparse.ArgumentParser) -> None:
    command.add_argument("person", help="what they are called: a name, or an address of e-mail")


def _role(command: argparse.ArgumentParser) -> argparse.Action:
    says = "a viewer looks, an operator (the default) gives work, an admin says who is a member"
    if command.prog.endswith("set"):
        says = says.replace(" (the default)", "")
    return command.add_argument("--role", choices=ROLES, help=says)


def _add(arguments: Arguments) -> int:
    if (found := _found(arguments.person)) is not None and found.role != arguments.role:
        raise Failed(f"{found.name} is a member already, with the role {found.role}; `makima member set` changes it")
    return _put(arguments)


def _set(arguments: Arguments) -> int:
    if _found(arguments.person) is None:
        raise Failed(f"{arguments.person!r} is no member; `makima member add` makes them one")
    return _put(arguments)


def _put(arguments: Arguments) -> int:
    member = ask(MemberShown, "PUT", _path(arguments.person), MemberWish(role=Role(arguments.role)))
    if arguments.output == "json":
        return print_json(member)
    return say(f"{clean(member.name)} has the role {member.role}")


def _found(person: str) -> MemberShown | None:
    try:
        return ask(MemberShown, "GET", _path(person))
    except Failed as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _list(arguments: Arguments) -> int:
    members = list(pages(MemberShown, "/v1/members"))
    if arguments.output == "json":
        return print_json(members)
    rows = [
        (clean(m.name), m.role, ago(m.added_at), str(m.tokens), ago(m.last_used_at) if m.last_used_at else "-")
        for m in members
    ]
    print_table(("NAME", "ROLE", "ADDED", "TOKENS", "LAST USED"), rows)
    return 0


def _remove(arguments: Arguments) -> int:
    return print_accepted(arguments, ask(Accepted, "DELETE", _path(arguments.person)))


def _path(person: str) -> str:
    return f"/v1/members/{quote(person, safe='')}"
