"""`just rules`: write into docs/rules.md which files cite each rule; all else in it is written by hand."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "rules.md"
SOURCES = ("shared", "services", "cli", "simulation")
KINDS = {"Python": (".py", ".j2"), "SQL": (".sql",)}
HEADING = re.compile(r"^## (\d+)\. ")
_CITED = re.compile(r"\brules? (\d+(?:(?:, | and | to )\d+)*)")


def numbers(cited: str) -> Iterator[int]:
    """Each number of a citation.

    >>> list(numbers("4, 5 and 10")), list(numbers("10 to 12"))
    ([4, 5, 10], [10, 11, 12])
    """
    for part in re.split(r", | and ", cited):
        first, _, last = part.partition(" to ")
        yield from range(int(first), int(last or first) + 1)


def citations() -> Mapping[int, list[str]]:
    """The files that cite each rule. Migrations are history: they may cite, and are not listed."""
    found: dict[int, set[str]] = defaultdict(set)
    for file in (file for folder in SOURCES for file in (ROOT / folder).rglob("*")):
        if file.suffix in (".py", ".j2", ".sql") and "migrations" not in file.parts:
            for cited in _CITED.findall(file.read_text(encoding="utf-8")):
                for number in numbers(cited):
                    found[number].add(str(file.relative_to(ROOT)))
    return {number: sorted(files) for number, files in sorted(found.items())}


def document(written: str) -> str:
    """The document with its lists of files as they are now."""
    cited, lines, number = citations(), [], 0
    for line in written.splitlines():
        if heading := HEADING.match(line):
            number = int(heading[1])
        if line.startswith("- Tests: "):
            for kind, endings in KINDS.items():
                if files := [f"`{file}`" for file in cited.get(number, ()) if file.endswith(endings)]:
                    lines.append(f"- {kind}: {', '.join(files)}")
        if not line.startswith(tuple(f"- {kind}: " for kind in KINDS)):
            lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write it."""
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
