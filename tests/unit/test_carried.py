"""Untracked files are taken along to who starts from a branch, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.daemon.workspaces.repository import RepositoryUnreadable, parse
from services.daemon.workspaces.untracked import MAX_KEPT, Carried


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
    for number in range(MAX_KEPT + 5):
        carried.keep(first, f"b{number}", ["env"])
    assert len(list((tmp_path / "carried").iterdir())) == MAX_KEPT


def held(folder: Path) -> list[str]:
    """All that lies in a folder, without following a link."""
    return sorted(str(Path(at, n).relative_to(folder)) for at, inner, names in os.walk(folder) for n in inner + names)


@pytest.mark.parametrize("pattern", ["out/x", "out/deep/x", "out", "out/**", "deep/out/x"])
def test_nothing_is_written_through_a_link_of_the_worktree(tmp_path: Path, pattern: str) -> None:
    first = worktree(tmp_path / "first", out__x="evil", out__deep__x="evil", deep__out__x="evil")
    outside = worktree(tmp_path / "outside")
    second = worktree(tmp_path / "second", deep__a="a")
    (second / "out").symlink_to(outside)
    (second / "deep" / "out").symlink_to("../../outside")
    carried = Carried(tmp_path / "carried")
    carried.keep(first, "b", [pattern])
    assert carried.bring(second, "b", [pattern]) == []
    assert held(outside) == []


@pytest.mark.parametrize("pattern", ["folder", "folder/*", "folder/x", "**/x"])
def test_nothing_is_read_through_a_link_of_the_worktree(tmp_path: Path, pattern: str) -> None:
    worktree(tmp_path / "outside", x="secret", deep__x="secret")
    first = worktree(tmp_path / "first", folder__own="mine")
    (first / "folder" / "x").symlink_to("../../outside/x")
    (first / "folder" / "deep").symlink_to(tmp_path / "outside")
    carried = Carried(tmp_path / "carried")
    carried.keep(first, "b", [pattern])
    second = worktree(tmp_path / "second")
    carried.bring(second, "b", [pattern])
    for folder in (tmp_path / "carried", second):
        kept = [Path(at, n) for at, inner, names in os.walk(folder) for n in inner + names]
        assert all(p.is_symlink() or "secret" not in p.read_text() for p in kept if not p.is_dir() or p.is_symlink())


def test_a_link_a_pipe_and_a_mode_stay_what_they_are_or_stay_away(tmp_path: Path) -> None:
    first = worktree(tmp_path / "first", m__run="#!", m__a="a")
    (first / "m" / "run").chmod(0o755)
    (first / "m" / "link").symlink_to("a")
    os.mkfifo(first / "m" / "pipe")
    carried = Carried(tmp_path / "carried")
    carried.keep(first, "b", ["m"])
    second = worktree(tmp_path / "second")
    assert carried.bring(second, "b", ["m"]) == ["m"]
    assert held(second / "m") == ["a", "link", "run"]
    assert (second / "m" / "run").stat().st_mode & 0o777 == 0o755 and (second / "m" / "link").readlink() == Path("a")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = " + "[" * 5000, "it may name: setup"),
        ("setup = 'a'\n" * 6000, "longer than 64 KiB"),
        ("copy_files = ['../x']", "copy_files can't name '../x'"),
        ("copy_files = ['a**']", "copy_files can't name 'a**'"),
        ("copy_files = ['.git/hooks']", "copy_files can't name"),
        ("setup = 1", "it may name: setup"),
        ("agent = ['x']", "it may name: setup"),
        ("wrong = 1", "it may name: setup"),
        ('setup = """\na', "it may name: setup"),
        ('setup = "a\\u0000b"', "NUL"),
        ('"' + "\n" * 10, "it may name: setup"),
    ],
)
def test_a_repositorys_settings_that_cant_be_are_said_in_one_line(text: str, why: str) -> None:
    with pytest.raises(RepositoryUnreadable) as unreadable:
        parse(text)
    said = str(unreadable.value)
    assert why in said and said.splitlines() == [said] and len(said) < 700 and ".makima.toml of the base branch" in said
