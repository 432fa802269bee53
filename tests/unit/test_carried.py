"""Untracked files are taken along to who starts from a branch, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.daemon.workspaces.untracked import MOST_KEPT, Carried


def worktree(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.mkdir(exist_ok=True)
    return folder


def test_named_files_and_folders_come_along_and_take_nobodys_place(tmp_path: Path) -> None:
    carried = Carried(tmp_path / "carried")
    first = worktree(tmp_path / "first", env="A=1", modules__a="a", modules__b__c="c", other="x")
    carried.keep(first, "makima/first", ["env", "modules", "absent"])
    second = worktree(tmp_path / "second", env="mine")
    assert carried.bring(second, "makima/first", ["env", "modules"]) == ["modules"]
    assert (second / "env").read_text() == "mine" and (second / "modules" / "b" / "c").read_text() == "c"
    assert not (second / "other").exists()
    assert carried.bring(worktree(tmp_path / "third"), "makima/another", ["env"]) == []


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../secret", "a/../../secret", ".git/config", "", "link/secret"])
def test_nothing_from_outside_comes_along(tmp_path: Path, pattern: str) -> None:
    worktree(tmp_path, secret="s")
    first = worktree(tmp_path / "first", **{".git__config": "c"})
    (first / "link").symlink_to(tmp_path)
    carried = Carried(tmp_path / "carried")
    carried.keep(first, "b", [pattern])
    assert carried.bring(worktree(tmp_path / "second"), "b", [pattern]) == []
    assert sorted(p.name for p in (tmp_path / "second").iterdir()) == []


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    carried = Carried(tmp_path / "carried")
    first = worktree(tmp_path / "first", env="A=1")
    for number in range(MOST_KEPT + 5):
        carried.keep(first, f"b{number}", ["env"])
    assert len(list((tmp_path / "carried").iterdir())) == MOST_KEPT
