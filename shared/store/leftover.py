"""What an earlier server left in its folders when it did not end by itself: processes, and files with their numbers.

Postgres takes any process with the number in such a file for a server, if it is of the same user. After a power loss
that may be anybody's. Only for who holds the home's lock: then every server on its data is a leftover.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from shared.config.embedded_url import socket_folder

FAST_SECONDS = 10.0
"""What a leftover server has to end in order."""
ABRUPT_SECONDS = 10.0


class StillThere(OSError):
    """Processes of an earlier server that don't end."""


def clear(home: Path) -> None:
    """End what works on the data still, then remove the files that name it. Raises StillThere.

    The files go last: as long as a process of the old server lives, they are what keeps a new one off the data.
    """
    data, sockets = home / "postgres", socket_folder(home)
    files = [data / "postmaster.pid", *sockets.glob(".s.PGSQL.*.lock")]
    if not any(file.exists() for file in files):
        return
    for number, seconds in ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, ABRUPT_SECONDS)):
        for process in at_work(data):
            with suppress(ProcessLookupError):
                os.kill(process, number)
        deadline = time.monotonic() + seconds
        while at_work(data) and time.monotonic() < deadline:
            time.sleep(0.02)
    if left := at_work(data):
        raise StillThere(f"Postgres's processes {left} work on {data} and don't end; end them")
    for file in files:
        file.unlink(missing_ok=True)


def at_work(data: Path) -> list[int]:
    """The processes of a server on this data: a server's working folder is its data folder."""
    there = data.stat()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.path.samestat((process / "cwd").stat(), there) and (process / "exe").readlink().name == "postgres":
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or is another user's
    return found
