"""What a supervisor on this machine says of the cluster's processes."""

from __future__ import annotations

import time

import msgspec

from shared.config import Settings
from shared.messages.unreadable import UNREADABLE
from shared.places import cluster_file


class _Trouble(msgspec.Struct, frozen=True):
    why: str
    since: float


class _Cluster(msgspec.Struct, frozen=True):
    """What a supervisor on this machine writes every second (`{home}/run/cluster.json`), as far as it matters here."""

    broken: dict[str, _Trouble] = {}


def troubles(settings: Settings) -> dict[str, str]:
    """The processes of this machine's cluster that aren't there or stand still: why, and for how long."""
    try:
        written = cluster_file(settings.home).read_bytes()
        broken = msgspec.json.decode(written, type=_Cluster).broken
    except (OSError, *UNREADABLE):
        return {}  # nobody supervises here
    return {name: f"{one.why}, for {max(time.time() - one.since, 0):.0f} s" for name, one in broken.items()}
