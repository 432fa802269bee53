"""Words for people: durations, amounts, and texts of others made harmless for a terminal."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

WIDEST = 40
"""Letters of a column but the last: one long cell doesn't push all others away."""
LEAST, LEAST_LAST = 8, 12
"""Letters that a column, and the last one, keep where there is little room."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LASTING = re.compile(f"([0-9]{{1,6}})([{''.join(_UNITS)}])", re.ASCII)
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


def lasting(text: str) -> int:
    """Seconds, as a person writes them. Raises ArgumentTypeError.

    >>> [lasting(text) for text in ("90s", "30m", "1h", "2d")]
    [90, 1800, 3600, 172800]
    """
    if not (found := _LASTING.fullmatch(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 90s, 30m, 1h or 2d")
    return int(found[1]) * _UNITS[found[2]]


def until(at: datetime | None) -> str:
    """In how long that is; a dash for no time at all."""
    return "-" if at is None else f"in {duration((at - datetime.now(UTC)).total_seconds())}"


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


def columns(rows: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Rows as lines, each column as wide as its widest cell, but no wider than it is worth. What is past it sticks out;
    where a line may have only `width` letters, it is cut, the last column most.

    >>> columns([("a", "bb"), ("ccc", "d")])
    ['a    bb', 'ccc  d']
    >>> columns([("1", "A title that is long", "and why")], 20)
    ['1  A title…  and why']
    """
    *widths, _ = ([min(max(map(cells, column)), WIDEST) for column in zip(*rows, strict=True)]) if rows else [0]
    if width is not None:
        while widths and sum(widths) + 2 * len(widths) + LEAST_LAST > width and max(widths) > LEAST:
            widths[widths.index(max(widths))] -= 1
    lines = []
    for *row, last in rows:
        told = [padded(cut(c, w) if width else c, w) for c, w in zip(row, widths, strict=True)]
        line = "  ".join([*told, last]).rstrip()
        lines.append(cut(line, width) if width else line)
    return lines


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def padded(text: str, width: int) -> str:
    """A text with spaces behind it, up to a width."""
    return text + " " * (width - cells(text))


def cut(text: str, width: int) -> str:
    """A text within a width; a mark where something was cut off.

    >>> cut("a long one", 6), cut("short", 6)
    ('a lon…', 'short')
    """
    if cells(text) <= width:
        return text
    kept, left = "", width - 1
    for character in text:
        left -= cells(character)
        if left < 0:
            break
        kept += character
    return kept + "…"


def terminal_width() -> int | None:
    """How many letters a line has where a person reads it; None where a program does."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def wrapped(text: str, indent: str = "", hanging: str | None = None) -> list[str]:
    """A text in lines that fit a terminal, broken between words; one line where no person reads it.

    `hanging` stands before each line but the first, in the place of `indent`.
    """
    width = terminal_width()
    if width is None:
        return [indent + text]
    return textwrap.wrap(
        text, width, break_on_hyphens=False, initial_indent=indent, subsequent_indent=hanging or indent
    )


def short(thing: object) -> str:
    """The beginning of an id, which commands take for it."""
    return str(thing)[:13]


def commands(fix: str | None) -> list[str]:
    """The commands of a fix, each by itself.

    >>> commands("makima directive retry-step 1/2, or makima directive skip-step 1/2")
    ['makima directive retry-step 1/2', 'makima directive skip-step 1/2']
    """
    return fix.replace(", or makima ", "\0makima ").replace(" && makima ", "\0makima ").split("\0") if fix else []


def numbered(options: Sequence[str]) -> list[str]:
    """Answers to choose from, each with the number that stands for it.

    >>> numbered(["yes", "no"])
    ['1  yes', '2  no']
    """
    return [f"{number}  {clean(option)}" for number, option in enumerate(options, 1)]


def ago(at: datetime) -> str:
    """How long ago, short.

    >>> from datetime import timedelta
    >>> [ago(datetime.now(UTC) - timedelta(seconds=s)) for s in (5, 130, 7300, 400_000)]
    ['now', '2m ago', '2h ago', '4d ago']
    """
    seconds = int((datetime.now(UTC) - at).total_seconds())
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{seconds // 60}m ago"
    return f"{seconds // 3600}h ago" if seconds < 86_400 else f"{seconds // 86_400}d ago"


def aligned(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Pairs as lines, the second beginning at one column.

    >>> aligned([("a", "bb"), ("ccc", "d")])
    ['a    bb', 'ccc  d']
    """
    width = max((len(left) for left, _ in rows), default=0)
    return [f"{left.ljust(width)}  {right}" for left, right in rows]
