"""What a cluster's supervisor says of itself, every second, in `{home}/run/cluster.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shared.messages.unreadable import UNREADABLE
from shared.places import cluster_file


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a process, since when (seconds of the epoch), and how often it was started again."""

    why: str
    since: float
    restarts: int = 0


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster that runs, or did: its supervisor and its processes by their numbers, and what of them is broken."""

    pid: int
    address: str
    socket: str = ""
    started: float
    processes: dict[str, int]
    broken: dict[str, Broken] = {}


def read(home: Path) -> Running | None:
    """What is written, whether it still runs or not; None where nothing is that can be read."""
    try:
        return msgspec.json.decode(cluster_file(home).read_bytes(), type=Running)
    except (OSError, *UNREADABLE):
        return None


def write(home: Path, running: Running) -> None:
    """Write it whole or not at all. Raises OSError."""
    draft = cluster_file(home).with_name(".cluster.json")
    draft.write_bytes(msgspec.json.encode(running))
    draft.replace(cluster_file(home))
