"""`makima token`: what a person's programs show the gateway in their place."""

from __future__ import annotations

import argparse
import re
from urllib.parse import quote, urlencode

from cli.client import Failed, ask, pages
from cli.command import Arguments, add_verb, print_accepted, print_json, print_table, verbs_of
from cli.member import ROLES, tell_token
from cli.text import ago, clean, lasting, until
from shared.api.people import DAY_SECONDS, NewToken, TokenMade, TokenShown
from shared.api.tasks import Accepted
from shared.domain.roles import Role

NEVER = "never"
_BEGINNING = re.compile("[0-9a-f-]{4,36}", re.ASCII)


def register(command: argparse.ArgumentParser) -> None:
    """Declare `token` and its verbs."""
    verbs = verbs_of(command)
    create = add_verb(
        verbs,
        "create",
        _create,
        "a token of your own, printed once; an admin makes others', too",
        "makima token create laptop",
        "makima token create ci --role operator --expires 30d",
        "makima token create laptop --person grace",
    )
    create.add_argument("name", help="what it is for")
    create.add_argument("--person", metavar="PERSON", help="whose it is")
    create.add_argument("--role", choices=ROLES, help="the most that it may do; else what you and they both may")
    create.add_argument(
        "--expires", type=_expiry, default=90 * DAY_SECONDS, metavar="TIME", help="after 12h, 90d (the default), never"
    )
    listed = add_verb(verbs, "list", _list, "those that are good now: yours, to an admin all", "makima token list")
    listed.add_argument("--person", metavar="PERSON", help="only theirs")
    revoke = add_verb(
        verbs,
        "revoke",
        _revoke,
        "let one be good for nothing, at once",
        "makima token revoke laptop",
        "makima token revoke laptop --person grace",
    )
    revoke.add_argument("token", metavar="NAME|ID", help="which one: its name, or the beginning of its id")
    revoke.add_argument("--person", metavar="PERSON", help="whose it is")


def _create(arguments: Arguments) -> int:
    wanted = NewToken(
        name=arguments.name,
        person=arguments.person,
        role=Role(arguments.role) if arguments.role else None,
        expires_seconds=None if arguments.expires == NEVER else arguments.expires,
    )
    made = ask(TokenMade, "POST", "/v1/tokens", wanted)
    if arguments.output == "json":
        return print_json(made)
    return tell_token(made.token, f"{made.person}'s, called {made.name}, with the role {made.role}; it {_ends(made)}")


def _list(arguments: Arguments) -> int:
    tokens = _all(arguments)
    if arguments.output == "json":
        return print_json(tokens)
    rows = [
        (
            clean(token.name),
            clean(token.person),
            token.role,
            ago(token.created_at),
            ago(token.last_used_at) if token.last_used_at else "-",
            until(token.expires_at),
            str(token.id),
        )
        for token in tokens
    ]
    print_table(("NAME", "PERSON", "ROLE", "MADE", "LAST USED", "EXPIRES", "ID"), rows)
    return 0


def _revoke(arguments: Arguments) -> int:
    token = _found(_all(arguments), arguments.token)
    return print_accepted(arguments, ask(Accepted, "DELETE", f"/v1/tokens/{quote(str(token.id))}"))


def _found(tokens: list[TokenShown], said: str) -> TokenShown:
    """The token that is meant. Raises Failed."""
    found = [token for token in tokens if token.name == said]
    if not found and _BEGINNING.fullmatch(said):
        found = [token for token in tokens if str(token.id).startswith(said)]
    if not found:
        raise Failed(f"no token {said!r} is good; `makima token list` shows those that are")
    if len(found) > 1:
        which = ", ".join(f"{token.id} ({clean(token.person)})" for token in found[:3])
        raise Failed(f"{len(found)} tokens are called {said!r}: give an id, as {which}; or --person PERSON")
    return found[0]


def _all(arguments: Arguments) -> list[TokenShown]:
    asked = f"?{urlencode({'person': arguments.person})}" if arguments.person else ""
    return list(pages(TokenShown, f"/v1/tokens{asked}"))


def _ends(token: TokenShown) -> str:
    return "doesn't expire" if token.expires_at is None else f"expires {until(token.expires_at)}"


def _expiry(text: str) -> int | str:
    return NEVER if text == NEVER else lasting(text)
