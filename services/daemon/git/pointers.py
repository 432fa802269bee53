"""What git keeps in the place of a large file: a pointer to its content, as git-lfs writes it. Pure.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re

import msgspec

LONGEST = 1024
"""A pointer has fewer bytes."""
_VERSIONS = "|".join(
    map(
        re.escape,
        ("https://git-lfs.github.com/spec/v1", "https://hawser.github.com/spec/v1", "http://git-media.io/v/2"),
    )
)
_POINTER = re.compile(
    rf"version (?:{_VERSIONS})\n(?:ext-\d-[^\n]*\n)*"
    r"oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>0|[1-9]\d{0,18})\n?"
)


class Pointer(msgspec.Struct, frozen=True, order=True):
    """The content of a large file: its sha256, and its size in bytes."""

    oid: str
    size: int

    @property
    def text(self) -> bytes:
        """As git keeps it."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n".encode()


def parse(text: bytes) -> Pointer | None:
    """The pointer that a file of the repository is; None for any other file.

    >>> parse(Pointer("0" * 64, 5).text).size
    5
    >>> parse(b"version 1")
    """
    if len(text) >= LONGEST:
        return None
    found = _POINTER.fullmatch(text.decode(errors="replace"))
    return Pointer(found["oid"], int(found["size"])) if found is not None else None
