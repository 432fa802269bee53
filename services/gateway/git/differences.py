"""What a step's commits, or a delivery, changed, in a repository on this machine: in git's words, read-only."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus

from litestar.exceptions import HTTPException, NotFoundException

from services.gateway.git import process
from services.gateway.git.process import GitFailed
from services.gateway.http.problems import NotAsThingsStand
from shared.api.differences import Difference
from shared.domain.repositories import folder_of

MAX_BYTES = 4 << 20
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""Of every repository of SHA-1, whether anything is in it or not."""
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--find-renames", "--full-index", "--submodule=short")


async def difference(repository_url: str | None, *revisions: str) -> Difference:
    """What changed between two commits, or along `a...b`. Raises HTTPException where the repository is elsewhere."""
    folder = folder_of(repository_url)
    if folder is None:
        raise NotAsThingsStand("the repository isn't on the cluster's machine; its forge shows what changed")
    if not await asyncio.to_thread(folder.is_dir):
        raise NotFoundException("the repository isn't on the cluster's machine any more")
    asked = ("-C", str(folder), "diff", *_PLAIN, "--end-of-options", *revisions, "--")
    try:
        said, is_whole = await process.read(asked, MAX_BYTES)
    except GitFailed:
        raise NotFoundException("the commits aren't in the repository any more") from None
    except TimeoutError:
        raise HTTPException("git took too long to compare", status_code=HTTPStatus.SERVICE_UNAVAILABLE) from None
    return Difference(text=said.decode(errors="replace"), is_whole=is_whole)


async def since_first(repository_url: str | None, first: str, head: str) -> Difference:
    """What changed from before a commit to another. The first commit of all is compared with nothing.

    Both are as a daemon told them: what is no whole name of a commit is none.
    """
    if not (_COMMIT.fullmatch(first) and _COMMIT.fullmatch(head)):
        raise NotFoundException("the commits aren't in the repository any more")
    folder = folder_of(repository_url)
    parent = await process.ask("-C", str(folder), "rev-parse", "--verify", "--quiet", f"{first}^") if folder else ""
    return await difference(repository_url, parent.strip() or _EMPTY_TREE, head)
