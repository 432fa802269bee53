"""`makima context`: the gateways that this account logged in to, and which of them is in use."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import msgspec

from cli import completing
from cli.client import Failed
from cli.command import Arguments, add_verb, print_json, print_table, say, verbs_of
from cli.contexts import Context, changing, forget_token, load
from cli.gateways import LOCAL, chosen
from cli.text import clean

if TYPE_CHECKING:
    from cli.command import Verb, Verbs

THIS_MACHINE = "this machine's own cluster"


class ContextShown(msgspec.Struct, frozen=True, kw_only=True):
    """A context, without its token."""

    name: str
    address: str
    used: bool
    """Whether commands ask it, here and now."""
    person: str = ""
    """Who it was logged in as."""
    token: str = ""
    """Where its token is: keyring, file, or nowhere."""
    own_authority: bool = False
    """Whether its certificate is held to an authority that `makima login --ca` named."""


def register(command: argparse.ArgumentParser) -> None:
    """Declare `context` and its verbs."""
    verbs = verbs_of(command)
    add_verb(verbs, "list", _list, "all of them; `*` marks the one that counts", "makima context list")
    _named(verbs, "use", _use, "have commands ask this one from now on; `local` is this machine's cluster")
    _named(verbs, "show", _show, "one of them, without its token; else the one that counts", optional=True)
    _named(verbs, "remove", _remove, "forget it, and its token")


def _named(verbs: Verbs, name: str, verb: Verb, says: str, optional: bool = False) -> None:
    declared = add_verb(verbs, name, verb, says, f"makima context {name} build")
    argument = declared.add_argument("name", metavar="CONTEXT", nargs="?" if optional else None, help="which")
    argument.completer = completing.contexts()  # type: ignore[attr-defined]


def _list(arguments: Arguments) -> int:
    counts = chosen().context or LOCAL
    shown = [_shown(name, one, counts) for name, one in sorted(load().known.items())]
    if arguments.output == "json":
        return print_json(shown)
    local = ("*" if counts == LOCAL else "", LOCAL, THIS_MACHINE, "")
    rows = [("*" if one.used else "", one.name, one.address, clean(one.person)) for one in shown]
    print_table(("", "context", "address", "as"), [local, *rows])
    return 0


def _use(arguments: Arguments) -> int:
    with changing() as contexts:
        if arguments.name != LOCAL:
            contexts.named(arguments.name)
        contexts.used = arguments.name
    where = THIS_MACHINE if arguments.name == LOCAL else contexts.named(arguments.name).address
    return say(f"commands ask {where} from now on")


def _show(arguments: Arguments) -> int:
    counts = chosen().context or LOCAL
    name = arguments.name or counts
    if name == LOCAL:
        raise Failed(f"{LOCAL} is {THIS_MACHINE}: `makima status` tells of it")
    shown = _shown(name, load().named(name), counts)
    if arguments.output == "json":
        return print_json(shown)
    print_table(
        (),
        [
            ("context", shown.name),
            ("address", shown.address),
            ("as", clean(shown.person) or "not told"),
            ("token", shown.token),
            ("certificate", "held to an authority of your own" if shown.own_authority else "held to the system's"),
            ("counts now", "yes" if shown.used else "no"),
        ],
    )
    return 0


def _remove(arguments: Arguments) -> int:
    with changing() as contexts:
        forget_token(arguments.name, contexts.named(arguments.name))
        del contexts.known[arguments.name]
        if contexts.used == arguments.name:
            contexts.used = LOCAL
    return say(f"{arguments.name} is forgotten here, with its token")


def _shown(name: str, context: Context, counts: str) -> ContextShown:
    return ContextShown(
        name=name,
        address=context.address,
        used=name == counts,
        person=context.person,
        token=context.keeps,
        own_authority=bool(context.authority),
    )
