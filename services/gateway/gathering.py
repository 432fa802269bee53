"""What every process of the cluster counts, asked of each by its socket in the run folder.

A process is believed no more than numbers, under names that are declared, with as many labels as those have.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from shared.config import Settings
from shared.config.sockets import hold, named
from shared.messages.unreadable import UNREADABLE
from shared.metrics import BUCKETS_SECONDS, COUNTERS, TIMINGS, Counted, Told
from shared.running import read
from shared.service.scraping import folder_of

PATIENCE_SECONDS = 1.0
MOST_BYTES = 256 << 10
MOST_PROCESSES = 2000
MOST_SAMPLES = 500
LONGEST_LABEL = 60
SERVICES = frozenset({"broker", "planner", "executor", "monitor", "completer", "gateway", "daemon", "cluster"})
_decode = msgspec.json.Decoder(Told).decode


class Gathering:
    """Asks the processes of one cluster."""

    def __init__(self, settings: Settings) -> None:
        self._home = settings.home
        self._folder = folder_of(settings)
        self._held: Path | None = None

    async def processes(self) -> dict[str, Told | None]:
        """What each process tells; None of one that lives and doesn't answer, or that its supervisor misses."""
        names = sorted(path.stem for path in self._folder.glob("*.sock"))[:MOST_PROCESSES]
        told: dict[str, Told | None] = {}
        for one in await asyncio.gather(*map(self._ask, names)):
            told |= one
        running = await asyncio.to_thread(read, self._home)
        missing = running.broken if running is not None else {}
        return told | {name: None for name in missing if told.get(name) is None}

    async def _ask(self, name: str) -> dict[str, Told | None]:
        """What a process tells, by its name; nothing of one that has ended and left its socket."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await asyncio.open_unix_connection(str(self._short() / f"{name}.sock"))
                try:
                    return {name: _believed(_decode(await _whole(reader)))}
                finally:
                    writer.close()
        except (ConnectionRefusedError, FileNotFoundError):
            return {}
        except (OSError, TimeoutError, *UNREADABLE):
            return {name: None}

    def _short(self) -> Path:
        """The folder by a name that any socket's path can hold."""
        if self._held is None:
            self._held = named(hold(self._folder))
        return self._held


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """All that comes until the other side ends. Raises ValueError when that is too much."""
    said = b""
    while chunk := await reader.read(MOST_BYTES):
        said += chunk
        if len(said) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES} bytes")
    return said


def _believed(told: Told) -> Told:
    """What of it is declared. Raises ValueError where a service is none of ours."""
    if told.service not in SERVICES:
        raise ValueError(f"{told.service!r} is no service")
    counters = tuple(c for c in told.counters if _is_declared(c) and c.value >= 0)
    timings = tuple(t for t in told.timings if t.name in TIMINGS and len(t.buckets) == len(BUCKETS_SECONDS) + 1)
    return msgspec.structs.replace(told, counters=counters[:MOST_SAMPLES], timings=timings)


def _is_declared(counted: Counted) -> bool:
    declared = COUNTERS.get(counted.name)
    fits = declared is not None and len(counted.labels) == len(declared.labels)
    return fits and all(len(label) <= LONGEST_LABEL and label.isprintable() for label in counted.labels)
