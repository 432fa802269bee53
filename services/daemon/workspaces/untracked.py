"""Untracked files that are taken along from a step to the steps that start from its branch, on one daemon (rule 17)."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

MOST_KEPT = 20
"""Of so many branches the files are kept, the newest ones."""


class Carried:
    """A folder a branch, under one daemon's folder. Blocking: for a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, worktree: Path, branch: str, patterns: Iterable[str]) -> None:
        """Keep what the patterns name in a worktree, for whoever starts from its branch."""
        kept = self._of(branch)
        shutil.rmtree(kept, ignore_errors=True)
        for path in _named(worktree, patterns):
            _copy(worktree / path, kept / path)
        if self._folder.exists():
            by_age = sorted(self._folder.iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)
            for old in by_age[MOST_KEPT:]:
                shutil.rmtree(old, ignore_errors=True)

    def bring(self, worktree: Path, branch: str, patterns: Iterable[str]) -> list[str]:
        """Put what was kept of a branch into a fresh worktree, where nothing is in its place; what was put there."""
        kept = self._of(branch)
        brought = [p for p in _named(kept, patterns) if not (worktree / p).exists()]
        for path in brought:
            _copy(kept / path, worktree / path)
        return [str(path) for path in brought]

    def _of(self, branch: str) -> Path:
        return self._folder / hashlib.sha256(branch.encode()).hexdigest()[:16]


def _named(folder: Path, patterns: Iterable[str]) -> list[Path]:
    """The files and folders of the patterns that lie in a folder, and not, by a link, somewhere else."""
    root = folder.resolve()
    found = []
    for pattern in patterns:
        parts = PurePosixPath(pattern).parts
        if not parts or pattern.startswith("/") or ".." in parts or parts[0] == ".git":
            continue
        found += [p.relative_to(root) for p in root.glob(pattern) if p.resolve().is_relative_to(root)]
    return sorted(set(found))


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
