"""What attempts leave in their workspaces, committed and pushed on real repositories."""

from __future__ import annotations

import pytest

from services.daemon.workspaces import work
from services.daemon.workspaces.workspace import WorkspaceFailed
from tests.workspace_harness import WorkspaceHarness, sh

pytestmark = pytest.mark.anyio


async def test_what_an_attempt_committed_is_told_oldest_first_without_what_it_began_with(
    shop: WorkspaceHarness,
) -> None:
    await shop.work(shop.command("top"), top="1\n")
    await shop.work(shop.command("side"), side="1\n")
    join = shop.command("join", start_from="makima/top", merge_branches=("makima/side",))
    made = await shop.workspaces.make(join)
    for subject in ("Say `$(x)` é", "x" * 300):
        sh(made.folder, "git", "commit", "-q", "--allow-empty", "-m", subject)
    (made.folder / "left.txt").write_text("l\n")
    done = await work.Worked.of(made, join).gather()
    commits = await work.commits(made, done)
    assert [c.subject for c in commits] == ["Say `$(x)` é", "x" * 200, "join"] and commits[-1].sha == done.head


async def test_a_branch_that_is_there_already_is_not_overwritten(shop: WorkspaceHarness) -> None:
    await shop.work(shop.command("one"), one="1\n")
    with pytest.raises(WorkspaceFailed, match="the push of makima/one was refused"):
        await shop.work(shop.command("other", branch="makima/one"), one="2\n")


async def test_unresolved_conflicts_are_not_committed(shop: WorkspaceHarness) -> None:
    await shop.work(shop.command("left"), a="left\n")
    command = shop.command("one")
    made = await shop.workspaces.make(command)
    (made.folder / "a.txt").write_text("mine\n")
    sh(made.folder, "git", "commit", "-qam", "mine")
    sh(made.folder, "git", "fetch", "-q", "origin")
    sh(made.folder, "git", "merge", "origin/makima/left", check=False)
    with pytest.raises(WorkspaceFailed, match=r"conflicts unresolved in a\.txt"):
        await work.Worked.of(made, command).gather()


async def test_line_ends_that_the_repository_never_kept_as_it_says_are_left_alone(shop: WorkspaceHarness) -> None:
    (shop.local / "mixed.txt").write_bytes(b"a\r\nb\nc\r\n")
    (shop.local / "kept.txt").write_bytes(b"a\r\nb\n")
    shop.publish("mixed")
    (shop.local / ".gitattributes").write_text("*.txt text eol=crlf\n")
    sh(shop.local, "git", "update-index", "--assume-unchanged", "mixed.txt", "kept.txt")
    shop.publish("attributes")
    command = shop.command("one")
    made = await shop.workspaces.make(command)
    for name in ("mixed.txt", "kept.txt"):
        (made.folder / name).touch()  # git looks at it again
    (made.folder / "kept.txt").write_bytes(b"a\r\nb\r\nmore\r\n")
    assert (await work.Worked.of(made, command).gather()).files == ("kept.txt",)


@pytest.mark.long
async def test_no_number_of_changed_files_is_too_large_for_a_command_line(shop: WorkspaceHarness) -> None:
    (shop.local / ".gitattributes").write_text("*.txt text\n")
    folder = shop.local / ("d" * 200) / ("e" * 200)
    folder.mkdir(parents=True)
    files = [folder / f"{n}.txt" for n in range(6000)]
    for file in files:
        file.write_text("a\n")
    shop.publish("many")
    command = shop.command("one")
    made = await shop.workspaces.make(command)
    for file in files:
        (made.folder / file.relative_to(shop.local)).write_text("b\n")
    assert len((await work.Worked.of(made, command).gather()).files) == len(files)


async def test_line_ends_of_files_that_were_never_touched_are_left_alone(shop: WorkspaceHarness) -> None:
    (shop.local / "old.txt").write_bytes(b"a\r\nb\r\n")
    shop.publish("old")
    (shop.local / ".gitattributes").write_text("*.txt text\n")
    shop.publish("text")
    command = shop.command("one")
    made = await shop.workspaces.make(command)
    (made.folder / "old.txt").touch()  # git looks at it again
    (made.folder / "one.txt").write_text("1\n")
    assert (await work.Worked.of(made, command).gather()).files == ("one.txt",)
