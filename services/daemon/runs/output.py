"""An agent's output: bytes into lines, and a log of bounded size that keeps the first and the last half."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

LONGEST_LINE = 16 << 10
MAX_BYTES = 20 << 20
TAIL_LINES = 40
OUTCOME_CHARACTERS = 2000
TAIL_CHARACTERS = 8000


class Lines:
    """Bytes as they come into complete lines. A line's memory is bounded, whatever is fed.

    >>> lines = Lines()
    >>> lines.feed(b"one\\ntw")
    ['one']
    >>> lines.rest()
    ['tw']
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._rest = bytearray()
        self._over = 0

    def feed(self, data: bytes) -> list[str]:
        """Take in bytes; the lines that are complete with them."""
        *whole, rest = data.split(b"\n")
        lines = []
        for piece in whole:
            self._extend(piece)
            lines.append(self._end())
        self._extend(rest)
        return lines

    def rest(self) -> list[str]:
        """The output has ended: what is left is a line."""
        return [self._end()] if self._rest or self._over else []

    def give_up(self) -> bytes:
        """What is left, as it came: somebody else goes on with the bytes."""
        rest = bytes(self._rest)
        self._rest.clear()
        self._over = 0
        return rest

    def _extend(self, piece: bytes) -> None:
        budget = self._longest - len(self._rest)
        self._rest += piece[:budget]
        self._over += max(len(piece) - budget, 0)

    def _end(self) -> str:
        line = self._rest.decode(errors="replace")
        if self._over:
            line = f"{line} [{self._over} bytes cut]"
        self._rest.clear()
        self._over = 0
        return line


class Spool:
    """The last bytes of an endless stream, in two files by turns. A disk that refuses costs the bytes, no more."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._files = (folder / "output.1", folder / "output.2")
        self._most = max_bytes
        self._now = 0
        self._size = 0
        self.total = 0
        """Bytes that were written in all."""

    def write(self, data: bytes) -> None:
        """Keep bytes, forgetting the oldest where there is no room."""
        self.total += len(data)
        if self._size >= self._most:
            self._now, self._size = 1 - self._now, 0
        try:
            with self._files[self._now].open("ab" if self._size else "wb") as file:
                file.write(data)
            self._size += len(data)
        except OSError:
            self._size = 0  # what is there may be torn: begin anew

    def last(self) -> bytes:
        """What is kept, at most `most_bytes`."""
        kept = b""
        for file in (self._files[1 - self._now], self._files[self._now]):
            try:
                kept += file.read_bytes()
            except OSError:
                continue
        return kept[-self._most :]


class Log:
    """The lines of one attempt as they are kept: clean, and of bounded size.

    The first half of `most_bytes` is given out as it comes. After it all goes to a spool in `folder`, whose last half
    is given out at the end, with a mark that says how much is missing between the two.
    """

    def __init__(self, folder: Path, clean: Callable[[list[str]], list[str]], max_bytes: int = MAX_BYTES) -> None:
        self.clean = clean
        """What takes secrets out of lines."""
        self._half = max_bytes // 2
        self._spool = Spool(folder, self._half)
        self._taken = 0
        self._lines: list[str] = []
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.waiting_bytes = 0
        """Bytes of the lines that wait to be taken."""

    @property
    def full(self) -> bool:
        """The first half is there: only the end of what follows is kept, and may be handed in as bytes."""
        return self._taken >= self._half

    def add(self, lines: Iterable[str]) -> None:
        """Take in lines."""
        raw = list(lines)
        for line, clean in zip(raw, self.clean(raw), strict=True):
            if self.full:
                self.add_bytes(line.encode(errors="replace") + b"\n")
            else:
                self._keep(clean)
                if self.full:
                    self._lines.append(
                        f"[over {self._half} bytes: of the rest only the end is kept, and shown at the end]"
                    )

    def add_bytes(self, data: bytes) -> None:
        """Take in bytes once it is full, without looking at them."""
        self._spool.write(data)

    def finish(self) -> None:
        """What follows is another part: of what came over the first half, give out the last half."""
        if not self._spool.total:
            return
        last = self._spool.last()
        if missing := self._spool.total - len(last):
            self._lines.append(f"[{missing} bytes cut]")
        lines = Lines()
        for line in self.clean([*lines.feed(last), *lines.rest()]):
            self._keep(line)
        self._spool.total = 0

    def take(self) -> list[str]:
        """The lines since the last time."""
        taken, self._lines, self.waiting_bytes = self._lines, [], 0
        return taken

    def forget_tail(self) -> None:
        """The tail begins here."""
        self._tail.clear()

    def outcome(self) -> str:
        """The last lines that say something, at most OUTCOME_CHARACTERS."""
        return "\n".join(line for line in self._tail if line.strip())[-OUTCOME_CHARACTERS:]

    def tail(self) -> str:
        """The last lines, at most TAIL_CHARACTERS."""
        return "\n".join(self._tail)[-TAIL_CHARACTERS:]

    def _keep(self, line: str) -> None:
        size = len(line) + 1
        self._taken += size
        self.waiting_bytes += size
        self._lines.append(line)
        self._tail.append(line)
