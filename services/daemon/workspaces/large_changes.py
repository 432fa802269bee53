"""What an agent left of files that git-lfs keeps, as pointers that the daemon itself makes: no filter runs."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from services.daemon.git.attributes import attributes
from services.daemon.git.command import git_fed, readable
from services.daemon.git.index_file import attributes_of
from services.daemon.git.kept import pointers_among
from services.daemon.git.pointers import LONGEST, Pointer, parse
from services.daemon.git.store import Store
from services.daemon.git.untrusted import opened
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed


async def matching(cache: Path, where: Mapping[str, str], paths: Collection[str]) -> frozenset[str]:
    """Those of the files of a folder that its attributes give to git-lfs. Raises GitError."""
    return frozenset(one.path for one in await attributes(cache, where, paths, "filter") if one.value == "lfs")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a folder as git would name it: its own content, and what git keeps of it where git-lfs has the rest."""

    raw: str
    kept: str
    pointer: Pointer | None
    """None: git keeps it as it is, since it is empty, or a pointer itself."""


def look(folder: Path, path: str, characters: int, max_bytes: int) -> Seen | None:
    """How a file looks; None where there is none. Blocking. Raises WorkspaceFailed for one that is too large."""
    try:
        with opened(folder, path) as file:
            size = os.fstat(file).st_size
            if size > max_bytes:
                raise WorkspaceFailed(too_large(path, size, max_bytes))
            raw, content, beginning = _blob(characters, size), hashlib.sha256(), b""
            while part := os.read(file, 1 << 20):
                beginning = beginning or part[:LONGEST]
                raw.update(part)
                content.update(part)
    except OSError:
        return None
    if not size or parse(beginning) is not None:
        return Seen(raw=raw.hexdigest(), kept=raw.hexdigest(), pointer=None)
    pointer = Pointer(content.hexdigest(), size)
    return Seen(raw=raw.hexdigest(), kept=named_blob(pointer.text, characters), pointer=pointer)


async def changed(cache: Path, folder: Path, files: Mapping[str, tuple[str, bool]], max_bytes: int) -> dict[str, str]:
    """Those of these files that git-lfs keeps which are no longer what they were, and what git would keep of them now.

    `files`: each with the blob that it was, and whether its mode differs. Raises WorkspaceFailed and GitError.
    """
    found, doubtful = dict[str, str](), dict[str, tuple[str, Pointer]]()
    for path, (before, other_mode) in files.items():
        seen = await asyncio.to_thread(look, folder, path, len(before), max_bytes)
        if seen is None:
            found[path] = ""
        elif other_mode:
            found[path] = seen.kept
        elif before not in (seen.raw, seen.kept):
            found[path] = seen.kept
            if seen.pointer is not None:
                doubtful[path] = (before, seen.pointer)
    known = await pointers_among(cache, {before for before, _ in doubtful.values()})
    for path, (before, pointer) in doubtful.items():
        if known.get(before) == pointer:  # written in another way than git-lfs does now
            del found[path]
    return found


async def recorded(workspace: Workspace, paths: Collection[str], max_bytes: int) -> dict[str, str]:
    """The mode and the blob of pointers to these files of a workspace, whose contents are in the store then.

    Those that are no files, are empty or pointers are left out. Raises OSError, WorkspaceFailed and GitError.
    """
    if not paths:
        return {}
    drafts, made = workspace.own / "pointers", list[tuple[str, str]]()
    await asyncio.to_thread(_emptied, drafts)
    for path in paths:
        mode, pointer = await asyncio.to_thread(_keep, workspace.home.store, workspace.folder, path, max_bytes)
        if pointer is not None:
            (drafts / str(len(made))).write_bytes(pointer.text)
            made.append((mode, path))
    if not made:
        return {}
    asked = "".join(f"{drafts / str(number)}\n" for number in range(len(made)))
    write = ("hash-object", "-w", "--no-filters", "--stdin-paths")
    blobs = (await git_fed(workspace.home.cache, asked.encode(), *write)).split()
    return {path: f"{mode} {blob}" for (mode, path), blob in zip(made, blobs, strict=True)}


def new_attributes(workspace: Workspace) -> list[str]:
    """The files of attributes that the agent's last commit has, and the start has not, or in another way. Blocking."""
    characters = len(workspace.start)
    before, now = attributes_of(workspace.index, characters), attributes_of(workspace.index_now, characters)
    return [path for path, blob in now.items() if before.get(path) != blob]


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _keep(store: Store, folder: Path, path: str, max_bytes: int) -> tuple[str, Pointer | None]:
    """The mode of a file, and the pointer to its content, which is stored. Blocking."""
    try:
        if not stat.S_ISREG((folder / path).lstat().st_mode):
            return "", None
        with opened(folder, path) as file:
            about = os.fstat(file)
            if about.st_size > max_bytes:
                raise WorkspaceFailed(too_large(path, about.st_size, max_bytes))
            if not about.st_size or (about.st_size < LONGEST and parse(os.pread(file, LONGEST, 0)) is not None):
                return "", None
            return "100755" if about.st_mode & stat.S_IXUSR else "100644", store.take(file)
    except (FileNotFoundError, NotADirectoryError):
        return "", None


def _blob(characters: int, size: int) -> hashlib._Hash:
    hashed = hashlib.sha1(usedforsecurity=False) if characters == 40 else hashlib.sha256()
    hashed.update(b"blob %d\0" % size)
    return hashed


def named_blob(text: bytes, characters: int) -> str:
    """The name that git gives a file of this text; `letters`: how long names are."""
    hashed = _blob(characters, len(text))
    hashed.update(text)
    return hashed.hexdigest()


def too_large(what: str, size: int, max_bytes: int) -> str:
    """Why something is refused, in words."""
    return (
        f"{readable(what)}: {size / 2**30:.1f} GiB for git-lfs, more than max_large_files_gib ({max_bytes / 2**30:g})"
    )
