"""What people and agents typed, made fit to be shown inside other texts. Pure."""

from __future__ import annotations

import re

_USER = re.compile(r"^([a-z+]+://)[^/@]*@")
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f]+")


def one_line(text: str) -> str:
    """Everything on one line: breaks and control characters become single spaces."""
    return _BREAKS.sub(" ", text).strip()


def quoted(text: str) -> str:
    """Every line indented by four spaces, so that nothing in it is taken for a part of the text around it."""
    return "\n".join(f"    {line}" for line in text.replace("\r", "\n").strip("\n").split("\n"))


def without_credentials(url: str) -> str:
    """A repository's address without the user and password that it may hold.

    >>> without_credentials("https://me:secret@example.org/a.git")
    'https://example.org/a.git'
    """
    return _USER.sub(r"\1", url)


def cut(text: str, most_bytes: int) -> str:
    """At most so many bytes of UTF-8, with a mark where something was cut off."""
    data = text.encode(errors="replace")
    if len(data) <= most_bytes:
        return text
    return data[: max(most_bytes - 4, 0)].decode(errors="ignore") + " ..."
