"""The streams of all daemons on other machines: by daemon and number, so many and no more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from services.gateway.http.connections import MAX_BY_LINK
from services.gateway.link.stream import Stream
from shared.bus.skipped import Skipped
from shared.messages.link import MAX_STREAMS, MAX_WIDE, Close, Downward, Open, Piece, Reset, Taken


class Streams:
    """Opens and ends streams, and hands each what is its. `path` is the gateway's socket."""

    def __init__(self, path: Path, say: Callable[[str, Downward], None]) -> None:
        self._path = path
        self._say = say
        self._of: dict[str, dict[int, Stream]] = {}
        self._refused = Skipped()

    @property
    def count(self) -> int:
        """How many are open."""
        return sum(len(streams) for streams in self._of.values())

    def take(self, daemon: str, message: Open | Piece | Taken | Close | Reset) -> None:
        """A message of a daemon's, or about one that is gone."""
        if isinstance(message, Reset):
            self._reset(daemon)
        elif isinstance(message, Open):
            self._open(daemon, message)
        elif (stream := self._of.get(daemon, {}).get(message.stream)) is not None:
            stream.take(message)
        elif isinstance(message, Piece):  # what else comes late is of no use to anybody
            self._say(daemon, Close(stream=message.stream))

    def close_silent(self) -> None:
        """End the streams whose daemons are gone without a word."""
        for streams in tuple(self._of.values()):
            for stream in tuple(streams.values()):
                stream.close_if_silent()

    def _open(self, daemon: str, opened: Open) -> None:
        """One of the same number is of a process that is no more: it is over."""
        number = opened.stream
        if before := self._of.get(daemon, {}).get(number):
            before.end()
        others = self._of.get(daemon, {}).values()
        too_wide = opened.wide and sum(one.wide for one in others) >= MAX_WIDE
        if too_wide or len(others) >= MAX_STREAMS or self.count >= MAX_BY_LINK:
            self._refused(f"{daemon} opens a stream, and {self.count} are open")
            self._say(daemon, Close(stream=number))
            return
        stream = Stream(number, partial(self._say, daemon), partial(self._forget, daemon), wide=opened.wide)
        self._of.setdefault(daemon, {})[number] = stream
        stream.open(self._path)

    def _reset(self, daemon: str) -> None:
        for stream in tuple(self._of.get(daemon, {}).values()):
            stream.end()

    def _forget(self, daemon: str, stream: Stream) -> None:
        streams = self._of[daemon]
        del streams[stream.number]
        if not streams:
            del self._of[daemon]
