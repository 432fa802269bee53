"""Workspaces on real repositories."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from services.daemon.git import command
from services.daemon.git.command import network_limits
from services.daemon.workspaces.workspace import WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.domain.names import StepRefs
from tests.workspace_harness import WorkspaceHarness, sh

pytestmark = pytest.mark.anyio


async def test_a_diamond_carries_both_sides_and_its_leftovers(shop: WorkspaceHarness) -> None:
    assert await shop.work(shop.command("top"), top="1\n") == ("top.txt",)
    left, right = (shop.command(n, start_from="makima/top") for n in ("left", "right"))
    await asyncio.gather(shop.work(left, left="1\n"), shop.work(right, right="1\n"))
    join = shop.command("join", start_from="makima/left", merge_branches=("makima/right",))
    assert await shop.work(join, join="1\n") == ("join.txt",)
    assert shop.files("makima/join") == ["a.txt", "join.txt", "left.txt", "right.txt", "top.txt"]
    assert str(join.task) in sh(shop.remote, "git", "log", "-1", "--format=%B", "makima/join")
    assert "Merge makima/right" in sh(shop.remote, "git", "log", "--format=%s", "makima/join")


@pytest.mark.parametrize("where", ["refs/heads", "refs/makima"])
async def test_branches_of_our_own_are_not_fetched(
    shop: WorkspaceHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: StepRefs
) -> None:
    shop.workspaces = Workspaces(tmp_path / "d", where)
    await shop.work(shop.command("top"), top="1\n")
    said: list[str] = []
    run = command._run

    async def noted(folder: Path, arguments: tuple[str, ...], *more: Any) -> tuple[bytes, bytes]:
        said.append(command._verb(arguments))
        return await run(folder, arguments, *more)

    monkeypatch.setattr(command, "_run", noted)
    await shop.work(shop.command("next", start_from="makima/top"), next="1\n")
    assert sorted(said[2:4]) == ["diff", "ls-files"]
    assert [*said[:2], *said[4:]] == [
        "for-each-ref",
        "read-tree",
        "update-index",
        "write-tree",
        "commit-tree",
        "merge-base",
        "diff-tree",
        "push",
    ]


async def test_steps_outside_of_the_branches_are_started_from_and_merged_by_whichever_daemon(
    shop: WorkspaceHarness, tmp_path: Path
) -> None:
    shop.workspaces = Workspaces(tmp_path / "d", "refs/makima")
    for name in ("left", "right"):
        await shop.work(shop.command(name), **{name: "1\n"})
    assert sh(shop.remote, "git", "for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/heads/main",
        "refs/makima/left",
        "refs/makima/right",
    ]
    shop.workspaces = Workspaces(tmp_path / "other")  # of another setting, too
    await shop.workspaces.remove_orphans()
    await shop.work(shop.command("join", start_from="makima/left", merge_branches=("makima/right",)), join="1\n")
    assert shop.files("makima/join") == ["a.txt", "join.txt", "left.txt", "right.txt"]


async def test_a_base_that_moved_is_seen(shop: WorkspaceHarness) -> None:
    await shop.work(shop.command("one"))
    (shop.local / "b.txt").write_text("b\n")
    sh(shop.local, "git", "add", ".")
    sh(shop.local, "git", "commit", "-qm", "second")
    sh(shop.local, "git", "push", "-q", str(shop.remote), "main")
    await shop.work(shop.command("two"))
    assert shop.files("makima/one") == ["a.txt"] and shop.files("makima/two") == ["a.txt", "b.txt"]


async def test_a_conflict_names_its_files_and_branches(shop: WorkspaceHarness) -> None:
    await shop.work(shop.command("left"), a="left\n")
    await shop.work(shop.command("right"), a="right\n")
    join = shop.command("join", start_from="makima/left", merge_branches=("makima/right",))
    made = await shop.workspaces.make(join)
    assert str(made.stopped) == "makima/right conflicts with makima/left in a.txt"
    assert (made.folder / "a.txt").read_text().startswith("<<<<<<< ")
    await shop.workspaces.discard(join)
    assert shop.workspaces.held() == ()


async def test_a_completion_delivers_and_delivers_again(shop: WorkspaceHarness) -> None:
    await shop.work(shop.command("one"), one="1\n")
    await shop.work(shop.command("two"), two="1\n")
    more = {"kind": "completion", "agent": "native", "target_branch": "makima/directive-x"}
    assert await shop.work(shop.command("first", merge_branches=("makima/one",), **more)) == ("one.txt",)
    await shop.work(shop.command("again", merge_branches=("makima/two",), **more))
    assert shop.files("makima/directive-x") == ["a.txt", "one.txt", "two.txt"]


async def test_a_repository_with_uncommitted_changes_is_not_touched(shop: WorkspaceHarness) -> None:
    (shop.local / "a.txt").write_text("in work\n")
    (shop.local / "new.txt").write_text("new\n")
    before = sh(shop.local, "git", "status", "--porcelain=v2", "--branch")
    await shop.work(shop.command("one", repository_url=str(shop.local)), a="theirs\n")
    assert sh(shop.local, "git", "status", "--porcelain=v2", "--branch") == before
    assert (shop.local / "a.txt").read_text() == "in work\n"
    heads = sh(shop.local, "git", "for-each-ref", "--format=%(refname)")
    assert heads.splitlines() == ["refs/heads/main", "refs/heads/makima/one"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"start_from": "makima/gone"}, "'makima/gone', where this task starts, is not on the remote"),
        ({"merge_branches": ("makima/gone",)}, "not on the remote: makima/gone"),
        ({"base_branch": "gone"}, "the base branch 'gone' doesn't exist"),
        ({"repository_url": "/nowhere"}, "/nowhere can't be cloned"),
    ],
)
async def test_what_is_not_there_is_said(shop: WorkspaceHarness, more: dict[str, object], words: str) -> None:
    with pytest.raises(WorkspaceFailed, match=words) as raised:
        await shop.workspaces.make(shop.command("one", **more))
    assert raised.value.permanent


async def test_an_empty_repository_is_said(shop: WorkspaceHarness, tmp_path: Path) -> None:
    sh(tmp_path, "git", "init", "--quiet", "--bare", "empty.git")
    with pytest.raises(WorkspaceFailed, match="the repository is empty: make a first commit"):
        await shop.workspaces.make(shop.command("one", repository_url=str(tmp_path / "empty.git")))


async def test_orphans_are_removed_and_their_branch_can_be_made_again(shop: WorkspaceHarness, tmp_path: Path) -> None:
    command = shop.command("one")
    await shop.workspaces.make(command)
    assert shop.workspaces.held() == (command.task,)
    later = Workspaces(tmp_path / "d")
    await later.remove_orphans()
    assert later.held() == ()
    assert (await later.make(command)).folder.exists()


async def test_a_remote_that_never_answers_is_waited_for_so_long_and_can_be_asked_again(
    shop: WorkspaceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_limits, "whole", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listens:
        url = f"git://127.0.0.1:{listens.getsockname()[1]}/r.git"
        with pytest.raises(WorkspaceFailed, match="did not answer within 1 s") as late:
            await shop.workspaces.make(shop.command("one", repository_url=url))
    assert not late.value.permanent
