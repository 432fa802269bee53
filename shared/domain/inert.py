"""Names and words that the daemon passes on to a forge, made so that the forge does nothing about them. Pure.

A forge reads commit messages, titles and bodies for orders: `close #12` closes an issue once it is merged, `@name`
calls a person, `[skip ci]` keeps checks from running. What a step is called, or what an agent said, is no such order.
"""

from __future__ import annotations

import re

from shared.domain.texts import one_line

_WORDS = (
    r"clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?|complet(?:e[sd]?|ing)"
    r"|reopen(?:s|ed)?"
)
"""GitHub's and Gitea's words, those of GitLab's default pattern, and reopening ones."""
_REFERENCE = (
    r"(?:"
    r"https?://[^\s/]+/[^\s]*?/(?:issues|pull|pulls|merge_requests|work_items)/\d+"  # an address
    r"|[\w.-]*(?:/[\w.-]+)*[#!]\d+"  # #12, !12, owner/repository#12
    r"|(?:gh|(?-i:[A-Z][A-Z0-9_]+))-\d+"  # GH-12, and the keys of other trackers
    r")"
)
_BETWEEN = r"(?:\s*,\s*(?:and\s+|&\s*)?|\s+and\s+|\s*&\s*)"
_CLOSING = re.compile(
    rf"(?<![^\W_])(?P<words>(?:{_WORDS})(?:\s*:\s*|\s+)(?:issues?\s+)?)(?P<references>{_REFERENCE}(?:{_BETWEEN}{_REFERENCE})*)",
    re.IGNORECASE,
)
_ONE = re.compile(_REFERENCE, re.IGNORECASE)
_NUMBER = re.compile(r"(?<=[#!/-])(?=\d+$)")
_SKIPS = re.compile(
    r"(?<=\[)(?=skip[ _-]\w|no[ _-]ci\b|\w+[ _-]skip\])|(?<=\*\*\*)(?=no_ci)|(?<=\bskip)(?=-checks:)", re.I
)
"""Before what keeps checks from running: `[skip ci]`, `[ci skip]`, `[no ci]`, `***NO_CI***`, `skip-checks: true`."""
_MENTION = re.compile(r"(?<![\w.+-])@(?=[\w-])")
NOTHING = "\u200b"
"""A zero-width space: the text reads as before, and no pattern of a forge takes it for a name or a number."""


def inert_subject(text: str) -> str:
    """A title or a commit's subject, on one line: what a closing word refers to stands in backquotes, nobody is called.

    >>> inert_subject("Write notes; then close #1164")
    'Write notes; then close `#1164`'
    """
    line = _CLOSING.sub(lambda found: found["words"] + _ONE.sub(_quoted, found["references"]), one_line(text))
    return _SKIPS.sub(NOTHING, inert_mentions(line))


def inert_mentions(text: str) -> str:
    """A text that calls nobody."""
    return _MENTION.sub(f"@{NOTHING}", text)


def inert_body(text: str) -> str:
    """A body of any length, whose code blocks count for a forge too, so that nothing visible may be added to it."""
    broken = _CLOSING.sub(lambda found: found["words"] + _ONE.sub(_broken, found["references"]), text)
    return _SKIPS.sub(NOTHING, broken)


def _quoted(reference: re.Match[str]) -> str:
    return f"`{reference[0]}`"


def _broken(reference: re.Match[str]) -> str:
    return _NUMBER.sub(NOTHING, reference[0])
