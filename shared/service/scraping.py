"""A process says what it counts to whoever connects to its socket in the run folder: the gateway, when it is scraped.

A thread of its own answers, so that it works in any process, also in one whose loop is stuck.
"""

from __future__ import annotations

import fcntl
import os
import re
import resource
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec
import structlog

from shared import metrics
from shared.config import Settings
from shared.config.sockets import hold, named

log = structlog.get_logger()

MOST_OF_A_NAME = 1000
PAUSE_SECONDS = 1.0
_STARTED = time.time()
_PAGE = resource.getpagesize()
_held: list[IO[bytes]] = []
"""Locks that are held for as long as the process lives."""


def folder_of(settings: Settings) -> Path:
    """Where the processes of a cluster say what they count."""
    return settings.run_folder() / "metrics"


def serve_metrics(settings: Settings, service: str, name: str | None = None) -> None:
    """Answer whoever asks, from now on. `name` tells this process from others of its service.

    Without it, or its folder, work goes on: it is only not counted.
    """
    try:
        listening = _listening(folder_of(settings), re.sub(r"[^A-Za-z0-9._-]", "_", name or service)[:60])
    except OSError as error:
        log.warning("metrics can't be served", error=str(error))
        return
    threading.Thread(target=_serve, args=(listening, service), name="metrics", daemon=True).start()


def _listening(folder: Path, name: str) -> socket.socket:
    """A socket of this name, or with a number after it where a process that lives has that. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(1, MOST_OF_A_NAME):
        path = folder / (name if number == 1 else f"{name}-{number}")
        lock = path.with_name(f"{path.name}.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        _held.append(lock)
        place = named(hold(folder)) / f"{path.name}.sock"  # however long the folder's path is
        place.unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(place))
        place.chmod(0o600)
        listening.listen(8)
        return listening
    raise OSError(f"{MOST_OF_A_NAME} processes are named {name}")


def _serve(listening: socket.socket, service: str) -> None:
    while True:
        try:
            asking, _ = listening.accept()
        except OSError:  # no descriptor is free just now
            time.sleep(PAUSE_SECONDS)
            continue
        with asking, suppress(OSError):
            asking.settimeout(PAUSE_SECONDS)
            asking.sendall(msgspec.json.encode(told(service)))


def told(service: str) -> metrics.Told:
    """What this process says of itself."""
    virtual, resident, *_ = Path("/proc/self/statm").read_text().split()
    return metrics.Told(
        service=service,
        counters=metrics.counted(),
        timings=metrics.timed(),
        cpu_seconds=time.process_time(),
        resident_bytes=int(resident) * _PAGE,
        virtual_bytes=int(virtual) * _PAGE,
        open_files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - a name each is enough
        most_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        started=_STARTED,
    )
