"""Git beside others in one repository: what passes by itself is tried again, all else is said at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.daemon.git import contended
from services.daemon.git.command import GitError

pytestmark = pytest.mark.anyio


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


def left_behind(folder: Path) -> str:
    """A lock of a git that was ended; what git says of it."""
    lock = folder / "refs" / "main.lock"
    lock.parent.mkdir()
    lock.touch()
    os.utime(lock, (0, 0))
    return f"fatal: Unable to create '{lock}': File exists."


async def test_a_lock_that_was_left_behind_is_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = saying(monkeypatch, left_behind(tmp_path))
    await contended.git_beside_others(tmp_path, "fetch", "origin")
    assert asked == [("fetch", "origin")] * 2 and not list((tmp_path / "refs").iterdir())


@pytest.mark.parametrize("said", ["fatal: couldn't find remote ref HEAD", "fatal: Invalid path '/srv/elsewhere'"])
async def test_anything_else_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str) -> None:
    asked = saying(monkeypatch, said)
    with pytest.raises(GitError, match="fatal"):
        await contended.git_beside_others(tmp_path, "fetch", "origin")
    assert len(asked) == 1


async def test_what_does_not_pass_is_said_in_the_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = saying(monkeypatch, *[left_behind(tmp_path)] * 99)
    with pytest.raises(GitError, match="Unable to create"):
        await contended.git_beside_others(tmp_path, "fetch", "origin")
    assert len(asked) == 10
