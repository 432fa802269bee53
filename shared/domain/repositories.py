"""Addresses of repositories: whether one is a folder of the cluster's machine, and what that is called elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

_FILE = "file://"
_ELSEWHERE = re.compile(
    r"(https?|ssh|git)://[^/]|(?!(https?|ssh|git|file|makima):)\w[\w.@-]*:(?!:|//).", re.ASCII | re.I
)
OVER_LINK = "makima://"
"""How an address begins that is reached over a daemon's link alone: git knows no such one by itself."""


def folder_of(repository_url: str | None) -> Path | None:
    """The folder that a repository's address names, if it does.

    >>> folder_of("file:///a%20b"), folder_of("/a"), folder_of("git@example.org:a"), folder_of("https://example.org/a")
    (PosixPath('/a b'), PosixPath('/a'), None, None)
    """
    if repository_url is None:
        return None
    if repository_url.startswith(_FILE):
        return Path(unquote(urlsplit(repository_url).path))
    return Path(repository_url) if repository_url.startswith("/") else None


def is_elsewhere(repository_url: str) -> bool:
    """Whether an address names a repository that is reached over the network, and nothing of this machine's files.

    >>> [is_elsewhere(url) for url in ("https://a.org/b", "git@a.org:b", "ssh://a.org/b", "a.org:b")]
    [True, True, True, True]
    >>> [is_elsewhere(url) for url in ("/a", "a/b:c", "../a", "file:///a", "FILE:///a", "ext::sh -c id", "makima://a/b")]
    [False, False, False, False, False, False, False]
    """
    return _ELSEWHERE.match(repository_url) is not None


def over_link(folder: Path, cluster: str) -> str:
    """What a folder of a cluster's machine is called on another: the same path on another cluster's is another one.

    >>> over_link(Path("/a b"), "1a2b-3c4d")
    'makima://1a2b-3c4d/a%20b'
    """
    return f"{OVER_LINK}{cluster}{quote(str(folder), safe='/')}"


def is_over_link(repository_url: str) -> bool:
    """Whether an address is one of those."""
    return repository_url.startswith(OVER_LINK)
