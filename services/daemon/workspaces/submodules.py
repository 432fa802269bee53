"""Submodules of a workspace: which a commit has, where each comes from, and a repository of its own for each in it.

An address in `.gitmodules` may be an agent's. The daemon's credentials go only to those that the base branch names; all
others are left to the agent, and asked without credentials whether they have a commit.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from services.daemon.disk import folders
from services.daemon.git.account import account, written
from services.daemon.git.command import GitError, git, has, names, readable
from services.daemon.git.contended import git_beside_others
from services.daemon.git.kept import names_it
from services.daemon.git.lfs import Home
from services.daemon.workspaces.beginning import Beginning, lay_out, without_credentials, write_files
from services.daemon.workspaces.large_files import fill, not_on_remote
from services.daemon.workspaces.workspace import Submodule, Workspace, WorkspaceFailed, note_borrowed

DEEPEST = 4
"""Submodules in submodules in submodules."""
GITLINK = "160000"
MOST = 200
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
        entries = await names(origin.cache, "config", f"--blob={commit}:.gitmodules", "-z", "--list")
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
    for line in listed[:MOST]:
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
    if not url or url.startswith("-") or "::" in url or any(ord(letter) < 32 for letter in url):
        return ""
    if url.startswith(_SCHEMES):
        return url
    if _is_local(url):
        allowed = account().last("protocol.file.allow") == "always" or _is_local(base)
        return url if allowed and url.startswith(("/", "file:///")) else ""
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
    return fit and not path.startswith("-") and not any(ord(letter) < 32 or letter == "\\" for letter in path)


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


async def is_public(url: str, commit: str) -> bool:
    """Whether an address that the base branch doesn't name has a commit for everybody."""
    if not url:
        return False
    with tempfile.TemporaryDirectory(prefix="makima-asked-", ignore_cleanup_errors=True) as draft:
        try:
            await git(Path(draft), "init", "--quiet", "--bare", "--template=")
            await git(Path(draft), "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, commit, **_NOBODY)
        except GitError:
            return False
    return True


async def populate(
    workspace: Workspace, origin: Origin, cache_of: CacheOf, say: Say, hooks: bool, depth: int = 0
) -> Workspace:
    """The workspace with its submodules: repositories and files; what can't be had is said, and left empty."""
    if not os.path.lexists(workspace.folder / ".gitmodules"):  # no agent has been here yet
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


def moved(changes: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The submodules among changed files, and the commit of each."""
    return {path: blob for path, (mode, blob) in changes.items() if mode == GITLINK}


async def missing(origin: Origin, cache_of: CacheOf, links: Mapping[str, str], after: str) -> list[str]:
    """The submodules at whose new commit a clone can't be made, since their remotes lack something, in words."""
    known = await modules(origin, after)
    based = await modules(origin, origin.trusted) if origin.trusted else {}
    fit = {module.url for module in based.values()}
    lacking = list[str]()
    for path, commit in links.items():
        if path not in known:
            continue  # a commit that no .gitmodules names; of a step that made one, its work was refused
        url = known[path].url
        try:
            if url and url in fit:
                cache = await cache_of(url)
                await bring(cache, commit)
                pinned = based[path].commit if path in based else ""
                if await names_it(cache, commit):
                    gone = await not_on_remote(Home(cache, url, pinned), pinned, commit)
                    lacking.extend(f"of the submodule {readable(path)}, {words}" for words in gone)
                continue
            why = "" if await is_public(url, commit) else "it isn't there for everybody to fetch"
        except GitError as error:
            why = str(error)
        if why:
            where = without_credentials(url) or "a remote that may be fetched from"
            lacking.append(f"the commit {commit[:12]} of the submodule {readable(path)} is not on {where}: {why}")
    return lacking


class _Left(RuntimeError):
    """Why a submodule is left empty."""
