"""Secrets and terminal escapes taken out of a line, before it leaves the daemon. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"
SHORTEST_SECRET = 8
"""A known value shorter than this isn't masked: it would take ordinary words with it."""

_PATTERNS = (
    r"sk-ant-[A-Za-z0-9_-]{16,}",  # Anthropic
    r"sk-(?:proj-)?[A-Za-z0-9_-]{20,}",  # OpenAI
    r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"glpat-[A-Za-z0-9_-]{20,}",  # GitLab
    r"xox[abprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"AKIA[0-9A-Z]{16}",  # AWS
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"mk[tp]_[0-9a-f]{32}[0-9a-f_]*",  # makima
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",  # a JSON web token
    r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",  # user and password of a URL
)
_HINT = re.compile(r"sk-|gh[pousr]_|github_pat_|glpat-|xox|AKIA|AIza|mk[tp]_|eyJ|://")
"""Without one of these no pattern can match; cheaper than trying them all."""
_SECRET = re.compile("|".join(_PATTERNS))
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links: up to their end
    r"|\x1b[ -/]*[0-~]"
    r"|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]"  # what is left of control characters, but for tab
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Mask:
    """Takes secrets out of lines: those of a known shape, and the values that are handed in.

    >>> Mask(["correct horse"])("it is correct horse, \\x1b[31mred\\x1b[0m")
    'it is ***, red'
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = sorted({v for v in values if len(v) >= SHORTEST_SECRET}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, line: str) -> str:
        """The line, clean."""
        if _CONTROL.search(line):
            line = _ESCAPE.sub("", line)
        if self._known is not None:
            line = self._known.sub(MASK, line)
        return _SECRET.sub(MASK, line) if _HINT.search(line) else line

    def all(self, lines: list[str]) -> list[str]:
        """The lines, clean. Nearly always there is nothing in any of them, which one look at them all tells."""
        text = "\n".join(lines)
        if _CONTROL.search(text) or _HINT.search(text) or (self._known is not None and self._known.search(text)):
            return [self(line) for line in lines]
        return lines
