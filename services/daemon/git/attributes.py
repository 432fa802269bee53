"""What a repository's attributes say of files (gitattributes), asked of git."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from services.daemon.git.command import git_bytes, listed

UNSAID = frozenset({"unspecified", "unset"})


class Attribute(NamedTuple):
    """What one attribute is of one file: `set`, `unset`, `unspecified`, or its value."""

    path: str
    name: str
    value: str


async def attributes(
    repository: Path, where: Mapping[str, str], paths: Collection[str], *names: str, cached: bool = False
) -> Iterator[Attribute]:
    """These attributes of these files; `cached`: as the index has them, not the folder. Raises GitError."""
    source = ("--cached",) if cached else ()
    asked = ("check-attr", *source, "--stdin", "-z", *names)
    out = await git_bytes(repository, listed(list(paths)), *asked, variables=where)
    parts = out.decode(errors="surrogateescape").split("\0")
    return (Attribute(*told) for told in zip(parts[::3], parts[1::3], parts[2::3], strict=False))
