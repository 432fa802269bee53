"""One change to one file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A file's text with one change: what it was made by, where, and the lines that differ."""

    path: str
    operator: str
    line: int
    before: str
    after: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator}: {self.before.strip()}  ->  {self.after.strip()}"


def mutant(path: str, operator: str, original: str, changed: str) -> Mutant | None:
    """The change from one text to another, told by its first line; None when nothing changed."""
    old, new = original.splitlines(), changed.splitlines()
    for at in range(max(len(old), len(new))):
        before, after = (lines[at] if at < len(lines) else "" for lines in (old, new))
        if before != after:
            return Mutant(path, operator, at + 1, before, after, changed)
    return None
