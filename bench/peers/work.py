"""What every peer is asked for, in lines of JSON on standard input, and how its steps say when they ran.

A step does nothing but send the time of the machine's monotonic clock to the socket of whoever waits for it: a hop is
from one step's time to the next one's, wherever each ran.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

SOCKET = "BENCH_STAMPS"
"""The environment variable that names the socket."""
WAIT_SECONDS = 180.0

_sending: dict[int, socket.socket] = {}


class Peer(Protocol):
    """A system that can run steps. Each call returns once it was asked; the steps' stamps tell the rest."""

    def chain(self, steps: int) -> None:
        """Start steps of which each depends on the one before; the stamps are `step N`."""

    def fans(self, number: int, width: int) -> None:
        """Start so many times one step, `width` that depend on it, and one that depends on them all."""

    def one(self) -> None:
        """Start a single step."""


def stamp(name: str) -> None:
    """Say that a step runs now."""
    now = time.monotonic_ns()
    sending = _sending.get(os.getpid())
    if sending is None:
        sending = _sending[os.getpid()] = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sending.connect(os.environ[SOCKET])
    sending.send(f"{now} {name}".encode())


class Stamps:
    """The stamps of all steps, as they come."""

    def __init__(self, path: Path) -> None:
        os.environ[SOCKET] = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(str(path))
        self._arrived: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        threading.Thread(target=self._receive, daemon=True).start()

    def take(self, number: int) -> list[tuple[int, str]]:
        """The next so many, in the order of their times. Raises `queue.Empty` when they don't come."""
        return sorted(self._arrived.get(timeout=WAIT_SECONDS) for _ in range(number))

    def _receive(self) -> None:
        """At once: a step waits while the socket's short queue is full."""
        while True:
            at, _, name = self._socket.recv(200).decode().partition(" ")
            self._arrived.put((int(at), name))


def serve(peer: Peer, stamps: Stamps) -> None:
    """Say that it is ready, then do what each line asks for and answer it, until standard input ends."""
    asked: dict[str, Callable[..., list[float]]] = {"chain": _chain, "fans": _fans, "starts": _starts}
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        what, *numbers = json.loads(line)
        print(json.dumps(asked[what](peer, stamps, *numbers)), flush=True)


def _chain(peer: Peer, stamps: Stamps, steps: int) -> list[float]:
    """Milliseconds of each hop."""
    peer.chain(steps)
    seen = stamps.take(steps)
    assert [name for _, name in seen] == [f"step {n}" for n in range(steps)], "steps ran out of their order"
    return [(after - before) / 1e6 for (before, _), (after, _) in itertools.pairwise(seen)]


def _fans(peer: Peer, stamps: Stamps, number: int, width: int) -> list[float]:
    """Steps a second."""
    began = time.monotonic_ns()
    peer.fans(number, width)
    steps = number * (width + 2)
    last, name = stamps.take(steps)[-1]
    assert name == "last", f"{name} ran after the last step"
    return [steps / ((last - began) / 1e9)]


def _starts(peer: Peer, stamps: Stamps, times: int) -> list[float]:
    """Milliseconds from the request to the step, one after another."""
    took = []
    for _ in range(times):
        began = time.monotonic_ns()
        peer.one()
        ((at, _),) = stamps.take(1)
        took.append((at - began) / 1e6)
    return took
