"""Which files of a commit git-lfs keeps, by the attributes that the commit itself has, and their pointers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from services.daemon.git.command import GitError, git, git_bytes, names, on_files
from services.daemon.git.index_file import ATTRIBUTES
from services.daemon.git.pointers import LONGEST, Pointer, parse
from services.daemon.git.store import Store
from services.daemon.git.untrusted import opened

NAMED = b"filter=lfs"
"""What attributes say of a file that git-lfs keeps."""
_LFS = ":(attr:filter=lfs)"
_FILES = ("100644", "100755")
_PART = 1 << 20
_LARGEST_ATTRIBUTES = 100 * _PART
"""Git reads no larger file of attributes (its ATTR_MAX_FILE_SIZE)."""


async def names_it(cache: Path, commit: str, *paths: str) -> bool:
    """Whether attributes of a commit name large files."""
    asked = paths or (f":(glob)**/{ATTRIBUTES}",)
    try:
        await git(cache, "grep", "--quiet", "--fixed-strings", "-e", NAMED.decode(), commit, "--", *asked)
    except GitError as error:
        if error.code != 1:
            raise
        return False
    return True


async def attributes_changed(cache: Path, commit: str, paths: Iterable[str]) -> bool:
    """Whether attributes among these files of a commit name large files."""
    changed = [path for path in paths if is_attributes(path)]
    return bool(changed) and await names_it(cache, commit, *(f":(literal){path}" for path in changed))


def is_attributes(path: str) -> bool:
    """Whether a file says how others are kept."""
    return path.rpartition("/")[2] == ATTRIBUTES


def text_names_it(folder: Path, path: str) -> bool:
    """Whether a file of attributes names large files. Blocking."""
    try:
        with opened(folder, path) as file:
            before = b""
            for _ in range(_LARGEST_ATTRIBUTES // _PART):
                if NAMED in before + (part := os.read(file, _PART)):
                    return True
                before = part[-len(NAMED) :]
    except OSError:
        pass  # what can't be read names nothing to git either
    return False


async def entries_in(cache: Path, folder: Path, index: Path) -> dict[str, str]:
    """The files of an index that a folder's attributes give to git-lfs, each with its blob."""
    parts = await names(cache, "ls-files", "--stage", "-z", _LFS, **on_files(cache, folder, index))
    entries = ((meta.split(" "), path) for meta, _, path in (part.partition("\t") for part in parts))
    return {path: blob for (mode, blob, stage), path in entries if mode in _FILES and stage == "0"}


async def entries_of(cache: Path, commit: str) -> dict[str, str]:
    """The files of a commit that its attributes give to git-lfs, each with its blob."""
    with tempfile.TemporaryDirectory(dir=Store(cache).beside(), ignore_cleanup_errors=True) as folder:
        nothing, index = Path(folder) / "nothing", Path(folder) / "index"
        nothing.mkdir()
        await git(cache, "read-tree", commit, **on_files(cache, nothing, index))
        return await entries_in(cache, nothing, index)


async def pointers_among(cache: Path, ids: Collection[str]) -> dict[str, Pointer]:
    """Those of these objects that are pointers; no other is read."""
    if not ids:
        return {}
    asked = "".join(f"{name}\n" for name in ids).encode()
    said = (await git_bytes(cache, asked, "cat-file", "--batch-check")).decode().splitlines()
    about = (line.split(" ") for line in said)
    small = [one[0] for one in about if one[1] == "blob" and int(one[2]) < LONGEST]
    if not small:
        return {}
    data = await git_bytes(cache, "".join(f"{name}\n" for name in small).encode(), "cat-file", "--batch")
    found, at = {}, 0
    for name in small:
        end = data.index(b"\n", at)
        size = int(data[at:end].rpartition(b" ")[2])
        if (pointer := parse(data[end + 1 : end + 1 + size])) is not None:
            found[name] = pointer
        at = end + size + 2
    return found
