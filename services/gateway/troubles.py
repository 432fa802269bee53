"""What a supervisor on this machine says of the cluster's processes, and whether its disk is full."""

from __future__ import annotations

import time

from shared.config import Settings
from shared.places import disk_full
from shared.running import read


def troubles(settings: Settings) -> dict[str, str]:
    """What of this machine's cluster isn't there or stands still, since when; and its disk, where that is full."""
    full = {"disk": words} if (words := disk_full(settings.home)) else {}
    supervised = read(settings.home)
    if supervised is None:
        return full
    now = time.time()
    return {
        **full,
        **{name: f"{one.why}, for {max(now - one.since, 0):.0f} s" for name, one in supervised.broken.items()},
    }
