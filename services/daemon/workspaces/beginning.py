"""How a workspace begins: a repository of its own, which borrows the objects of the daemon's cache, and its files.

A repository of its own has its own configuration, index, refs, stash, hooks, info and shallow file, and dies with its
folder. https://git-scm.com/docs/gitrepository-layout
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from services.daemon.disk import folders
from services.daemon.git.account import account, for_agents, written
from services.daemon.git.command import git, on_files
from services.daemon.workspaces.workspace import alternates

_CONFIGURATION = """[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = true
[extensions]
\tworktreeConfig = true
[remote "origin"]
\turl = "{url}"
\tfetch = +refs/heads/*:refs/remotes/origin/*
"""
_NO_HOOKS = """[core]
\thooksPath = /dev/null
"""
"""Of the worktree alone, over what a tool writes into the repository's configuration, as husky does."""


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """What a workspace's repository begins with."""

    commit: str
    branch: str | None = None
    """Checked out; None: the commit itself is."""
    url: str
    refs: Mapping[str, str] = {}
    """Remote-tracking branches by their full names."""
    hooks: bool = False
    """Whether hooks that the repository brings run for the agent's commits."""


def lay_out(folder: Path, cache: Path, beginning: Beginning, elsewhere: Path | None = None) -> None:
    """Make the repository in a workspace's folder, without an index. Blocking: for a thread.

    `elsewhere`: where it lies instead, as that of a submodule does.
    """
    git_folder = elsewhere or folder / ".git"
    for part in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
        (git_folder / part).mkdir(parents=True, exist_ok=True)
    _write(git_folder / "objects/info/alternates", alternates(cache))
    url = without_credentials(beginning.url).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "")
    _write(git_folder / "config", _CONFIGURATION.format(url=url))
    own = "" if beginning.hooks else _NO_HOOKS
    if elsewhere is not None:
        own += written("core.worktree", os.path.relpath(folder, elsewhere))
        _write(folder / ".git", f"gitdir: {os.path.relpath(elsewhere, folder)}\n")
    if own:
        _write(git_folder / "config.worktree", own)
    _write(git_folder / "info/exclude", account().ignored(os.environ))
    if beginning.branch is None:
        _write(git_folder / "HEAD", f"{beginning.commit}\n")
    else:
        ref = git_folder / "refs/heads" / beginning.branch
        ref.parent.mkdir(parents=True, exist_ok=True)
        _write(ref, f"{beginning.commit}\n")
        _write(git_folder / "HEAD", f"ref: refs/heads/{beginning.branch}\n")
    if beginning.refs:
        packed = "".join(f"{commit} {name}\n" for name, commit in sorted(beginning.refs.items()))
        _write(git_folder / "packed-refs", f"# pack-refs with: sorted\n{packed}")
    if (cache / "shallow").exists():
        shutil.copyfile(cache / "shallow", git_folder / "shallow")


async def write_files(folder: Path, cache: Path, index: Path, commit: str) -> None:
    """Make a folder's files those of a commit, by the daemon's own index of it. Raises GitError."""
    await git(cache, "read-tree", "--reset", "-u", commit, **on_files(cache, folder, index))


async def hand_over(folder: Path, index: Path) -> None:
    """Give the repository of a workspace a copy of the daemon's index."""
    await asyncio.to_thread(shutil.copy2, index, folder / ".git" / "index")  # with its time: git trusts none younger


def configure_git(folder: Path, whole: bool = False) -> Path:
    """Make a folder anew with a configuration for agents' git; the folder. `whole`: with all that the account has."""
    folders.remove(folder)
    folder.mkdir(parents=True)
    known, ignored = account(), folder / "ignore"
    _write(ignored, known.ignored(os.environ))
    _write(folder / "config", for_agents(known, ignored, whole))
    return folder


def without_credentials(url: str) -> str:
    """An address as an agent may see it."""
    scheme, slashes, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    who, at, host_only = host.rpartition("@")
    user = "" if scheme.startswith("http") else who.partition(":")[0]  # there, a user may be a token
    return f"{scheme}{slashes}{user}{at if user else ''}{host_only}{slash}{path}" if slashes and at else url


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))
