"""What changed in a repository."""

from __future__ import annotations

import msgspec


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A difference as git writes it (git help diff-format); empty: nothing changed."""

    text: str
    is_whole: bool
    """False: it is longer, and cut off."""
