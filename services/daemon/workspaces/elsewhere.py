"""Repositories that are folders of another machine: a daemon there can't reach them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from services.daemon.workspaces.workspace import WorkspaceFailed


class RepositoryElsewhere(WorkspaceFailed):
    """A repository that isn't on this machine, where a person has to give its address."""


def refuse_elsewhere(url: str | None, daemon: str) -> None:
    """Raises RepositoryElsewhere for a path of the cluster's machine that leads to nothing here."""
    if url is not None and (path := _path(url)) is not None and not path.exists():
        raise RepositoryElsewhere(
            f"the repository {path} isn't on this machine (daemon {daemon}): give its address instead"
        )


def _path(url: str) -> Path | None:
    """The path that a repository's address is, if it is one.

    >>> _path("file:///a%20b"), _path("/a"), _path("git@example.org:a"), _path("https://example.org/a")
    (PosixPath('/a b'), PosixPath('/a'), None, None)
    """
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return Path(url) if url.startswith("/") else None
