"""An agent's output as lines: bounded in length and in sum, free of what a database can't store. Pure."""

from __future__ import annotations

from collections import deque

LONGEST_LINE = 16 << 10
MOST_BYTES = 20 << 20
TAIL_LINES = 40
OUTCOME_LETTERS = 2000
TAIL_LETTERS = 8000


class Output:
    """Takes bytes as they come, gives out complete lines. Its memory is bounded, whatever it is fed.

    >>> output = Output()
    >>> output.feed(b"one\\ntw")
    >>> output.take()
    ['one']
    >>> output.finish()
    >>> output.take()
    ['tw']
    """

    def __init__(self, longest_line: int = LONGEST_LINE, most_bytes: int = MOST_BYTES) -> None:
        self._longest = longest_line
        self._most = most_bytes
        self._rest = bytearray()
        self._over = 0
        self._taken = 0
        self._dropped = 0
        self._lines: list[str] = []
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.waiting_bytes = 0
        """Bytes of the lines that wait to be taken."""

    def feed(self, data: bytes) -> None:
        """Take in bytes; a line's end may be anywhere in them."""
        *whole, rest = self._skip(data).split(b"\n") if self._dropped else data.split(b"\n")
        for piece in whole:
            self._extend(piece)
            self._end_line()
        self._extend(rest)

    def finish(self) -> None:
        """The output has ended: what is left is a line, and what was cut in sum is said."""
        if self._rest or self._over:
            self._end_line()
        if self._dropped:
            self._lines.append(f"[output cut at {self._most} bytes: {self._dropped} more]")

    def take(self) -> list[str]:
        """The complete lines since the last time."""
        taken, self._lines, self.waiting_bytes = self._lines, [], 0
        return taken

    def outcome(self) -> str:
        """The last lines that say something, at most OUTCOME_LETTERS."""
        return "\n".join(line for line in self._tail if line.strip())[-OUTCOME_LETTERS:]

    def tail(self) -> str:
        """The last lines, at most TAIL_LETTERS."""
        return "\n".join(self._tail)[-TAIL_LETTERS:]

    def _skip(self, data: bytes) -> bytes:
        """Once cut, only count all but the last lines: an endless output costs next to nothing."""
        begin, *last = data.rsplit(b"\n", TAIL_LINES + 1)
        if len(last) <= TAIL_LINES:
            return data
        self._dropped += len(self._rest) + self._over + len(begin) + 1
        self._rest.clear()
        self._over = 0
        return b"\n".join(last)

    def _extend(self, piece: bytes) -> None:
        room = self._longest - len(self._rest)
        self._rest += piece[:room]
        self._over += max(len(piece) - room, 0)

    def _end_line(self) -> None:
        size = len(self._rest) + 1
        line = self._rest.decode(errors="replace").replace("\0", "")
        if self._over:
            line = f"{line} [{self._over} bytes cut]"
        self._tail.append(line)
        if self._dropped or self._taken + size > self._most:
            self._dropped += size + self._over
        else:
            self._taken += size
            self.waiting_bytes += size
            self._lines.append(line)
        self._rest.clear()
        self._over = 0
