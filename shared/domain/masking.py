"""Secrets, control characters and bidirectional overrides taken out of texts, before they leave a process. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit
from uuid import UUID

import msgspec

T = TypeVar("T")

MASK = "***"
SHORTEST_SECRET = 6
"""A known value shorter than this isn't masked: it would take ordinary words with it."""
SHORTEST_ANYWHERE = 8
"""A known value shorter than this is masked only where it stands as a word of its own."""
IDENTIFIERS = frozenset({"branch", "head", "base", "sha", "session", "etag"})
"""Fields that others go on with, not texts: a commit's id or a branch's name with a mask in it would be another one."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH(?!OR)", re.IGNORECASE)
_KEYS = (
    r"sk-ant-[A-Za-z0-9_-]{16,}",  # Anthropic
    r"sk-(?:proj-)?[A-Za-z0-9_-]{20,}",  # OpenAI
    r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"glpat-[A-Za-z0-9_-]{20,}",  # GitLab
    r"xox[abprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"AKIA[0-9A-Z]{16}",  # AWS
    r"AIza[0-9A-Za-z_-]{35}",  # Google
    r"mk[gtp]_[0-9a-f]{32}[0-9a-f_]*",  # makima
)
"""What nobody writes into a file but by mistake."""
_PATTERNS = (
    *_KEYS,
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+",  # a JSON web token
    r"(?<=://)[^\s/:@\"'<>(){}]*:[^\s/\"'<>(){}]+(?=@)",  # user and password of a URL
    r"(?<=://)[^\s/:@\"'<>(){}]{20,}(?=@)",  # a token in the place of the user
)
_HINT = re.compile(r"sk-|gh[pousr]_|github_pat_|glpat-|xox|AKIA|AIza|mk[gtp]_|eyJ|://")
"""Without one of these no pattern can match; cheaper than trying them all."""
_SECRET = re.compile("|".join(_PATTERNS))
_KEY = re.compile("|".join(_KEYS))
_BIDI = "\u202a-\u202e\u2066-\u2069"
"""What makes a text read in another order than it is stored in."""
_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links: up to their end
    r"|\x1b[ -/]*[0-~]"
    rf"|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f{_BIDI}]"  # what is left of control characters, but for tab and line end
)
_CONTROL = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}]")


class Mask:
    """Takes secrets out of texts: those of a known shape, and the values that are handed in.

    >>> Mask(["correct horse"])("it is correct horse, \\x1b[31mred\\x1b[0m")
    'it is ***, red'
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = sorted({form for value in values for form in _forms(value)}, key=len, reverse=True)
        self._known = re.compile("|".join(map(_pattern, known))) if known else None

    def __call__(self, text: str) -> str:
        """The text, clean."""
        if _CONTROL.search(text):
            text = _ESCAPE.sub("", text)
        if self._known is not None:
            text = self._known.sub(MASK, text)
        return _SECRET.sub(MASK, text) if _HINT.search(text) else text

    def finds(self, text: str) -> bool:
        """Whether a file's text holds a known value or a key of a known shape.

        Passwords in addresses and web tokens don't count: examples and tests are full of them.
        """
        return bool((self._known is not None and self._known.search(text)) or _KEY.search(text))

    def all(self, lines: list[str]) -> list[str]:
        """The lines, clean. Nearly always there is nothing in any of them, which one look at them all tells."""
        text = "\n".join(lines)
        if _CONTROL.search(text) or _HINT.search(text) or (self._known is not None and self._known.search(text)):
            return [self(line) for line in lines]
        return lines

    def struct(self, value: T) -> T:
        """A message with every text in it clean, however deep it lies; identifiers stay as they are."""
        return self._clean(value)  # type: ignore[return-value]

    def _clean(self, value: object) -> object:
        match value:
            case str():
                return self(value)
            case tuple() | list() if value and all(isinstance(part, str) for part in value):
                return type(value)(self.all(list(value)))
            case tuple() | list():
                return type(value)(self._clean(part) for part in value)
            case dict():
                return {key: self._clean(part) for key, part in value.items()}
            case msgspec.Struct():
                fields = ((name, getattr(value, name)) for name in value.__struct_fields__ if name not in IDENTIFIERS)
                held = {name: part for name, part in fields if not isinstance(part, int | float | UUID | None)}
                changed = {k: clean for k, part in held.items() if (clean := self._clean(part)) != part}
                return msgspec.structs.replace(value, **changed) if changed else value
            case _:
                return value


def secrets(environment: Mapping[str, str]) -> list[str]:
    """The values in an environment that must not be seen: by their names, and the passwords of addresses in it."""
    named = [value for name, value in environment.items() if _SECRET_NAME.search(name)]
    return [*named, *(secret for value in environment.values() for secret in of_url(value))]


def of_url(url: str | None) -> list[str]:
    """The password in an address, as it stands there and as it is meant."""
    try:
        password = urlsplit(url or "").password
    except ValueError:
        return []
    return [password, unquote(password)] if password else []


def _forms(value: str) -> set[str]:
    """A value as it may be printed: whole, line by line, in a JSON text, in an address."""
    forms = {value, *value.splitlines(), json.dumps(value)[1:-1], quote(value, safe="")}
    return {form for form in map(str.strip, forms) if len(form) >= SHORTEST_SECRET}


def _pattern(form: str) -> str:
    return re.escape(form) if len(form) >= SHORTEST_ANYWHERE else rf"(?<!\w){re.escape(form)}(?!\w)"
