"""What an agent left uncommitted in its workspace, seen by the daemon's own git directory and index, and committed.

What counts: changes to tracked files, and new files that nobody ignores. What doesn't: what was there when the agent
began, what a check wrote, files that are as they were, credentials, and floods of files that nobody asked for.
"""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from services.daemon.disk import folders
from services.daemon.git.attributes import UNSAID, attributes
from services.daemon.git.command import GitError, git, git_fed, listed, names, on_files, readable
from services.daemon.git.index_file import attributes_of
from services.daemon.git.kept import is_attributes, text_names_it
from services.daemon.git.untrusted import AgentRepository
from services.daemon.workspaces.large_changes import changed as changed_large
from services.daemon.workspaces.large_changes import matching, new_attributes, recorded
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed

SCANNED_BYTES = 32 << 20
"""Of a file, for credentials: more than new files may have in all without the agent being asked."""
MAX_NAMED = 20
_CREDENTIAL_FILES = (
    ".env",
    ".env.*",
    "*.env",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "*.p12",
    "*.pfx",
    "*.keystore",
    ".netrc",
    ".pypirc",
    ".git-credentials",
    "credentials.json",
    ".htpasswd",
)
_TEMPLATES = ("*.example", "*.sample", "*.template", "*.dist", "*.test")
_PRIVATE_KEY = "PRIVATE KEY-----"
_GITLINK = "160000"
_LINK = "120000"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed of new files without asking."""

    files: int = 200
    bytes: int = 20 << 20
    allowed: tuple[str, ...] = ()
    """Patterns of files that may look like credentials."""
    large_bytes: int = 10 << 30
    """Of all that is new and git-lfs keeps, whether the agent was asked or not."""


@dataclass
class Baseline:
    """What is not the agent's: it was there after setup, or a check wrote it."""

    untracked: set[str] = field(default_factory=set)
    tracked: dict[str, str] = field(default_factory=dict)
    """Tracked files that somebody else changed, and what they became: the name of that content."""


@dataclass(frozen=True)
class Changes:
    """What differs from the commit that is checked out."""

    tracked: dict[str, str]
    """Changed files of the index, each with the name of its content now; "" for one that is gone."""
    untracked: tuple[str, ...]
    nested: tuple[str, ...]
    """Folders that are git repositories of their own."""


@dataclass(frozen=True)
class Selection:
    """What of it is committed, and what is left out, in words."""

    paths: tuple[str, ...] = ()
    flood: tuple[str, ...] = ()
    """New files that are too many or too large to be committed without a word."""
    flood_bytes: int = 0
    credentials: tuple[str, ...] = ()


class Leftovers:
    """Looks at a workspace's files through an index of the daemon's own."""

    def __init__(self, workspace: Workspace, repository: AgentRepository, large_bytes: int) -> None:
        assert workspace.cache is not None
        self._workspace = workspace
        self._cache = workspace.cache
        self._repository = repository
        self._index = workspace.index_now
        self._where = on_files(workspace.cache, workspace.folder, self._index)
        self._large_bytes = large_bytes
        self._large: frozenset[str] = frozenset()
        """Of what `changes` found, the files that git-lfs keeps."""

    async def changes(self, tree: str) -> Changes:
        """What differs from a commit or a tree of the cache. Raises WorkspaceFailed and GitError."""
        folder = self._workspace.folder
        if folder.is_symlink() or not folder.is_dir():
            raise WorkspaceFailed("the agent removed its own workspace: its work is lost")
        await asyncio.to_thread(shutil.copy2, self._workspace.index, self._index)
        if tree != self._workspace.start:
            await self._git("read-tree", "--reset", tree)
        excludes = self._workspace.own / "exclude"
        excludes.write_bytes(self._repository.excluded().encode(errors="surrogateescape"))
        diff = (
            "diff",
            "--raw",
            "--no-abbrev",
            "--no-renames",
            "--no-ext-diff",
            "--no-textconv",
            "--ignore-submodules=all",
            "-z",
        )
        others = ("ls-files", "--others", "--exclude-standard", f"--exclude-from={excludes}", "-z")
        raw, untracked = await asyncio.gather(self._names(*diff), self._names(*others))
        changed = list(zip(raw[1::2], raw[0::2], strict=True))
        kept = await self._not_checked_out(deleted=any(meta.endswith(" D") for _, meta in changed))
        tracked = await self._contents([c for c in changed if c[0] not in kept], untracked)
        nested = tuple(path.rstrip("/") for path in untracked if path.endswith("/"))
        return Changes(tracked, tuple(path for path in untracked if not path.endswith("/")), nested)

    async def unmerged(self) -> list[str]:
        """The files that the agent's own index says still conflict. Raises WorkspaceFailed where nobody can tell."""
        entries = await self._agents_index()
        if entries is None and self._repository.merge_heads():
            raise WorkspaceFailed("the agent left a merge under way, and an index that can't be read: it must end it")
        return sorted(path for tag, path in entries or () if tag == "M")

    async def links(self, paths: Iterable[str]) -> dict[str, str]:
        """Those of these paths that are submodules by what `changes` found, and the commit of each."""
        if not (asked := tuple(paths)):
            return {}
        staged = await self._names("ls-files", "--stage", "-z", "--", *asked, GIT_LITERAL_PATHSPECS="1")
        entries = (line.partition("\t") for line in staged)
        return {path: meta.split(" ")[1] for meta, _, path in entries if meta.startswith(_GITLINK)}

    async def record(
        self, paths: Iterable[str], parents: Iterable[str], message: str, links: Mapping[str, str] | None = None
    ) -> str:
        """A commit in the cache of these files as they are now, and of all else as `changes` found it.

        `links`: commits of submodules.
        """
        files = list(paths)
        large = [path for path in files if path in self._large]
        pointers = await recorded(self._workspace, large, self._large_bytes)
        if pointers:
            entries = listed([f"{entry}\t{path}" for path, entry in pointers.items()])
            info = ("update-index", "--add", "--replace", "-z", "--index-info")
            await git_fed(self._cache, entries, *info, variables=self._where)
        wanted = listed([path for path in files if path not in pointers])
        if wanted:
            update = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
            await git_fed(self._cache, wanted, *update, variables=self._where)
        if links:
            moved = listed([f"{_GITLINK} {commit}\t{path}" for path, commit in links.items()])
            await git_fed(self._cache, moved, "update-index", "-z", "--index-info", variables=self._where)
        tree = (await self._git("write-tree")).strip()
        named = [part for parent in dict.fromkeys(parents) for part in ("-p", parent)]
        return (await git(self._cache, "commit-tree", *named, "-m", message.replace("\0", ""), tree)).strip()

    async def _contents(self, entries: list[tuple[str, str]], untracked: list[str]) -> dict[str, str]:
        """Those of these changed files whose content really is another one. Raises WorkspaceFailed and GitError."""
        folder, paths = self._workspace.folder, [path for path, _ in entries]
        links = {path for path, meta in entries if meta.split(" ")[1] == _LINK}
        self._large = await self._kept_by_lfs([*(path for path in paths if path not in links), *untracked])
        changed = await asyncio.to_thread(
            _contents, folder, [entry for entry in entries if entry[0] not in self._large]
        )
        for path in await self._checked_out_alike({path: meta for path, meta in entries if path in changed}):
            del changed[path]
        large = {path: _change(meta) for path, meta in entries if path in self._large}
        return changed | await changed_large(self._cache, folder, large, self._large_bytes)

    async def _checked_out_alike(self, changed: Mapping[str, str]) -> list[str]:
        """Those of these changed files that git itself would write as they are: it never kept them with the line ends
        that their attributes ask for, and so takes each that it looks at for a changed one. Raises GitError.
        """
        if not changed or not await asyncio.to_thread(attributes_of, self._index, len(self._workspace.start or "")):
            return []
        said = await attributes(self._cache, self._where, changed, "text", "eol", cached=True)
        if not (converted := list(dict.fromkeys(one.path for one in said if one.value not in UNSAID))):
            return []
        written = self._workspace.own / "written"
        write = ("checkout-index", "--force", "-z", "--stdin", f"--prefix={written}/")
        try:
            await git_fed(self._cache, listed(converted), *write, variables=self._where)
            return await asyncio.to_thread(_alike, written, self._workspace.folder, converted, changed)
        finally:
            await asyncio.to_thread(folders.remove, written)

    async def _kept_by_lfs(self, paths: list[str]) -> frozenset[str]:
        """Those of these files that the attributes in the folder, as the agent left them, give to git-lfs."""
        if not paths:
            return frozenset()
        if self._workspace.large is None and not await asyncio.to_thread(self._names_lfs, paths):
            return frozenset()
        return await matching(self._cache, self._where, paths)

    def _names_lfs(self, changed: list[str]) -> bool:
        """Whether the agent has brought attributes that name git-lfs. Blocking."""
        mentioned = (*new_attributes(self._workspace), *filter(is_attributes, changed))
        return any(text_names_it(self._workspace.folder, path) for path in mentioned)

    async def _not_checked_out(self, deleted: bool) -> frozenset[str]:
        """Files that are missing since the agent checked out only a part (a sparse checkout)."""
        if not deleted:
            return frozenset()
        return frozenset(path for tag, path in await self._agents_index() or () if tag == "S")

    async def _agents_index(self) -> list[tuple[str, str]] | None:
        """The entries of the agent's index that are not as usual, each with git's tag for it.

        None where it can't be read, as one that is split over files can't. Its files are looked at all the same.
        """
        copy = self._workspace.own / "index.theirs"
        if not await asyncio.to_thread(self._repository.copy_index, copy):
            return None
        try:
            parts = await names(self._cache, "ls-files", "-t", "-z", **{**self._where, "GIT_INDEX_FILE": str(copy)})
        except GitError:
            return None
        return [(tag, path) for tag, _, path in (part.partition(" ") for part in parts) if tag != "H"]

    async def _git(self, *arguments: str) -> str:
        return await git(self._cache, *arguments, **self._where)

    async def _names(self, *arguments: str, **variables: str) -> list[str]:
        return await names(self._cache, *arguments, **self._where, **variables)


def select(
    folder: Path, changes: Changes, baseline: Baseline, limits: Limits, is_secret: Callable[[str], bool]
) -> Selection:
    """What is the agent's work. Blocking: for a thread."""
    tracked = [path for path, content in changes.tracked.items() if baseline.tracked.get(path) != content]
    new = [path for path in changes.untracked if path not in baseline.untracked]
    size = sum(_size(folder / path) for path in new)
    flood = tuple(new) if len(new) > limits.files or size > limits.bytes else ()
    looked_at = [(path, False) for path in tracked] + [(path, True) for path in (() if flood else new)]
    credentials = tuple(
        path
        for path, is_new in looked_at
        if not _matches(path, limits.allowed) and _holds_credentials(folder / path, is_new, is_secret)
    )
    held = frozenset(credentials)
    paths = tuple(path for path, _ in looked_at if path not in held)
    return Selection(paths, flood, size if flood else 0, credentials)


def named(paths: Iterable[str]) -> str:
    """File names for a person: the first ones, and how many more."""
    all_ = list(paths)
    more = f" and {len(all_) - MAX_NAMED} more" if len(all_) > MAX_NAMED else ""
    return readable(", ".join(all_[:MAX_NAMED])) + more


def _change(meta: str) -> tuple[str, bool]:
    """The blob that a changed file was, and whether its mode is another one now."""
    mode_before, mode, before, _, _ = meta.removeprefix(":").split(" ")
    return before, mode not in (mode_before, "000000")


def _contents(folder: Path, changed: list[tuple[str, str]]) -> dict[str, str]:
    """The files whose content really is another one, whatever git makes of its line ends, and what it is now."""
    found = {}
    for path, meta in changed:
        before, other_mode = _change(meta)
        content = _content(folder / path, len(before))
        if content != before or other_mode:
            found[path] = content
    return found


def _alike(one: Path, other: Path, paths: Iterable[str], changed: Mapping[str, str]) -> list[str]:
    """Those of these paths that have the same content in two folders, and no other mode."""
    return [
        path
        for path in paths
        if not _change(changed[path])[1]
        and (content := _content(one / path, 40))
        and content == _content(other / path, 40)
    ]


def _content(path: Path, length: int) -> str:
    """The name of the blob that a file is, unfiltered; "" where there is none."""
    hashed = hashlib.sha1(usedforsecurity=False) if length == 40 else hashlib.sha256()
    try:
        if path.is_symlink():
            data = os.fsencode(path.readlink())
            hashed.update(b"blob %d\0" % len(data) + data)
            return hashed.hexdigest()
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(file, "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            return ""
        hashed.update(b"blob %d\0" % found.st_size)
        while part := opened.read(1 << 20):
            hashed.update(part)
    return hashed.hexdigest()


def _holds_credentials(path: Path, is_new: bool, is_secret: Callable[[str], bool]) -> bool:
    if is_new and _matches(path.name, _CREDENTIAL_FILES) and not _matches(path.name, _TEMPLATES):
        return True
    text = _beginning(path)
    return _PRIVATE_KEY in text or is_secret(text)


def _beginning(path: Path) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            return ""
        return opened.read(SCANNED_BYTES).decode(errors="replace")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
