"""What an attempt finds in the place of remotes that are folders of this machine, which its sandbox doesn't show.

An agent's git fetches from it and pushes to it as to the remote, and changes nothing outside: its work is pushed by the
daemon. It borrows its objects from the daemon's copy of the repository, and nothing is read of the folder itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from services.daemon.git.command import git
from services.daemon.workspaces.caches import HEAD_REF
from services.daemon.workspaces.workspace import Workspace, alternates
from shared.domain.repositories import is_over_link

_HERE = (("refs/remotes/origin/", "refs/heads/"), ("refs/remotes/steps/", "refs/makima/"))
_SHA1_CHARACTERS = 40
_FILE = "file://"
_MAIN = "refs/heads/main"


def is_folder(repository_url: str) -> bool:
    """Whether a remote is a folder, of this machine or of the cluster's."""
    return repository_url.removeprefix(_FILE).startswith("/") or is_over_link(repository_url)


async def make_all(folder: Path, workspace: Workspace) -> dict[str, Path]:
    """Make those of a workspace and its submodules in a folder, once; by the addresses that they stand in for.

    Raises GitError and OSError.
    """
    made = {}
    for url, cache in _remotes(workspace):
        if is_folder(url) and "\n" not in str(folder):  # git's configuration can't name such a folder
            made[url] = folder / cache.name
            await _make(made[url], cache)
    return made


def leading_to(made: Mapping[str, Path]) -> dict[str, str]:
    """The variables that lead git to them. git clones no submodule from a folder unless it is told that it may."""
    said = [(f"url.{folder}.insteadOf", url) for url, folder in made.items()]
    if len(made) > 1:
        said.append(("protocol.file.allow", "always"))
    if not said:
        return {}
    pairs = [(f"GIT_CONFIG_KEY_{n}", key) for n, (key, _) in enumerate(said)]
    pairs += [(f"GIT_CONFIG_VALUE_{n}", value) for n, (_, value) in enumerate(said)]
    return {"GIT_CONFIG_COUNT": str(len(said)), **dict(pairs)}


def _remotes(workspace: Workspace) -> Iterator[tuple[str, Path]]:
    if workspace.cache is not None:
        yield workspace.url, workspace.cache
    for one in workspace.modules:
        yield from _remotes(one.workspace)


async def _make(folder: Path, cache: Path) -> None:
    if not folder.exists():
        listed = await git(cache, "for-each-ref", "--format=%(objectname) %(refname)", HEAD_REF, *(h for h, _ in _HERE))
        refs = {name: commit for commit, name in (line.split(" ") for line in listed.splitlines())}
        _write(folder, cache, _as_on_the_remote(refs), refs.get(HEAD_REF))


def _as_on_the_remote(refs: dict[str, str]) -> dict[str, str]:
    return {
        there + name.removeprefix(here): commit
        for here, there in _HERE
        for name, commit in refs.items()
        if name.startswith(here)
    }


def _write(folder: Path, cache: Path, refs: dict[str, str], head: str | None) -> None:
    for place in ("objects/info", "refs"):
        (folder / place).mkdir(parents=True)
    (folder / "objects" / "info" / "alternates").write_text(alternates(cache))
    packed = "".join(f"{commit} {name}\n" for name, commit in sorted(refs.items()))
    (folder / "packed-refs").write_text(f"# pack-refs with: fully-peeled sorted \n{packed}")
    (folder / "HEAD").write_text(f"ref: {_default_branch(refs, head)}\n")
    longer = any(len(commit) > _SHA1_CHARACTERS for commit in refs.values())
    of_sha256 = "[extensions]\n\tobjectFormat = sha256\n" if longer else ""
    (folder / "config").write_text(f"[core]\n\trepositoryformatversion = {int(longer)}\n\tbare = true\n{of_sha256}")


def _default_branch(refs: Mapping[str, str], head: str | None) -> str:
    """The branch at the remote's HEAD; where that was not asked for, as of a submodule, the likeliest."""
    branches = [name for name in refs if name.startswith("refs/heads/")]
    if head is None and _MAIN in branches:
        return _MAIN
    there = [name for name in branches if head in (None, refs[name])]
    return min(there, key=len, default=_MAIN)
