"""Mutants of a file of statements: operators swapped, conditions dropped. Comments and literals are left alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

SWAPS = {
    "<=": "<",
    ">=": ">",
    "<": "<=",
    ">": ">=",
    "=": "<>",
    "<>": "=",
    "AND": "OR",
    "OR": "AND",
    "IS NULL": "IS NOT NULL",
    "IS NOT NULL": "IS NULL",
    "NOT EXISTS": "EXISTS",
    "EXISTS": "NOT EXISTS",
    "least": "greatest",
    "greatest": "least",
    "min": "max",
    "max": "min",
    "DESC": "ASC",
    "true": "false",
    "false": "true",
}
_TOKENS = re.compile(
    r"(?P<skipped>--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|::|:=|->>?|=>|%\(\w+\)s)"
    r"|(?P<operator><=|>=|<>|<|>|=|\bIS NOT NULL\b|\bIS NULL\b|\bNOT EXISTS\b|\b[A-Za-z_]+\b)"
)


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """Each mutant's operator and text.

    >>> [changed for _, changed in mutants("SELECT 1 WHERE a < 'b < c' -- d < e")]
    ["SELECT 1 WHERE a <= 'b < c' -- d < e"]
    """
    for found in _TOKENS.finditer(text):
        word = found["operator"]
        if word in SWAPS and not (word == "=" and _assigns(text, found.start())):
            yield f"{word} to {SWAPS[word]}", text[: found.start()] + SWAPS[word] + text[found.end() :]
    yield from _without_conditions(text)


def _assigns(text: str, at: int) -> bool:
    """Whether an equals sign sets a column: on a line of SET, or of what follows it."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return bool(re.search(r"\bSET\b", line)) or re.fullmatch(r"\s+\w+ ", line) is not None


def _without_conditions(text: str) -> Iterator[tuple[str, str]]:
    """Without a line that is one more condition."""
    lines = text.splitlines(keepends=True)
    for at, line in enumerate(lines):
        bare = line.strip()
        if bare.startswith("AND ") and bare.count("(") == bare.count(")"):
            end = ";\n" if bare.endswith(";") else "\n"
            yield "condition dropped", "".join((*lines[:at], end, *lines[at + 1 :]))
