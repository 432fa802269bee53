"""Words for people: durations, amounts, and texts of others made harmless for a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UNPRINTABLE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.?"
    r"|[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
)


def clean(text: object) -> str:
    """A text that people or agents wrote, as one line without control and bidirectional characters.

    >>> clean("a\\x1b[31mred\\x1b[0m\\nline")
    'ared line'
    """
    return _UNPRINTABLE.sub("", " ".join(str(text).splitlines())).replace("\t", "    ")


def duration(seconds: float) -> str:
    """How long, in at most seven letters.

    >>> [duration(s) for s in (0.42, 12.34, 75, 4000, 200_000)]
    ['0.4 s', '12.3 s', '1m 15s', '1h 06m', '2d 07h']
    """
    if seconds < 60:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h {whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


def amount(number: int) -> str:
    """A large number, short.

    >>> [amount(n) for n in (7, 1234, 2_500_000)]
    ['7', '1.2k', '2.5M']
    """
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def size(number: float) -> str:
    """Bytes, short.

    >>> [size(n) for n in (512, 2048, 5_000_000, 3 << 30)]
    ['512 B', '2.0 KiB', '4.8 MiB', '3.0 GiB']
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as its widest cell.

    >>> columns([("a", "bb"), ("ccc", "d")])
    ['a    bb', 'ccc  d']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Pairs as lines, the second beginning at one column.

    >>> aligned([("a", "bb"), ("ccc", "d")])
    ['a    bb', 'ccc  d']
    """
    width = max((len(left) for left, _ in rows), default=0)
    return [f"{left.ljust(width)}  {right}" for left, right in rows]
