"""A pull request's text: what is ours stands between two markers, what people wrote around them stays theirs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from shared.domain.inert import NOTHING, inert_body

BEGIN = "<!-- makima:begin -->"
END = "<!-- makima:end -->"
CHECKED = "<!-- makima:checked -->"
"""Where the delivery says what was checked."""
FILES = "<!-- makima:files -->"
"""Where the delivery says which files are changed."""
MAX_AREAS = 12
MAX_NAMES = 6
"""Of an area's files."""
LONGEST_TEMPLATE = 4000
"""Letters; with a longer template of the repository's own there would be no room for ours."""
LONGEST_BODY = 60_000
"""Letters; GitHub allows 65,536, and people may add some."""
CUT = "\n\n*[cut here: the whole is longer than a pull request may be]*"


def marked(ours: str) -> str:
    """A new body."""
    for marker in (BEGIN, END):
        ours = ours.replace(marker, marker.replace("<!", f"<{NOTHING}!"))
    return f"{BEGIN}\n{ours.strip()}\n{END}\n"


def filled(ours: str, checked: str = "", files: str = "") -> str:
    """Our part with what the delivery knows."""
    parts = ((CHECKED, "Checks", checked), (FILES, "Files", files))
    for mark, heading, text in parts:
        ours = ours.replace(mark, f"### {heading}\n\n{text}\n" if text else "", 1)
    return ours


_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_HEADINGS = re.compile(r"^(?:#{1,6}[ \t].*|\*\*.*\*\*[ \t]*)$", re.MULTILINE)
_SAYS_WHAT = re.compile(r"descri|summary|overview|what|change|purpose|motivation|about|propos", re.IGNORECASE)


def placed(template: str, ours: str) -> str:
    """A new body by the repository's own template: its text as it is, and ours under the heading that asks for it, else
    before it all."""
    text = _FRONT_MATTER.sub("", template.replace("\r\n", "\n")).strip()
    for marker in (BEGIN, END):
        text = text.replace(marker, "")
    if not text or len(text) > LONGEST_TEMPLATE:
        return ours
    for heading in _HEADINGS.finditer(text):
        if _SAYS_WHAT.search(heading[0]):
            before, after = text[: heading.end()], text[heading.end() :].lstrip("\n")
            return f"{before}\n\n{ours.rstrip()}\n\n{after}".rstrip() + "\n"
    return f"{ours.rstrip()}\n\n{text}\n"


class Changed(msgspec.Struct, frozen=True):
    """A file of a delivery, with the lines that came and went; None where they can't be counted."""

    path: str
    added: int | None
    removed: int | None


def by_area(files: Sequence[Changed]) -> str:
    """Files as a list by their folder, those with the most changes first."""
    depth = 2 if len({f.path.partition("/")[0] for f in files}) == 1 else 1
    areas: dict[str, list[Changed]] = {}
    for file in files:
        folders = file.path.split("/")[:-1]
        areas.setdefault("/".join(folders[:depth]) + "/" if folders else "", []).append(file)
    largest = sorted(areas.items(), key=lambda area: (-sum(map(_size, area[1])), area[0]))
    lines = [_area(name, inside) for name, inside in largest[:MAX_AREAS]]
    if len(largest) > MAX_AREAS:
        lines.append(f"- and {sum(len(inside) for _, inside in largest[MAX_AREAS:])} files in other folders")
    return "\n".join(lines)


def _area(name: str, files: Sequence[Changed]) -> str:
    ordered = sorted(files, key=lambda f: (-_size(f), f.path))
    names = ", ".join(inline(f.path.removeprefix(name)) for f in ordered[:MAX_NAMES])
    more = f" and {len(files) - MAX_NAMES} more" if len(files) > MAX_NAMES else ""
    lines = f"+{sum(f.added or 0 for f in files)} \u2212{sum(f.removed or 0 for f in files)}"
    return f"- {inline(name) if name else 'at the root'} ({lines}): {names}{more}"


def _size(file: Changed) -> int:
    return (file.added or 0) + (file.removed or 0)


def refreshed(body: str, ours: str) -> str:
    """A body with our part renewed; where somebody removed the markers, our part is added at the end."""
    body = body.replace("\r\n", "\n")
    begin, end = body.find(BEGIN), body.rfind(END)
    if begin < 0 or end < begin:
        return f"{body.rstrip()}\n\n{marked(ours)}" if body.strip() else marked(ours)
    return body[:begin] + marked(ours).rstrip("\n") + body[end + len(END) :]


def cut(text: str, longest: int = LONGEST_BODY) -> str:
    """A text under the limit, with a note where it was cut; a fence that was open there is closed."""
    if len(text) <= longest:
        return text
    kept = text[: longest - len(CUT) - 64]
    kept = kept[: kept.rfind("\n")] if "\n" in kept else kept
    fence = ""
    for line in kept.splitlines():
        ticks = line[: len(line) - len(line.lstrip("`"))]
        if len(ticks) >= 3:
            fence = "" if fence and line.strip() == fence else fence or ticks
    kept += f"\n{fence}" if fence else ""
    return kept + "\n\n</details>" * (kept.count("<details>") - kept.count("</details>")) + CUT


def fenced(text: str) -> str:
    """A text exactly as it is, in a code block that nothing in it can end: no mark-up in it counts, no name is called.

    >>> print(fenced("a ``` b"))
    ````text
    a ``` b
    ````
    """
    longest = max((len(run) for run in _runs_of_ticks(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def inline(text: str) -> str:
    """A text on one line, as code, exactly."""
    line = inert_body(" ".join(text.split())).replace("<!--", f"<{NOTHING}!--")
    longest = max((len(run) for run in _runs_of_ticks(line)), default=0)
    tick = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{tick}{pad}{line}{pad}{tick}" if line else ""


def _runs_of_ticks(text: str) -> list[str]:
    runs, run = [], ""
    for character in text:
        if character == "`":
            run += character
        elif run:
            runs.append(run)
            run = ""
    return [*runs, run] if run else runs
