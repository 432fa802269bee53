"""Submodules of a workspace: which a commit has, where each comes from, and a repository of its own for each in it.

An address in `.gitmodules` may be an agent's. The daemon's credentials go only to those that the base branch names; all
others are left to the agent, and asked without credentials whether they have a commit.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from services.daemon.disk import folders
from services.daemon.git.account import account, written
from services.daemon.git.command import GitError, git, has, is_transient, names, readable
from services.daemon.git.contended import git_beside_others
from services.daemon.git.kept import names_it
from services.daemon.git.lfs import Home
from services.daemon.workspaces.beginning import Beginning, lay_out, without_credentials, write_files
from services.daemon.workspaces.large_files import fill, not_on_remote
from services.daemon.workspaces.workspace import Submodule, Workspace, WorkspaceFailed, note_borrowed
from shared.domain.repositories import is_over_link

DEEPEST = 4
"""Submodules in submodules in submodules."""
FILE = ".gitmodules"
GITLINK = "160000"
MAX_SUBMODULES = 200
"""Of one commit."""
_BRANCHES = "+refs/heads/*:refs/remotes/origin/*"
_SCHEMES = ("https://", "http://", "ssh://", "git://")
_NOBODY = {"GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/dev/null", "GIT_SSH_COMMAND": "false"}
"""Variables with which git knows no credentials."""

CacheOf = Callable[[str], Awaitable[Path]]
Say = Callable[[str], None]


class Module(msgspec.Struct, frozen=True, kw_only=True):
    """A submodule of a commit, as its `.gitmodules` names it."""

    name: str
    path: str
    url: str
    """Resolved against that of the repository; "" for one that isn't allowed."""
    commit: str


@dataclass(frozen=True)
class Origin:
    """A repository that has submodules: its cache, its address, and the commit whose addresses are trusted."""

    cache: Path
    url: str
    trusted: str | None


async def modules(origin: Origin, commit: str) -> dict[str, Module]:
    """The submodules of a commit by their paths; none that git itself would refuse."""
    try:
        entries = await names(origin.cache, "config", f"--blob={commit}:{FILE}", "-z", "--list")
    except GitError:
        return {}
    said: dict[str, dict[str, str]] = {}
    for entry in entries:
        key, _, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        name, _, what = rest.rpartition(".")
        if section == "submodule" and what in ("path", "url"):
            said.setdefault(name, {})[what] = value
    known = {s["path"].rstrip("/"): (n, s["url"]) for n, s in said.items() if _is_fit(n, said) and _is_place(s)}
    if not known:
        return {}
    listed = await names(origin.cache, "ls-tree", "-z", "--full-tree", commit, "--", *known, GIT_LITERAL_PATHSPECS="1")
    found = {}
    for line in listed[:MAX_SUBMODULES]:
        meta, _, path = line.partition("\t")
        mode, _, oid = meta.split(" ")[:3]
        if mode == GITLINK and path in known:
            name, url = known[path]
            found[path] = Module(name=name, path=path, url=resolved(origin.url, url), commit=oid)
    return found


def resolved(base: str, url: str) -> str:
    """A submodule's address, where it may be reached at all; else "".

    >>> resolved("https://example.org/a/b.git", "../lib.git")
    'https://example.org/a/lib.git'
    >>> resolved("git@example.org:a/b.git", "../lib.git")
    'git@example.org:a/lib.git'
    >>> resolved("https://example.org/a/b.git", "../../../lib.git")
    ''
    >>> resolved("https://example.org/a", "ext::sh -c id"), resolved("https://example.org/a", "-oProxyCommand=x")
    ('', '')
    """
    if url.startswith(("./", "../")):
        url = _beside(base.rstrip("/"), url)
    if not url or url.startswith("-") or "::" in url or any(ord(character) < 32 for character in url):
        return ""
    if url.startswith(_SCHEMES):
        return url
    if _is_local(url):
        here = not is_over_link(base)  # what a folder of the cluster's machine names lies there, too
        allowed = account().last("protocol.file.allow") == "always" or _is_local(base)
        return url if here and allowed and url.startswith(("/", "file:///")) else ""
    return url if "://" not in url else ""


def _beside(base: str, url: str) -> str:
    """An address relative to another; "" for one that leads above all of its host's."""
    head, mark, path = base.rpartition(":") if "://" not in base else base.partition("://")
    host, slash, rest = path.partition("/") if mark == "://" else ("", "", path)
    prefix, parts = f"{head}{mark}{host}{slash}", rest.split("/")
    for part in url.split("/"):
        if part == ".." and not parts:
            return ""
        if part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return prefix + "/".join(parts)


def _is_local(url: str) -> bool:
    host, colon, _ = url.partition(":")
    return url.startswith("file://") or (not colon or "/" in host)


def _is_fit(name: str, all_names: Mapping[str, object]) -> bool:
    """Whether a folder may have this name, and is in no other's."""
    inside = any(name.startswith(f"{other}/") or other.startswith(f"{name}/") for other in all_names)
    return _is_relative(name) and not inside


def _is_place(said: Mapping[str, str]) -> bool:
    return "url" in said and _is_relative(said.get("path", "").rstrip("/"))


def _is_relative(path: str) -> bool:
    parts = path.split("/")
    fit = all(part not in ("", ".", "..") and part.lower() != ".git" for part in parts)
    return fit and not path.startswith("-") and not any(ord(character) < 32 or character == "\\" for character in path)


async def bring(cache: Path, commit: str) -> None:
    """Have a commit in a submodule's cache, and know what its remote has. Raises GitError."""
    if await on_a_branch(cache, commit):
        return
    await git_beside_others(cache, "fetch", "--quiet", "--no-tags", "origin", _BRANCHES)
    if not await on_a_branch(cache, commit):  # what an attempt made lies in the cache, too
        await git_beside_others(cache, "fetch", "--quiet", "--no-tags", "origin", commit)


async def on_a_branch(cache: Path, commit: str) -> bool:
    """Whether a branch of the remote was seen to hold a commit."""
    try:
        found = await git(cache, "for-each-ref", "--count=1", f"--contains={commit}", "refs/remotes/origin")
    except GitError:
        return False
    return bool(found)


@asynccontextmanager
async def public(url: str, commit: str) -> AsyncIterator[Path]:
    """What everybody can fetch of an address that the base branch doesn't name: a repository with a commit of it.

    Raises GitError on entering, where it isn't there for everybody.
    """
    with tempfile.TemporaryDirectory(prefix="makima-asked-", ignore_cleanup_errors=True) as draft:
        await git(Path(draft), "init", "--quiet", "--bare", "--template=")
        await git(Path(draft), "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, commit, **_NOBODY)
        yield Path(draft)


async def populate(
    workspace: Workspace, origin: Origin, cache_of: CacheOf, say: Say, hooks: bool, depth: int = 0
) -> Workspace:
    """The workspace with its submodules: repositories and files; what can't be had is said, and left empty."""
    if not os.path.lexists(workspace.folder / FILE):  # no agent has been here yet
        return workspace
    wanted = await modules(origin, workspace.start)
    based = await modules(origin, origin.trusted) if origin.trusted else {}
    fit = {module.url for module in based.values() if module.url}
    made = []
    for path, module in wanted.items():
        try:
            if module.url not in fit:
                raise _Left("the base branch doesn't name its address, or it is none that is fetched from")
            if depth == DEEPEST:
                raise _Left(f"it lies more than {DEEPEST} submodules deep")
            cache = await cache_of(module.url)
            await bring(cache, module.commit)
            pinned = based[path].commit if path in based else None
            below = Origin(cache, module.url, pinned if pinned and await has(cache, pinned) else None)
            inner = await _begin(workspace, module, below, hooks)
            inner = await populate(inner, below, cache_of, say, hooks, depth + 1)
        except (_Left, GitError, OSError, WorkspaceFailed) as error:
            await asyncio.to_thread(_empty, workspace.folder / path)
            say(f"[the submodule {readable(path)} is left empty: {readable(str(error))}]")
        else:
            made.append(Submodule(path, module.url, inner))
    return replace(workspace, modules=tuple(made))


def _empty(folder: Path) -> None:
    """Leave nothing half-made in a submodule's folder, in which no agent has been."""
    if folder.is_dir() and not folder.is_symlink():
        folders.remove(folder)
        folder.mkdir()


async def _begin(workspace: Workspace, module: Module, origin: Origin, hooks: bool) -> Workspace:
    """A submodule's own repository and files, within the workspace of what it is a submodule of."""
    cache = origin.cache
    place, own = workspace.folder / module.path, workspace.own / "modules" / module.name
    note_borrowed(own, cache)
    place.mkdir(parents=True, exist_ok=True)
    inner = Workspace(
        place,
        cache,
        module.commit,
        workspace.branch,
        ref=f"refs/heads/{workspace.branch}",
        own=own,
        top=workspace.top or workspace.folder,
        inside=(*workspace.inside, "modules", *module.name.split("/")),
        url=module.url,
        trusted=origin.trusted or "",
    )
    await write_files(place, cache, inner.index, module.commit)
    beginning = Beginning(commit=module.commit, url=module.url, hooks=hooks)
    await asyncio.to_thread(lay_out, place, cache, beginning, inner.git_folder)
    await asyncio.to_thread(shutil.copy2, inner.index, inner.git_folder / "index")
    inner = await fill(inner)
    with (workspace.git_folder / "config").open("ab") as config:
        config.write(written(f"submodule.{module.name}.url", without_credentials(module.url)).encode())
        config.write(written(f"submodule.{module.name}.active", "true").encode())
    return inner


def concerns(changes: Mapping[str, tuple[str, str]]) -> bool:
    """Whether changed files are submodules, or say where submodules come from."""
    return FILE in changes or any(mode == GITLINK for mode, _ in changes.values())


async def missing(origin: Origin, cache_of: CacheOf, before: str, after: str) -> list[str]:
    """What keeps a clone from having the submodules of a commit, and theirs, beyond those of another; in words.

    `before`: "" for none. Raises WorkspaceFailed where a remote can't be reached just now.
    """
    return await _Asked(cache_of).missing(origin, before, after)


class _Asked:
    """Asks remotes for the commits of submodules, and of submodules in them; for each once."""

    def __init__(self, cache_of: CacheOf) -> None:
        self._cache_of = cache_of
        self._seen = set[tuple[str, str]]()

    async def missing(self, origin: Origin, before: str, after: str, above: tuple[str, ...] = ()) -> list[str]:
        """`above`: the paths of the submodules that these lie in."""
        was, now = await modules(origin, before) if before else {}, await modules(origin, after)
        based = await modules(origin, origin.trusted) if origin.trusted else {}
        fit = {module.url for module in based.values()}
        lost = await _links_among(origin.cache, after, [path for path in was if path not in now])
        lacking = [f"{FILE} names no submodule for {_words((*above, path))}, which is one" for path in lost]
        for path, module in now.items():
            if was.get(path) == module or (module.url, module.commit) in self._seen:
                continue
            self._seen.add((module.url, module.commit))
            pinned = based[path].commit if path in based else ""
            try:
                lacking += await self._of(module, (*above, path), module.url in fit, pinned)
            except GitError as error:
                if is_transient(error):
                    raise WorkspaceFailed(
                        f"the submodule {_words((*above, path))} can't be asked for: {error}"
                    ) from None
                lacking.append(_is_not_on(module, (*above, path), str(error)))
        return lacking

    async def _of(self, module: Module, path: tuple[str, ...], trusted: bool, pinned: str) -> list[str]:
        """The same of one submodule and of what lies in it. Raises GitError."""
        if len(path) > DEEPEST or len(self._seen) > MAX_SUBMODULES:
            most = f"{DEEPEST} submodules deep, or {MAX_SUBMODULES} in all"
            return [f"the submodule {_words(path)} was not looked at: there are more than {most}"]
        if not module.url:
            return [_is_not_on(module, path, "")]
        if not trusted:
            try:
                async with public(module.url, module.commit) as there:
                    return await self.missing(Origin(there, module.url, None), "", module.commit, path)
            except GitError as error:
                if is_transient(error):
                    raise
                return [_is_not_on(module, path, "it isn't there for everybody to fetch")]
        cache = await self._cache_of(module.url)
        await bring(cache, module.commit)
        lacking = list[str]()
        if await names_it(cache, module.commit):
            gone = await not_on_remote(Home(cache, module.url, pinned), pinned, module.commit)
            lacking.extend(f"of the submodule {_words(path)}, {words}" for words in gone)
        below = Origin(cache, module.url, pinned if pinned and await has(cache, pinned) else None)
        return lacking + await self.missing(below, below.trusted or "", module.commit, path)


async def _links_among(cache: Path, commit: str, paths: Sequence[str]) -> list[str]:
    """Those of these paths that are commits of another repository."""
    if not paths:
        return []
    listed = await names(cache, "ls-tree", "-z", "--full-tree", commit, "--", *paths, GIT_LITERAL_PATHSPECS="1")
    entries = (line.partition("\t") for line in listed)
    return [path for meta, _, path in entries if meta.startswith(GITLINK)]


def _is_not_on(module: Module, path: tuple[str, ...], why: str) -> str:
    where = without_credentials(module.url) or "a remote that may be fetched from"
    what = f"the commit {module.commit[:12]} of the submodule {_words(path)} is not on {where}"
    return f"{what}: {why}" if why else what


def _words(path: tuple[str, ...]) -> str:
    return readable("/".join(path))


class _Left(RuntimeError):
    """Why a submodule is left empty."""
