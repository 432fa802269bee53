"""What people and agents typed, made fit to be shown inside other texts. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

_USER = re.compile(r"^([a-z+]+://)[^/@]*@")
_LINE_ENDS = re.compile(r"\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
"""All that some reader takes for the end of a line."""
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
"""Characters that make a text read in another order than it is stored in."""


def one_line(text: str) -> str:
    """Everything on one line, in the order in which it reads: breaks and control characters become single spaces."""
    return _BREAKS.sub(" ", _TURNS.sub("", text)).strip()


def quoted(text: str) -> str:
    """Every line marked as quoted, so that nothing in it is taken for a part of the text around it, or for a command.

    >>> quoted("one\\ntwo")
    '  > one\\n  > two'
    """
    return "\n".join(f"  > {line}".rstrip() for line in lines_of(text.strip("\r\n")))


def lines_of(text: str) -> list[str]:
    """A text's lines, whatever ends them."""
    return _LINE_ENDS.sub("\n", text).split("\n")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """What was meant by a word that isn't known, if any known one is near.

    >>> nearest("prot", ["port", "host"])
    'port'
    """
    import difflib  # only where something is misspelt

    return next(iter(difflib.get_close_matches(word, list(known), 1)), None)


def without_credentials(url: str) -> str:
    """A repository's address without the user and password that it may hold.

    >>> without_credentials("https://me:secret@example.org/a.git")
    'https://example.org/a.git'
    """
    return _USER.sub(r"\1", url)


def dollars(amount: float | Decimal) -> str:
    """US dollars: by the cent, and less than ten cents more closely, so that a little is not nothing.

    >>> [dollars(amount) for amount in (0, 0.005, 0.05, 0.000001, 1.256)]
    ['$0.00', '$0.005', '$0.05', '<$0.0001', '$1.26']
    """
    if 0 < amount < 0.0001:
        return "<$0.0001"
    whole, _, digits = f"{amount:.4f}".partition(".") if amount < 0.1 else f"{amount:.2f}".partition(".")
    return f"${whole}.{digits.rstrip('0'):<02}"


def cut(text: str, max_bytes: int) -> str:
    """At most so many bytes of UTF-8, with a mark where something was cut off."""
    data = text.encode(errors="replace")
    if len(data) <= max_bytes:
        return text
    return data[: max(max_bytes - 4, 0)].decode(errors="ignore") + " ..."
