"""Files that git-lfs keeps: a workspace begins with their contents, and what an agent made of them is taken by content.

No filter runs in the daemon: it lays contents out itself, and writes pointers itself. The agent's own git has git-lfs'
filter, inside of the sandbox, and what it made is believed where its sha256 is the one that its pointer names.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from services.daemon.git.command import GitError, git, is_transient, readable
from services.daemon.git.index_file import ATTRIBUTES, attributes_of, settle
from services.daemon.git.kept import attributes_changed, entries_in, entries_of, pointers_among, text_names_it
from services.daemon.git.lfs import (
    FILE,
    Home,
    NotServed,
    NotTrusted,
    fetch,
    is_installed,
    lacking,
    places_of,
    upload,
    words,
)
from services.daemon.git.pointers import LONGEST, Pointer, parse
from services.daemon.git.untrusted import AgentRepository, opened
from services.daemon.workspaces.elsewhere import RepositoryElsewhere
from services.daemon.workspaces.large_changes import named_blob, new_attributes, too_large
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed

MISSING = (
    f"the repository keeps large files with git-lfs ({ATTRIBUTES} names filter=lfs), and this daemon's machine has no "
    "git-lfs: install it (https://git-lfs.com), see `makima doctor`"
)


async def fill(workspace: Workspace, commits: Iterable[str] = ()) -> Workspace:
    """The workspace with the contents of its large files; those of `commits` are at hand for its git.

    For one that no agent has been in. Raises WorkspaceFailed, GitError and OSError.
    """
    folder, cache, home = workspace.folder, workspace.cache, workspace.home
    assert cache is not None
    characters, theirs = len(workspace.start), workspace.git_folder / "index"  # which holds what was merged, too
    if not await asyncio.to_thread(_name_it, folder, theirs, characters):
        return workspace
    if not is_installed():
        raise WorkspaceFailed(MISSING, permanent=True)
    await _refuse_not_served(home)
    entries = await entries_in(cache, folder, theirs)
    pointers = await asyncio.to_thread(_pointers_in, folder, entries)
    beside = [await pointers_of(home, commit) for commit in commits]
    for some in (pointers, *beside):
        await _have(home, some)
    for path, pointer in pointers.items():
        await asyncio.to_thread(home.store.lay_out, pointer, folder / path)
    for index in (workspace.index, theirs):
        await asyncio.to_thread(settle, index, folder, entries, characters)
    return replace(workspace, large=frozenset(entries.values()))


async def taken(workspace: Workspace, repository: AgentRepository, head: str, max_bytes: int) -> tuple[Pointer, ...]:
    """The large files that a commit needs beyond those of the workspace's start, or that the commits between hold, once
    all of them are in the store. Raises WorkspaceFailed that names a file whose content is nowhere."""
    cache, home = workspace.cache, workspace.home
    assert cache is not None
    if head == workspace.start or (workspace.large is None and not await _names_it_now(workspace, head)):
        return ()
    known = workspace.large or frozenset()
    if not is_installed():
        raise WorkspaceFailed(MISSING, permanent=True)
    entries = await entries_of(cache, head)
    if entries:
        await _refuse_elsewhere(home, head)
    needed = {path: blob for path, blob in entries.items() if blob not in known}
    made = (await git(cache, "rev-list", "--objects", head, f"^{workspace.start}")).splitlines()
    found = await pointers_among(cache, {*needed.values(), *(line.partition(" ")[0] for line in made)})
    wanted = {path: found[blob] for path, blob in needed.items() if blob in found}
    _refuse_too_large({pointer for pointer in found.values() if not home.store.has(pointer)}, max_bytes)
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
    known = set((await entries_of(home.cache, before)).values()) if before else set[str]()
    kept = await entries_of(home.cache, after)
    if kept:
        await _refuse_elsewhere(home, after)
    entries = {path: blob for path, blob in kept.items() if blob not in known}
    found = await pointers_among(home.cache, set(entries.values()))
    wanted = {path: found[blob] for path, blob in entries.items() if blob in found}
    if not wanted:
        return []
    await on_remote(home, {pointer for pointer in wanted.values() if home.store.has(pointer)})
    try:
        gone, said = await lacking(home, set(wanted.values()))
    except GitError as error:
        raise WorkspaceFailed(f"whether large files are on the remote can't be seen: {words(error)}") from None
    except NotTrusted as error:
        raise WorkspaceFailed(str(error), permanent=True) from None
    return [_lacks(path, pointer, said) for path, pointer in wanted.items() if pointer in gone]


async def pointers_of(home: Home, commit: str) -> dict[str, Pointer]:
    """The large files of a commit. Raises GitError."""
    entries = await entries_of(home.cache, commit)
    found = await pointers_among(home.cache, set(entries.values()))
    return {path: found[blob] for path, blob in entries.items() if blob in found}


def _name_it(folder: Path, index: Path, characters: int) -> bool:
    """Whether attributes among a folder's files name large files. Blocking."""
    return any(text_names_it(folder, path) for path in attributes_of(index, characters))


async def _names_it_now(workspace: Workspace, head: str) -> bool:
    """Whether a commit names large files in a workspace that did not begin with any."""
    assert workspace.cache is not None
    return await attributes_changed(workspace.cache, head, await asyncio.to_thread(new_attributes, workspace))


def _pointers_in(folder: Path, entries: Mapping[str, str]) -> dict[str, Pointer]:
    """Those of these files of a folder that are the pointers which the index has, and not yet contents. Blocking."""
    found = {}
    for path, blob in entries.items():
        with suppress(OSError), opened(folder, path) as file:
            text = os.read(file, LONGEST)
            if (pointer := parse(text)) is not None and named_blob(text, len(blob)) == blob:
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


async def _refuse_not_served(home: Home) -> None:
    """Raise RepositoryElsewhere, before anything is spent, where large files could be neither had nor delivered."""
    try:
        await home.places()
    except NotServed as error:
        raise RepositoryElsewhere(str(error)) from None
    except NotTrusted:
        pass  # said where they are needed


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


def _refuse_too_large(pointers: Collection[Pointer], max_bytes: int) -> None:
    if (size := sum(pointer.size for pointer in pointers)) > max_bytes:
        raise WorkspaceFailed(too_large("new large files", size, max_bytes))


def _lacks(path: str, pointer: Pointer, said: str) -> str:
    return f"the content of {readable(path)}, which git-lfs keeps as {pointer.oid[:12]}, is not on the remote" + (
        f": {said}" if said else ""
    )
