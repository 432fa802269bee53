"""`makima daemon invite`, `keys`, `accept` and `revoke`: which daemons on other machines belong to this cluster."""

from __future__ import annotations

import re
import sys
import urllib.parse
from typing import TYPE_CHECKING

from cli.client import Failed, ask, pages
from cli.command import Arguments, add_verb, print_json, print_table, say, settings
from cli.text import ago, clean, duration, lasting, until

if TYPE_CHECKING:
    from cli.command import Verbs
    from shared.api.daemon_keys import DaemonKeyShown

_FORBIDDEN = 403
_FINGERPRINT = re.compile("[0-9a-f]{4}(-[0-9a-f]{4}){3}", re.ASCII)


def register(verbs: Verbs) -> None:
    """Declare them."""
    invite = add_verb(
        verbs,
        "invite",
        _invite,
        "let a daemon on another machine join: prints the line that it joins with, once",
        "makima daemon invite --name laptop",
        "makima daemon invite --name gpu-1 --labels gpu,big --slots 8 --expires 10m",
    )
    invite.add_argument("--name", help="what the daemon is called; without it the daemon chooses")
    invite.add_argument("--labels", metavar="A,B", default="", help="what steps may ask of it, separated by commas")
    invite.add_argument("--slots", type=int, metavar="N", help="how many tasks it runs at once")
    invite.add_argument(
        "--expires", type=lasting, default=3600, metavar="TIME", help="until when: 90s, 30m, 1h (the default), 2d"
    )
    add_verb(
        verbs, "keys", _keys, "the keys of daemons on other machines, invitations and who asks", "makima daemon keys"
    )
    accept = add_verb(
        verbs,
        "accept",
        _accept,
        "accept a key that asks to be a daemon of this cluster",
        "makima daemon accept 1a2b-3c4d-5e6f-7081",
        "makima daemon accept 1a2b-3c4d-5e6f-7081 --name laptop",
    )
    accept.add_argument("fingerprint", help="of the key, as `makima daemon join` shows it on the other machine")
    accept.add_argument("--name", help="what to call the daemon; as it asked by default")
    accept.add_argument("--slots", type=int, metavar="N", help="how many tasks it runs at once; at most 64 by default")
    revoke = add_verb(
        verbs,
        "revoke",
        _revoke,
        "let a daemon on another machine connect no more, at once; or withdraw an invitation",
        "makima daemon revoke laptop",
        "makima daemon revoke 1a2b-3c4d-5e6f-7081",
    )
    revoke.add_argument("key", metavar="NAME|FINGERPRINT", help="which daemon, or which key")


def marks() -> dict[str, str]:
    """The fingerprint of each daemon on another machine, by its name; none for who may not see keys."""
    try:
        keys = _all()
    except Failed as error:
        if error.status == _FORBIDDEN:
            return {}
        raise
    keys = [key for key in keys if key.status == "accepted" and key.expires_at is None]
    return {key.name: key.fingerprint for key in keys if key.name is not None}


def _invite(arguments: Arguments) -> int:
    from shared.api.daemon_keys import InvitationShown, NewInvitation

    wish = NewInvitation(
        name=arguments.name,
        labels=[label.strip() for label in arguments.labels.split(",") if label.strip()],
        slots=arguments.slots,
        expires_seconds=arguments.expires,
    )
    told = ask(InvitationShown, "POST", "/v1/daemons/invitations", wish)
    if arguments.output == "json":
        return print_json(told)
    print(told.line, flush=True)
    print(
        f"\nOn the other machine:\n\n  makima daemon join LINE\n\nwith that line, which is good once, for "
        f"{duration(arguments.expires)}. Whoever has it can join: hand it on as you would a password.\n"
        f"makima daemon revoke {told.fingerprint} withdraws it.",
        file=sys.stderr,
    )
    return 0


def _keys(arguments: Arguments) -> int:
    keys = sorted(_all(), key=lambda key: key.created_at)
    if arguments.output == "json":
        return print_json(keys)
    rows = [
        (
            key.fingerprint,
            clean(key.name or "-"),
            key.status,
            ago(key.created_at),
            ago(key.changed_at),
            until(key.expires_at),
        )
        for key in keys
    ]
    print_table(("FINGERPRINT", "NAME", "STATUS", "MADE", "CHANGED", "EXPIRES"), rows)
    _say_how_to_ask()
    return 0


def _say_how_to_ask() -> None:
    """Where daemons may ask, what they need for it."""
    from shared.bus.link import server_keys

    known = settings()
    if known.link is not None and known.link_asking and sys.stdout.isatty():
        where = clean(known.link_address or known.link)
        print(f"\na daemon may ask by: makima daemon join {where} --server-key '{server_keys(known.home).public}'")


def _accept(arguments: Arguments) -> int:
    from shared.api.daemon_keys import AcceptWish, DaemonKeyShown

    path = f"/v1/daemons/keys/{_quoted(arguments.fingerprint)}/accept"
    return _print(arguments, ask(DaemonKeyShown, "POST", path, AcceptWish(name=arguments.name, slots=arguments.slots)))


def _revoke(arguments: Arguments) -> int:
    from shared.api.daemon_keys import DaemonKeyShown

    path = f"/v1/daemons/keys/{_quoted(_fingerprint(arguments.key))}/revoke"
    return _print(arguments, ask(DaemonKeyShown, "POST", path))


def _fingerprint(of: str) -> str:
    """The fingerprint that is meant: of a daemon by its name, its newest key's. Raises Failed."""
    if _FINGERPRINT.fullmatch(of):
        return of
    named = [key for key in _all() if key.name == of and key.status in ("accepted", "asking", "invited")]
    accepted = [key for key in named if key.status == "accepted"]
    newest = [key for key in accepted if key.expires_at is None] or accepted or named
    if not newest:
        raise Failed(f"no key is {of!r}'s; `makima daemon keys` shows them")
    if len(newest) > 1:
        raise Failed(f"{len(newest)} keys have the name {of}: give a fingerprint, {newest[0].fingerprint} for one")
    return newest[0].fingerprint


def _print(arguments: Arguments, key: DaemonKeyShown) -> int:
    if arguments.output == "json":
        return print_json(key)
    return say(f"{key.fingerprint} ({clean(key.name or 'no name')}) is {key.status}")


def _all() -> list[DaemonKeyShown]:
    from shared.api.daemon_keys import DaemonKeyShown

    return list(pages(DaemonKeyShown, "/v1/daemons/keys"))


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")
