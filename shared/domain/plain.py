"""Texts of others without what would change how the rest of a screen reads: control and bidirectional characters."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x01-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def plain(text: str) -> str:
    r"""A text with its lines and tabs, and no other control or bidirectional character.

    A NUL is left, for who reads it refuses it by name.

    >>> plain("a\x1b[2Jb\u202ec\r\nd\te")
    'a[2Jbc\nd\te'
    """
    return _CONTROLS.sub("", text)
