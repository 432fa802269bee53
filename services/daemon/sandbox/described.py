"""A container as the daemon describes it (docker.py) to the program that runs it (container.py)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

VARIABLE = "MAKIMA_CONTAINER"
"""Holds the description. What is secret of it is in no command line then, which every account may read."""


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """A file or folder of the machine, at a place in the container; without a source an empty folder."""

    place: str
    source: str | None = None
    read_only: bool = True


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """A container to be run."""

    engine: str
    """The address of Docker's engine."""
    image: str
    name: str
    labels: Mapping[str, str]
    user: str
    folder: str
    """Where the command starts."""
    environment: Mapping[str, str]
    path: str
    """Comes before the image's own PATH."""
    bound: tuple[Bound, ...]
    network: str
    cpus: float | None = None
    memory_bytes: int | None = None
    processes: int | None = None
    limits: Mapping[str, int] = {}
    """Of each process, as setrlimit names them."""
