"""What a supervisor on this machine says of the cluster's processes, and whether its disk is full."""

from __future__ import annotations

import time

import msgspec

from shared.config import Settings
from shared.messages.unreadable import UNREADABLE
from shared.places import cluster_file, short_of_room


class _Trouble(msgspec.Struct, frozen=True):
    why: str
    since: float


class _Cluster(msgspec.Struct, frozen=True):
    """What a supervisor on this machine writes every second (`{home}/run/cluster.json`), as far as it matters here."""

    broken: dict[str, _Trouble] = {}


def troubles(settings: Settings) -> dict[str, str]:
    """What of this machine's cluster isn't there or stands still, since when; and its disk, where that is full."""
    full = {"disk": words} if (words := short_of_room(settings.home)) else {}
    try:
        written = cluster_file(settings.home).read_bytes()
        broken = msgspec.json.decode(written, type=_Cluster).broken
    except (OSError, *UNREADABLE):
        return full  # nobody supervises here
    return {**full, **{name: f"{one.why}, for {max(time.time() - one.since, 0):.0f} s" for name, one in broken.items()}}
