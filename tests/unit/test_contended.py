"""Git beside others in one repository: what passes by itself is tried again, all else is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.daemon.git import contended
from services.daemon.git.command import GitError

pytestmark = pytest.mark.anyio
MADE = "fatal: bad object worktrees/5254174da9819d0a-1/HEAD"
EMPTY = "error: failed to read worktrees/5254174da9819d0a-1/commondir"
REMOVED = """fatal: Invalid path '/m/058a.git/worktrees/5254174da9819d0a-1': No such file or directory
error: /srv/origin.git did not send all necessary objects"""
"""What git 2.39 said beside worktrees that were being made, and removed."""


def saying(monkeypatch: pytest.MonkeyPatch, *said: str) -> list[tuple[str, ...]]:
    """A git that says this, one after another, and then succeeds; what it was asked."""
    asked: list[tuple[str, ...]] = []

    async def git(_folder: Path, *arguments: str) -> str:
        asked.append(arguments)
        if len(asked) <= len(said):
            raise GitError(arguments, 128, said[len(asked) - 1])
        return ""

    monkeypatch.setattr(contended, "git", git)
    monkeypatch.setattr(contended, "_BETWEEN_TRIES_SECONDS", 0.0)
    return asked


async def test_a_worktree_that_is_made_or_removed_beside_it_fails_no_fetch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = saying(monkeypatch, MADE, REMOVED, EMPTY)
    await contended.git_beside_others(tmp_path, "fetch", "origin")
    assert asked == [("fetch", "origin")] * 4


@pytest.mark.parametrize("said", ["fatal: couldn't find remote ref HEAD", "fatal: Invalid path '/srv/elsewhere'"])
async def test_anything_else_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    asked = saying(monkeypatch, said)
    with pytest.raises(GitError, match="fatal"):
        await contended.git_beside_others(tmp_path, "fetch", "origin")
    assert len(asked) == 1


async def test_what_does_not_pass_is_said_in_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = saying(monkeypatch, *[REMOVED] * 99)
    with pytest.raises(GitError, match="Invalid path"):
        await contended.git_beside_others(tmp_path, "fetch", "origin")
    assert len(asked) == 10
