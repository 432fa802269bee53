"""Files that git-lfs keeps: a workspace begins with their contents, and what an agent made of them is taken by content.

No filter runs in the daemon: it lays contents out itself, and writes pointers itself. The agent's own git has git-lfs'
filter, inside of the sandbox, and what it made is believed where its sha256 is the one that its pointer names.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from services.daemon.git.command import (
    GitError,
    git,
    git_bytes,
    git_fed,
    is_transient,
    listed,
    names,
    on_files,
    readable,
)
from services.daemon.git.index_file import ATTRIBUTES, attributes_of, settle
from services.daemon.git.lfs import FILE, Home, NotTrusted, fetch, is_installed, lacking, places_of, upload, words
from services.daemon.git.pointers import LONGEST, Pointer, parse
from services.daemon.git.store import Store
from services.daemon.git.untrusted import AgentRepository, opened
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed

NAMED = b"filter=lfs"
"""What attributes say of a file that git-lfs keeps."""
MISSING = (
    f"the repository keeps large files with git-lfs ({ATTRIBUTES} names filter=lfs), and this daemon's machine has no "
    "git-lfs: install it (https://git-lfs.com), see `makima doctor`"
)
MOST_NAMED = 20
_LFS = ":(attr:filter=lfs)"
_FILES = ("100644", "100755")
_LARGEST_ATTRIBUTES = 1 << 20


async def fill(workspace: Workspace, commits: Iterable[str] = ()) -> Workspace:
    """The workspace with the contents of its large files; those of `commits` are at hand for its git.

    For one that no agent has been in. Raises WorkspaceFailed, GitError and OSError.
    """
    folder, cache, home = workspace.folder, workspace.cache, workspace.home
    assert cache is not None
    letters, theirs = len(workspace.start), workspace.git_folder / "index"  # which holds what was merged, too
    if not await asyncio.to_thread(_name_it, folder, theirs, letters):
        return workspace
    if not is_installed():
        raise WorkspaceFailed(MISSING, permanent=True)
    entries = await _entries(cache, folder, theirs)
    pointers = await asyncio.to_thread(_pointers_in, folder, entries)
    beside = [await pointers_of(home, commit) for commit in commits]
    await _have(home, {path: pointer for some in (*beside, pointers) for path, pointer in some.items()})
    for path, pointer in pointers.items():
        await asyncio.to_thread(home.store.lay_out, pointer, folder / path)
    for index in (workspace.index, theirs):
        await asyncio.to_thread(settle, index, folder, entries, letters)
    return replace(workspace, large=frozenset(entries.values()))


async def taken(workspace: Workspace, repository: AgentRepository, head: str, most_bytes: int) -> tuple[Pointer, ...]:
    """The large files that a commit needs beyond those of the workspace's start, or that the commits between hold, once
    all of them are in the store. Raises WorkspaceFailed that names a file whose content is nowhere."""
    cache, home = workspace.cache, workspace.home
    assert cache is not None
    if head == workspace.start or not (workspace.large or await _names_it_now(workspace, head)):
        return ()
    if not is_installed():
        raise WorkspaceFailed(MISSING, permanent=True)
    needed = {path: blob for path, blob in (await _entries_of(cache, head)).items() if blob not in workspace.large}
    made = (await git(cache, "rev-list", "--objects", head, f"^{workspace.start}")).splitlines()
    found = await _parsed(cache, {*needed.values(), *(line.partition(" ")[0] for line in made)})
    wanted = {path: found[blob] for path, blob in needed.items() if blob in found}
    if wanted:
        await _refuse_elsewhere(home, head)
    _refuse_too_large({pointer for pointer in found.values() if not home.store.has(pointer)}, most_bytes)
    why = await asyncio.to_thread(_take_all, home, repository, set(found.values()))
    await _have(home, wanted, why)
    return tuple(sorted(pointer for pointer in set(found.values()) if home.store.has(pointer)))


async def on_remote(home: Home, pointers: Collection[Pointer]) -> None:
    """Have large objects on the remote, before what refers to them is. Raises WorkspaceFailed."""
    if not pointers:
        return
    try:
        await upload(home, pointers)
    except GitError as error:
        reason = f"large files can't be uploaded to the remote: {words(error)}"
        raise WorkspaceFailed(reason, permanent=not is_transient(error)) from None
    except NotTrusted as error:
        raise WorkspaceFailed(str(error), permanent=True) from None


async def not_on_remote(home: Home, before: str, after: str) -> list[str]:
    """The large files of a commit, beyond those of another, that the remote does not have, in words.

    What the store has of them is uploaded first. Raises WorkspaceFailed.
    """
    if not is_installed():
        raise WorkspaceFailed(MISSING, permanent=True)
    known = set((await _entries_of(home.cache, before)).values()) if before else set[str]()
    entries = {p: blob for p, blob in (await _entries_of(home.cache, after)).items() if blob not in known}
    found = await _parsed(home.cache, set(entries.values()))
    wanted = {path: found[blob] for path, blob in entries.items() if blob in found}
    if not wanted:
        return []
    await _refuse_elsewhere(home, after)
    await on_remote(home, {pointer for pointer in wanted.values() if home.store.has(pointer)})
    try:
        gone, said = await lacking(home, set(wanted.values()))
    except GitError as error:
        raise WorkspaceFailed(f"whether large files are on the remote can't be seen: {words(error)}") from None
    return [_lacks(path, pointer, said) for path, pointer in wanted.items() if pointer in gone]


async def attributes_changed(cache: Path, commit: str, paths: Iterable[str]) -> bool:
    """Whether attributes among these files of a commit name large files."""
    changed = [path for path in paths if is_attributes(path)]
    return bool(changed) and await names_it(cache, commit, *(f":(literal){path}" for path in changed))


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


async def pointers_of(home: Home, commit: str) -> dict[str, Pointer]:
    """The large files of a commit. Raises GitError."""
    entries = await _entries_of(home.cache, commit)
    found = await _parsed(home.cache, set(entries.values()))
    return {path: found[blob] for path, blob in entries.items() if blob in found}


async def matching(cache: Path, where: Mapping[str, str], paths: Collection[str]) -> frozenset[str]:
    """Those of the files of a folder that its attributes give to git-lfs. Raises GitError."""
    out = await git_bytes(cache, listed(list(paths)), "check-attr", "--stdin", "-z", "filter", variables=where)
    parts = out.decode(errors="surrogateescape").split("\0")
    return frozenset(path for path, value in zip(parts[::3], parts[2::3], strict=False) if value == "lfs")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a folder as git would name it: its own content, and what git keeps of it where git-lfs has the rest."""

    raw: str
    kept: str
    pointer: Pointer | None
    """None: git keeps it as it is, since it is empty, or a pointer itself."""


def look(folder: Path, path: str, letters: int, most_bytes: int) -> Seen | None:
    """How a file looks; None where there is none. Blocking. Raises WorkspaceFailed for one that is too large."""
    try:
        with opened(folder, path) as file:
            size = os.fstat(file).st_size
            if size > most_bytes:
                raise WorkspaceFailed(_too_large(path, size, most_bytes))
            raw, content, beginning = _blob(letters, size), hashlib.sha256(), b""
            while part := os.read(file, 1 << 20):
                beginning = beginning or part[:LONGEST]
                raw.update(part)
                content.update(part)
    except OSError:
        return None
    if not size or parse(beginning) is not None:
        return Seen(raw=raw.hexdigest(), kept=raw.hexdigest(), pointer=None)
    pointer = Pointer(content.hexdigest(), size)
    return Seen(raw=raw.hexdigest(), kept=_named(pointer.text, letters), pointer=pointer)


async def changed(cache: Path, folder: Path, files: Mapping[str, tuple[str, bool]], most_bytes: int) -> dict[str, str]:
    """Those of these files that git-lfs keeps which are no longer what they were, and what git would keep of them now.

    `files`: each with the blob that it was, and whether its mode differs. Raises WorkspaceFailed and GitError.
    """
    found, doubtful = dict[str, str](), dict[str, tuple[str, Pointer]]()
    for path, (before, other_mode) in files.items():
        seen = await asyncio.to_thread(look, folder, path, len(before), most_bytes)
        if seen is None:
            found[path] = ""
        elif other_mode:
            found[path] = seen.kept
        elif before not in (seen.raw, seen.kept):
            found[path] = seen.kept
            if seen.pointer is not None:
                doubtful[path] = (before, seen.pointer)
    known = await _parsed(cache, {before for before, _ in doubtful.values()})
    for path, (before, pointer) in doubtful.items():
        if known.get(before) == pointer:  # written in another way than git-lfs does now
            del found[path]
    return found


async def recorded(workspace: Workspace, paths: Collection[str], most_bytes: int) -> dict[str, str]:
    """The mode and the blob of pointers to these files of a workspace, whose contents are in the store then.

    Those that are no files, are empty or pointers are left out. Raises OSError, WorkspaceFailed and GitError.
    """
    if not paths:
        return {}
    drafts, made = workspace.own / "pointers", list[tuple[str, str]]()
    await asyncio.to_thread(_emptied, drafts)
    for path in paths:
        mode, pointer = await asyncio.to_thread(_keep, workspace.home.store, workspace.folder, path, most_bytes)
        if pointer is not None:
            (drafts / str(len(made))).write_bytes(pointer.text)
            made.append((mode, path))
    if not made:
        return {}
    asked = "".join(f"{drafts / str(number)}\n" for number in range(len(made)))
    write = ("hash-object", "-w", "--no-filters", "--stdin-paths")
    blobs = (await git_fed(workspace.home.cache, asked.encode(), *write)).split()
    return {path: f"{mode} {blob}" for (mode, path), blob in zip(made, blobs, strict=True)}


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _keep(store: Store, folder: Path, path: str, most_bytes: int) -> tuple[str, Pointer | None]:
    """The mode of a file, and the pointer to its content, which is stored. Blocking."""
    try:
        if not stat.S_ISREG((folder / path).lstat().st_mode):
            return "", None
        with opened(folder, path) as file:
            about = os.fstat(file)
            if about.st_size > most_bytes:
                raise WorkspaceFailed(_too_large(path, about.st_size, most_bytes))
            if not about.st_size or (about.st_size < LONGEST and parse(os.pread(file, LONGEST, 0)) is not None):
                return "", None
            return "100755" if about.st_mode & stat.S_IXUSR else "100644", store.take(file)
    except (FileNotFoundError, NotADirectoryError):
        return "", None


def _name_it(folder: Path, index: Path, letters: int) -> bool:
    """Whether attributes among a folder's files name large files. Blocking."""
    return any(text_names_it(folder, path) for path in attributes_of(index, letters))


def text_names_it(folder: Path, path: str) -> bool:
    """Whether a file of attributes names large files. Blocking."""
    try:
        with opened(folder, path) as file:
            return NAMED in os.read(file, _LARGEST_ATTRIBUTES)
    except OSError:
        return False


def is_attributes(path: str) -> bool:
    """Whether a file says how others are kept."""
    return path.rpartition("/")[2] == ATTRIBUTES


def new_attributes(workspace: Workspace) -> list[str]:
    """The files of attributes that the agent's last commit has, and the start has not, or in another way. Blocking."""
    letters = len(workspace.start)
    before, now = attributes_of(workspace.index, letters), attributes_of(workspace.index_now, letters)
    return [path for path, blob in now.items() if before.get(path) != blob]


async def _names_it_now(workspace: Workspace, head: str) -> bool:
    """Whether a commit names large files in a workspace that did not begin with any."""
    assert workspace.cache is not None
    return await attributes_changed(workspace.cache, head, await asyncio.to_thread(new_attributes, workspace))


async def _entries(cache: Path, folder: Path, index: Path) -> dict[str, str]:
    """The files of an index that a folder's attributes give to git-lfs, each with its blob."""
    parts = await names(cache, "ls-files", "--stage", "-z", _LFS, **on_files(cache, folder, index))
    entries = ((meta.split(" "), path) for meta, _, path in (part.partition("\t") for part in parts))
    return {path: blob for (mode, blob, stage), path in entries if mode in _FILES and stage == "0"}


async def _entries_of(cache: Path, commit: str) -> dict[str, str]:
    """The files of a commit that its attributes give to git-lfs, each with its blob."""
    with tempfile.TemporaryDirectory(dir=Store(cache).beside(), ignore_cleanup_errors=True) as folder:
        nothing, index = Path(folder) / "nothing", Path(folder) / "index"
        nothing.mkdir()
        await git(cache, "read-tree", f"--index-output={index}", commit, **on_files(cache, nothing, index))
        return await _entries(cache, nothing, index)


async def _parsed(cache: Path, ids: Collection[str]) -> dict[str, Pointer]:
    """Those of these objects that are pointers; no other is read."""
    if not ids:
        return {}
    asked = "".join(f"{name}\n" for name in ids).encode()
    about = (await git_bytes(cache, asked, "cat-file", "--batch-check")).decode().splitlines()
    small = [name for name, kind, size in (line.split(" ") for line in about) if kind == "blob" and int(size) < LONGEST]
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


def _pointers_in(folder: Path, entries: Mapping[str, str]) -> dict[str, Pointer]:
    """Those of these files of a folder that are the pointers which the index has, and not yet contents. Blocking."""
    found = {}
    for path, blob in entries.items():
        with suppress(OSError), opened(folder, path) as file:
            text = os.read(file, LONGEST)
            if (pointer := parse(text)) is not None and _named(text, len(blob)) == blob:
                found[path] = pointer
    return found


async def _have(home: Home, wanted: Mapping[str, Pointer], why: Mapping[Pointer, str] | None = None) -> None:
    """Have large files in the store, fetched where they aren't. Raises WorkspaceFailed that names those that are
    nowhere; `why`: what is known of them."""
    lacks = {pointer for pointer in wanted.values() if not home.store.has(pointer)}
    if not lacks:
        return
    try:
        said = await fetch(home, lacks)
    except GitError as error:
        raise WorkspaceFailed(f"large files can't be fetched from the remote: {words(error)}") from None
    except NotTrusted as error:
        raise WorkspaceFailed(str(error), permanent=True) from None
    gone = [(path, pointer) for path, pointer in wanted.items() if not home.store.has(pointer)]
    if gone:
        path, pointer = gone[0]
        more = f" (and of {len(gone) - 1} more)" if len(gone) > 1 else ""
        known = (why or {}).get(pointer) or said
        raise WorkspaceFailed(
            f"the content of {readable(path)}{more}, which git-lfs keeps as {pointer.oid[:12]}, is nowhere to be had: "
            f"{known or 'the remote does not have it'}",
            permanent=why is None,
        )


def _take_all(home: Home, repository: AgentRepository, pointers: Collection[Pointer]) -> dict[Pointer, str]:
    """Take the agent's objects into the store; why not, of those that it has and that are others. Blocking."""
    refused = {}
    for pointer in pointers:
        if home.store.has(pointer):
            continue
        try:
            with repository.large_object(pointer.oid) as file:
                home.store.take(file, pointer)
        except ValueError as error:
            refused[pointer] = str(error)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
    return refused


async def _refuse_elsewhere(home: Home, commit: str) -> None:
    """Raise WorkspaceFailed for a commit whose clones would look for large files where they are not."""
    said, trusted = await places_of(home.cache, commit), await places_of(home.cache, home.trusted)
    if said != trusted:
        raise WorkspaceFailed(
            f"{FILE} names another place for large files than on the base branch ({_places(said)} instead of "
            f"{_places(trusted)}), where they would not be found: leave it as it is; a person may change it on the base"
        )


def _places(said: Mapping[str, str]) -> str:
    return readable(", ".join(f"{key} = {value}" for key, value in sorted(said.items()))) or "the remote's own"


def _refuse_too_large(pointers: Collection[Pointer], most_bytes: int) -> None:
    if (size := sum(pointer.size for pointer in pointers)) > most_bytes:
        raise WorkspaceFailed(_too_large("new large files", size, most_bytes))


def _too_large(what: str, size: int, most_bytes: int) -> str:
    return (
        f"{readable(what)}: {size / 2**30:.1f} GiB for git-lfs, more than max_large_files_gib ({most_bytes / 2**30:g})"
    )


def _lacks(path: str, pointer: Pointer, said: str) -> str:
    return f"the content of {readable(path)}, which git-lfs keeps as {pointer.oid[:12]}, is not on the remote" + (
        f": {said}" if said else ""
    )


def _blob(letters: int, size: int) -> hashlib._Hash:
    hashed = hashlib.sha1(usedforsecurity=False) if letters == 40 else hashlib.sha256()
    hashed.update(b"blob %d\0" % size)
    return hashed


def _named(text: bytes, letters: int) -> str:
    hashed = _blob(letters, len(text))
    hashed.update(text)
    return hashed.hexdigest()
