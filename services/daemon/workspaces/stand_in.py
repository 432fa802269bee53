"""What an attempt finds in the place of a remote that is a folder of this machine, which its sandbox doesn't show.

An agent's git fetches from it and pushes to it as to the remote, and changes nothing outside: its work is pushed by the
daemon. It borrows its objects from the daemon's copy of the repository, and nothing is read of the folder itself.
"""

from __future__ import annotations

from pathlib import Path

from services.daemon.git.command import git
from services.daemon.workspaces.caches import HEAD_REF

_HERE = (("refs/remotes/origin/", "refs/heads/"), ("refs/remotes/steps/", "refs/makima/"))
_SHA1_LETTERS = 40
_FILE = "file://"


def is_folder(repository_url: str) -> bool:
    """Whether a remote is a folder of this machine."""
    return repository_url.removeprefix(_FILE).startswith("/")


async def make(folder: Path, cache: Path, repository_url: str) -> dict[str, str]:
    """Make it, once; the variables that lead git there. Raises GitError and OSError."""
    if not folder.exists():
        listed = await git(cache, "for-each-ref", "--format=%(objectname) %(refname)", HEAD_REF, *(h for h, _ in _HERE))
        refs = {name: commit for commit, name in (line.split(" ") for line in listed.splitlines())}
        _write(folder, cache, _as_on_the_remote(refs), refs.get(HEAD_REF))
    return {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{folder}.insteadOf",
        "GIT_CONFIG_VALUE_0": repository_url,
    }


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
    (folder / "objects" / "info" / "alternates").write_text(f"{cache / 'objects'}\n")
    packed = "".join(f"{commit} {name}\n" for name, commit in sorted(refs.items()))
    (folder / "packed-refs").write_text(f"# pack-refs with: fully-peeled sorted \n{packed}")
    branches = [name for name, commit in refs.items() if commit == head and name.startswith("refs/heads/")]
    (folder / "HEAD").write_text(f"ref: {min(branches, key=len, default='refs/heads/main')}\n")
    longer = any(len(commit) > _SHA1_LETTERS for commit in refs.values())
    of_sha256 = "[extensions]\n\tobjectFormat = sha256\n" if longer else ""
    (folder / "config").write_text(f"[core]\n\trepositoryformatversion = {int(longer)}\n\tbare = true\n{of_sha256}")
