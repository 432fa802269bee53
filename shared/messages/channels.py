"""The broker's channels: which messages each one carries. A service names those that it RECEIVES and SENDS by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from shared.messages.commands import AnyCommand, Unroutable
from shared.messages.events import AnyEvent
from shared.messages.link import Downward, Upward
from shared.messages.reports import AnyReport, AnyReportReply

Message = type[msgspec.Struct]
ByChannel = Mapping[str, frozenset[Message]]
Role = Literal["planner", "executor", "monitor", "completer", "gateway", "daemon"]
"""Who connects to the broker."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One of the broker's sockets (events have two, a proxy between them), all that it carries, and who may connect."""

    name: str
    endpoints: tuple[str, ...]
    pattern: str
    connects: str
    roles: tuple[Role, ...]
    about: str
    messages: tuple[Message, ...]


COMMANDS: tuple[Message, ...] = get_args(AnyCommand)
REPLIES: tuple[Message, ...] = (Unroutable,)
REPORTS: tuple[Message, ...] = get_args(AnyReport)
ACKS: tuple[Message, ...] = get_args(AnyReportReply)
LINK: tuple[Message, ...] = tuple(dict.fromkeys((*get_args(Upward), *get_args(Downward))))

CHANNELS = (
    Channel(
        name="events",
        endpoints=("events-in", "events-out"),
        pattern="XSUB and XPUB, a proxy",
        connects="PUB to events-in, SUB to events-out",
        roles=("planner", "executor", "monitor", "completer", "gateway"),
        about="Hints that something became true: one message a frame, or a list of one topic's. A topic is the type, "
        "and what its subscribers tell it apart by: `task.changed/<status, or asked>/<kind>/`, "
        "`directive.changed/<status>/`, else `<type>/`. "
        "Losing, doubling or reordering them costs time, never correctness.",
        messages=get_args(AnyEvent),
    ),
    Channel(
        name="commands",
        endpoints=("commands",),
        pattern="ROUTER",
        connects="DEALER",
        roles=("executor",),
        about="What is to be done, and the broker's replies: a list of messages a frame. A row promises each command; "
        "it is sent again until a daemon has accepted it.",
        messages=(*COMMANDS, *REPLIES),
    ),
    Channel(
        name="daemons",
        endpoints=("daemons",),
        pattern="ROUTER, mandatory, with handover",
        connects="DEALER, whose identity is the daemon's name",
        roles=("daemon",),
        about="Commands and acknowledgements down to a daemon, its reports up: a list of messages a frame. "
        "A report is journaled before it is sent, and sent again until it is acknowledged.",
        messages=(*COMMANDS, *REPORTS, *ACKS),
    ),
    Channel(
        name="reports",
        endpoints=("reports",),
        pattern="ROUTER, mandatory",
        connects="DEALER, which says `ready` every two seconds",
        roles=("monitor",),
        about="Reports to one of the monitors that are ready, and its answers, given after its commit: "
        "a list of messages a frame, with the daemon's identity between header and body.",
        messages=(*REPORTS, *ACKS),
    ),
    Channel(
        name="link",
        endpoints=("link",),
        pattern="ROUTER, mandatory, with handover, over TCP with CURVE; only where the setting `link` says so",
        connects="DEALER with a key that is enrolled and an identity of its own choice that nobody can guess",
        roles=(),
        about="The same as `daemons`, for those on other machines, whose name is that of their key; and, under the "
        "topic `link`, how they join and the requests of their agents.",
        messages=(*COMMANDS, *REPORTS, *ACKS, *LINK),
    ),
    Channel(
        name="calls",
        endpoints=("calls",),
        pattern="ROUTER, mandatory",
        connects="DEALER, which says `ready` every two seconds",
        roles=("gateway",),
        about="What crosses the link under the topic `link`, to one gateway and back: a list of messages a frame, with "
        "whom they are from or for between header and body: `daemon:NAME`, `invitation:KEY` or `asking:KEY`.",
        messages=LINK,
    ),
)

ROLES: tuple[Role, ...] = get_args(Role)
ADMITTED: Mapping[str, frozenset[Role]] = {
    endpoint: frozenset(channel.roles) for channel in CHANNELS for endpoint in channel.endpoints
}
"""Which roles may connect to each of the broker's endpoints."""
