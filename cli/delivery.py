"""The verb of `makima directive` that tells of a delivery: what a delivery's agent calls, or a person."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cli.client import Failed, call
from cli.command import Arguments, add_verb, print_json, say

if TYPE_CHECKING:
    from cli.command import Verbs


def register(verbs: Verbs) -> None:
    """Declare the verb."""
    update = add_verb(verbs, "update", _update, "tell of its pull request, or that it is completed")
    update.add_argument("id", nargs="?", default=os.environ.get("MAKIMA_DIRECTIVE_ID"))
    update.add_argument("--pr-url", metavar="URL", help="a pull request of the directive's own repository")
    update.add_argument("--status", choices=("completed",))


def _update(arguments: Arguments) -> int:
    if not arguments.id:
        raise Failed("which directive? give its ID (inside a task it is known)")
    told = {"pr_url": arguments.pr_url, "status": arguments.status}
    shown = call("POST", f"/v1/directives/{arguments.id}/delivery", told)
    return print_json(shown) if arguments.output == "json" else say(f"{shown['status']}  {shown['pr_url'] or ''}")
