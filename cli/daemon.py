"""`makima daemon`: the workers."""

from __future__ import annotations

import argparse
import urllib.parse

from cli import completing, installing, inviting, joining
from cli.client import ask, pages
from cli.command import Arguments, add_verb, print_accepted, print_json, print_table, say, settings, verbs_of
from cli.text import clean, size


def register(command: argparse.ArgumentParser) -> None:
    """Declare `daemon` and its verbs."""
    verbs = verbs_of(command)
    add_verb(verbs, "list", _list, "connected or not, and how busy", "makima daemon list")
    drain = add_verb(
        verbs,
        "drain",
        _drain,
        "give it no more work; what runs on it goes on",
        "makima daemon drain daemon-1",
        "makima daemon drain daemon-1 --off",
    )
    name = drain.add_argument("name", help="which daemon, as `daemon list` calls it")
    name.completer = completing.daemons()  # type: ignore[attr-defined]
    drain.add_argument("--off", action="store_true", help="give it work again")
    prune = add_verb(
        verbs,
        "prune",
        _prune,
        "remove what attempts left behind here, and unused copies of repositories",
        "makima daemon prune --dry-run",
    )
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    inviting.register(verbs)
    joining.register(verbs)
    installing.register(verbs)


def _list(arguments: Arguments) -> int:
    from shared.api.cluster import DaemonShown

    daemons = list(pages(DaemonShown, "/v1/daemons"))
    if arguments.output == "json":
        return print_json(daemons)
    marks = inviting.marks()
    rows = [
        (
            clean(daemon.name),
            ("draining" if daemon.draining else "connected") if daemon.connected else "lost",
            f"{daemon.running}/{daemon.capacity}",
            clean(", ".join(daemon.agents) or "-"),
            clean(", ".join(daemon.labels) or "-"),
            *((marks.get(daemon.name, "this machine"),) if marks else ()),
        )
        for daemon in daemons
    ]
    print_table(("NAME", "STATE", "SLOTS", "AGENTS", "LABELS", *(("KEY",) if marks else ())), rows)
    return 0 if daemons else say("there is no daemon yet; makima up starts some")


def _prune(arguments: Arguments) -> int:
    from services.daemon.pruning import carry_out, prune_home

    pruned = prune_home(settings(), list if arguments.dry_run else carry_out)
    if arguments.output == "json":
        return print_json(
            [{"what": p.what, "name": p.name, "path": str(p.path), "bytes": p.bytes, "why": p.why} for p in pruned]
        )
    print_table(("WHAT", "NAME", "SIZE", "WHY"), [(p.what, clean(p.name), size(p.bytes), p.why) for p in pruned])
    total = size(sum(p.bytes for p in pruned))
    return say(f"{total} {'would be freed' if arguments.dry_run else 'freed'}" if pruned else "nothing to remove")


def _drain(arguments: Arguments) -> int:
    from shared.api.cluster import DrainWish
    from shared.api.tasks import Accepted

    name = urllib.parse.quote(arguments.name, safe="")
    answer = ask(Accepted, "POST", f"/v1/daemons/{name}/drain", DrainWish(on=not arguments.off))
    return print_accepted(arguments, answer)
