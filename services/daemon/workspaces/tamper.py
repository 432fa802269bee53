"""What ties a worktree to the daemon's copy of its repository, held to what the daemon wrote.

An agent works beside it as the same user. A `git config` in its worktree changes the configuration that all worktrees
of the repository share, and that the daemon's own git reads: programs that it names (core.sshCommand, filters, helpers
for credentials) would run in the daemon's place, with its credentials, and for every task to come. So whatever an agent
left there is put back before the daemon's git looks at it.
"""

from __future__ import annotations

from pathlib import Path

from services.daemon.disk import folders

_COMMON = "../.."


class Unwired(RuntimeError):
    """What of an attempt's workspace is gone, so that nobody knows its work."""


class Wiring:
    """The configurations of a daemon's copies of repositories, known anew in each of its lives."""

    def __init__(self) -> None:
        self._configurations: dict[Path, bytes] = {}

    def knows(self, cache: Path) -> bool:
        """Whether the cache's configuration is known to be the daemon's."""
        return cache in self._configurations and (cache / "HEAD").exists()

    def learn(self, cache: Path, written: Path) -> None:
        """The cache's configuration is to be what the daemon wrote there."""
        self._configurations[cache] = written.read_bytes()

    def put_back(self, cache: Path) -> list[str]:
        """Put a cache's configuration back; what was changed, in words."""
        wanted = self._configurations.get(cache)
        file = cache / "config"
        if wanted is None or _is(file, wanted) or not cache.is_dir():
            return []
        folders.remove(file)
        draft = cache / "config.makima"
        draft.write_bytes(wanted)
        draft.replace(file)
        return ["the configuration that all worktrees of this repository share"]


def put_back(cache: Path, worktree: Path) -> list[str]:
    """Tie a worktree to its cache again; what was changed, in words. Raises Unwired."""
    git_folder, link = cache / "worktrees" / worktree.name, worktree / ".git"
    if worktree.is_symlink() or not worktree.is_dir():
        raise Unwired("the agent removed its own worktree: its work is lost")
    if not (git_folder / "HEAD").is_file():
        raise Unwired("the agent removed its worktree from the repository: its commits can't be told")
    for lock in git_folder.glob("*.lock"):
        folders.remove(lock)  # of a git that has been ended
    changed = []
    if link.is_symlink() or not link.is_file() or not _leads_to(link, git_folder):
        if link.is_symlink() or link.exists():
            folders.remove(link)
        link.write_text(f"gitdir: {git_folder}\n")
        changed.append("the worktree's .git")
    common = git_folder / "commondir"
    if not _is(common, f"{_COMMON}\n".encode()):
        folders.remove(common)
        common.write_text(f"{_COMMON}\n")
        changed.append("where the worktree's repository is")
    return changed


def unfinished(cache: Path, worktree: Path) -> str | None:
    """What of git's own undertakings was left half-way, whose commit isn't the work."""
    git_folder = cache / "worktrees" / worktree.name
    if any((git_folder / name).exists() for name in ("rebase-merge", "rebase-apply")):
        return "a rebase"
    return "a bisection" if (git_folder / "BISECT_LOG").exists() else None


def _leads_to(link: Path, git_folder: Path) -> bool:
    try:
        said = link.read_text().removeprefix("gitdir: ").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return False
    return Path(said).resolve() == git_folder.resolve()


def _is(file: Path, wanted: bytes) -> bool:
    try:
        return not file.is_symlink() and file.read_bytes() == wanted
    except OSError:
        return False
