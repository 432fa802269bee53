"""A pull request's text: what is ours stands between two markers, what people wrote around them stays theirs. Pure."""

from __future__ import annotations

from shared.domain.inert import inert_body

BEGIN = "<!-- makima:begin -->"
END = "<!-- makima:end -->"
LONGEST_BODY = 60_000
"""Letters; GitHub allows 65,536, and people may add some."""
CUT = "\n\n*[cut here: the whole is longer than a pull request may be]*"


def marked(ours: str) -> str:
    """A new body."""
    return f"{BEGIN}\n{_harmless(ours).strip()}\n{END}\n"


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
    return kept + (f"\n{fence}" if fence else "") + CUT


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
    line = " ".join(text.split())
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


def _harmless(ours: str) -> str:
    """Our text without anything that reads as a marker, or closes an issue: GitLab looks into code blocks, too."""
    for marker in (BEGIN, END):
        ours = ours.replace(marker, marker.replace("<!", "<\u200b!"))
    return inert_body(ours)
