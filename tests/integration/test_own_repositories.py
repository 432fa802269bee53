"""Each attempt has a repository of its own: nothing of it reaches another, and what it made is taken by content."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.daemon.workspaces.beginning import Beginning, lay_out
from services.daemon.workspaces.leftovers import Limits
from services.daemon.workspaces.work import Work, Worked, push_to_remote
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed
from shared.messages.commands import SpawnTask
from tests.workspace_harness import WorkspaceHarness, sh

pytestmark = pytest.mark.anyio


def git(folder: Path, *arguments: str) -> str:
    """Git as an agent runs it."""
    return sh(folder, "git", *arguments)


def commit(folder: Path, name: str, text: str = "x\n") -> None:
    """What an agent commits."""
    (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "-qm", name)


async def begun(shop: WorkspaceHarness, name: str, **more: object) -> tuple[SpawnTask, Workspace, Worked]:
    command = shop.command(name, **more)
    made = await shop.workspaces.make(command)
    return command, made, Worked.of(made, command)


async def ended(worked: Worked) -> Work:
    work = await worked.gather()
    await push_to_remote(worked, work)
    return work


def replace_the_base(folder: Path) -> None:
    base = git(folder, "rev-parse", "HEAD")
    commit(folder, "backdoor.txt")
    git(folder, "replace", "-f", base, "HEAD")
    git(folder, "reset", "-q", "--hard", base)


def ignore_everything(folder: Path) -> None:
    for place in ("info/exclude", "info/attributes"):
        path = Path(git(folder, "rev-parse", "--git-path", place))
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("*\n" if "exclude" in place else "* filter=evil\n")


def move_a_branch_of_the_remote(folder: Path) -> None:
    commit(folder, "backdoor.txt")
    for ref in ("refs/remotes/origin/main", "refs/remotes/origin/makima/top", "refs/tags/v1", "refs/makima/head"):
        git(folder, "update-ref", ref, "HEAD")
    git(folder, "reset", "-q", "--hard", "HEAD~1")


def leave_a_stash(folder: Path) -> None:
    (folder / "a.txt").write_text("stashed\n")
    git(folder, "stash", "-q")


def leave_traps(folder: Path) -> None:
    trap = folder.parent.parent / "trap"
    trap.write_text(f"#!/bin/sh\necho $0 >> {folder.parent.parent}/sprung\nexit 1\n")
    trap.chmod(0o755)
    for key in ("core.fsmonitor", "core.sshCommand", "filter.x.clean", "core.hooksPath", "remote.origin.uploadpack"):
        git(folder, "config", key, str(trap))
    hooks = folder / ".git" / "hooks"
    hooks.mkdir()
    for hook in ("pre-commit", "pre-push", "reference-transaction", "post-index-change"):
        (hooks / hook).symlink_to(trap)
    (folder / ".gitattributes").write_text("* filter=x\n")


def grow_shallow(folder: Path) -> None:
    (folder / ".git" / "shallow").write_text(git(folder, "rev-parse", "HEAD") + "\n")


@pytest.mark.parametrize(
    "attack",
    [
        replace_the_base,
        ignore_everything,
        move_a_branch_of_the_remote,
        leave_a_stash,
        leave_traps,
        grow_shallow,
        lambda folder: git(folder, "config", "user.name", "Mallory"),
        lambda folder: (folder / ".git" / "objects" / "info" / "alternates").write_text("/nowhere\n"),
    ],
    ids=lambda attack: getattr(attack, "__name__", ""),
)
async def test_what_an_agent_does_to_its_repository_reaches_no_other_task(
    shop: WorkspaceHarness, attack: Callable[[Path], object]
) -> None:
    await shop.work(shop.command("top"), top="1\n")
    attacker, made, worked = await begun(shop, "attacker")
    beside, honest, beside_worked = await begun(shop, "beside")
    attack(made.folder)
    try:
        await ended(worked)
    except WorkspaceFailed:
        assert attack is not leave_a_stash
    await shop.workspaces.discard(attacker)
    assert git(honest.folder, "stash", "list") == "" and git(honest.folder, "tag") == ""
    assert git(honest.folder, "log", "-1", "--format=%an") == "x"
    (honest.folder / "beside.txt").write_text("1\n")
    assert (await ended(beside_worked)).files == ("beside.txt",)
    await shop.workspaces.discard(beside)
    assert await shop.work(shop.command("later", start_from="makima/top"), later="1\n") == ("later.txt",)
    assert shop.files("makima/later") == ["a.txt", "later.txt", "top.txt"]
    assert shop.files("makima/beside") == ["a.txt", "beside.txt"]
    assert not (made.folder.parent.parent / "sprung").exists()


async def test_a_nested_repository_with_traps_runs_nothing(shop: WorkspaceHarness) -> None:
    _, made, worked = await begun(shop, "one")
    for name in ("inner", "bare.git"):
        options = ["--bare"] if name == "bare.git" else []
        git(made.folder, "init", "-q", *options, name)
        leave_trap = made.folder.parent.parent / "sprung"
        git(made.folder / name, "config", "core.fsmonitor", f"touch {leave_trap}")
    with pytest.raises(WorkspaceFailed, match="a git repository of its own in inner"):
        await worked.gather()
    assert not leave_trap.exists()


@pytest.mark.parametrize(
    "does",
    [
        lambda folder: git(folder, "checkout", "-qb", "mine"),
        lambda folder: git(folder, "checkout", "-q", "--detach"),
        lambda folder: (commit(folder, "gone.txt"), git(folder, "reset", "-q", "--hard", "HEAD~1")),
        lambda folder: git(folder, "worktree", "add", "-q", "../beside"),
        lambda folder: git(folder, "gc", "-q"),
        lambda folder: git(folder, "pack-refs", "--all"),
        lambda folder: git(folder, "fetch", "-q", "--depth", "1", "origin", "main"),
        lambda folder: git(folder, "tag", "-am", "v1", "v1"),
        lambda folder: git(folder, "repack", "-qad"),
        lambda folder: git(folder, "update-index", "--split-index"),
    ],
    ids=["branch", "detach", "reset", "worktree", "gc", "pack-refs", "fetch", "tag", "repack", "split index"],
)
async def test_whatever_git_lets_an_agent_do_in_its_repository_it_may_do(
    shop: WorkspaceHarness, does: Callable[[Path], object]
) -> None:
    _, made, worked = await begun(shop, "one")
    does(made.folder)
    commit(made.folder, "one.txt")
    (made.folder / "two.txt").write_text("2\n")
    assert (await ended(worked)).files == ("one.txt", "two.txt")
    assert shop.files("makima/one") == ["a.txt", "one.txt", "two.txt"]


async def test_files_left_out_by_a_sparse_checkout_are_not_taken_for_deleted(shop: WorkspaceHarness) -> None:
    (shop.local / "deep").mkdir()
    (shop.local / "deep" / "b.txt").write_text("b\n")
    shop.publish("deep")
    _, made, worked = await begun(shop, "one")
    git(made.folder, "sparse-checkout", "set", "--no-cone", "/a.txt", "/one.txt")
    assert not (made.folder / "deep").exists()
    (made.folder / "one.txt").write_text("1\n")
    assert (await ended(worked)).files == ("one.txt",)


async def test_what_an_agent_pushed_itself_and_then_amended_is_pushed_over(shop: WorkspaceHarness) -> None:
    _, made, worked = await begun(shop, "one")
    commit(made.folder, "one.txt")
    git(made.folder, "push", "-q", "origin", "HEAD")
    (made.folder / "one.txt").write_text("more\n")
    git(made.folder, "commit", "-qa", "--amend", "-m", "amended")
    await ended(worked)
    assert sh(shop.remote, "git", "show", "makima/one:one.txt") == "more"


async def test_what_somebody_else_pushed_to_its_branch_is_not(shop: WorkspaceHarness) -> None:
    _, made, worked = await begun(shop, "one")
    theirs = shop.publish("theirs") if (shop.local / "b.txt").write_text("b\n") else ""
    sh(shop.local, "git", "push", "-q", str(shop.remote), "HEAD:refs/heads/makima/one")
    commit(made.folder, "one.txt")
    with pytest.raises(WorkspaceFailed, match=f"somebody else pushed {theirs[:12]}") as raised:
        await ended(worked)
    assert raised.value.permanent and sh(shop.remote, "git", "rev-parse", "makima/one") == theirs


@pytest.mark.parametrize(
    "rewrites",
    [
        lambda folder: git(folder, "commit", "-q", "--amend", "-m", "another start"),
        lambda folder: (git(folder, "checkout", "-q", "--orphan", "new"), git(folder, "commit", "-qm", "new root")),
    ],
    ids=["amended", "orphan"],
)
async def test_work_whose_history_was_rewritten_is_put_on_top_of_its_start_and_said(
    shop: WorkspaceHarness, rewrites: Callable[[Path], object]
) -> None:
    await shop.work(shop.command("top"), top="1\n")
    _, made, worked = await begun(shop, "one", start_from="makima/top")
    (made.folder / "one.txt").write_text("1\n")
    git(made.folder, "add", "--all")
    rewrites(made.folder)
    work = await ended(worked)
    assert work.files == ("one.txt",) and "its history was rewritten" in work.notes[0]
    assert sh(shop.remote, "git", "rev-parse", "makima/one~1") == made.start
    assert shop.files("makima/one") == ["a.txt", "one.txt", "top.txt"]


async def test_broken_objects_are_refused_in_words_and_are_in_nobodys_way(shop: WorkspaceHarness) -> None:
    attacker, made, worked = await begun(shop, "attacker")
    commit(made.folder, "one.txt", "one\n")
    blob = git(made.folder, "rev-parse", "HEAD:one.txt")
    (made.folder / "two.txt").write_text("two\n")
    other = git(made.folder, "hash-object", "-w", "two.txt")
    objects = made.folder / ".git" / "objects"
    where = objects / blob[:2] / blob[2:]
    where.chmod(0o644)
    where.write_bytes((objects / other[:2] / other[2:]).read_bytes())
    with pytest.raises(WorkspaceFailed, match="the commits that the agent made can't be taken"):
        await worked.gather()
    await shop.workspaces.discard(attacker)
    assert await shop.work(shop.command("honest"), one="one\n") == ("one.txt",)


@pytest.mark.parametrize("name", ["HEAD", "refs", "objects", "config", "index", "packed-refs"])
async def test_a_repository_of_links_leads_the_daemon_nowhere(
    shop: WorkspaceHarness, tmp_path: Path, name: str
) -> None:
    _, made, worked = await begun(shop, "one")
    commit(made.folder, "one.txt")
    moved = tmp_path / "moved"
    path = made.folder / ".git" / name
    if path.exists():
        path.rename(moved)
    path.symlink_to(moved)
    if name in ("HEAD", "refs", "objects"):
        with pytest.raises(WorkspaceFailed):
            await worked.gather()
    else:
        assert (await worked.gather()).files == ("one.txt",)


# What counts as its work


async def test_what_setup_made_is_not_the_agents_unless_it_changes_it_further(shop: WorkspaceHarness) -> None:
    (shop.local / "lock.json").write_text("1\n")
    (shop.local / "other.json").write_text("1\n")
    shop.publish("lock")
    _, made, worked = await begun(shop, "one")
    (made.folder / "node_modules").mkdir()
    (made.folder / "node_modules" / "x.js").write_text("x\n")
    for name in ("lock.json", "other.json"):
        (made.folder / name).write_text("by setup\n")
    await worked.begun()
    (made.folder / "node_modules" / "x.js").write_text("edited\n")
    (made.folder / "other.json").write_text("by setup and the agent\n")
    (made.folder / "one.txt").write_text("1\n")
    assert (await worked.gather()).files == ("one.txt", "other.json")


async def test_what_setup_committed_is_refused_in_words_instead_of_delivered(shop: WorkspaceHarness) -> None:
    _, made, worked = await begun(shop, "one")
    await worked.before_setup()
    (made.folder / "a.txt").write_text("by setup\n")
    await worked.begun()
    sh(made.folder, "git", "commit", "-qam", "by setup")
    with pytest.raises(WorkspaceFailed, match=r"setup left another commit checked out \([0-9a-f]{12}\)") as refused:
        await worked.begun()
    assert refused.value.permanent


async def test_what_a_check_wrote_is_not_the_agents(shop: WorkspaceHarness) -> None:
    _, made, worked = await begun(shop, "one")
    (made.folder / "one.txt").write_text("1\n")
    await worked.before_check()
    (made.folder / "junit.xml").write_text("<x/>\n")
    (made.folder / "a.txt").write_text("formatted by the check\n")
    assert worked.sealed is not None and worked.sealed.files == ("one.txt",)
    await worked.check_failed()
    (made.folder / "one.txt").write_text("2\n")
    (made.folder / "two.txt").write_text("2\n")
    await worked.before_check()
    assert worked.sealed is not None and worked.sealed.files == ("one.txt", "two.txt")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "A=1\n"),
        ("conf/.env.local", "A=1\n"),
        ("id_ed25519", "x\n"),
        ("server.pem", "-----BEGIN PRIVATE KEY-----\nx\n"),
        ("settings.py", "TOKEN = 'correct horse battery'\n"),
    ],
)
async def test_files_that_look_like_credentials_stay_out_and_are_named(
    shop: WorkspaceHarness, name: str, text: str
) -> None:
    command, made, _ = await begun(shop, "one")
    worked = Worked.of(made, command, is_secret=lambda found: "correct horse battery" in found)
    (made.folder / name).parent.mkdir(exist_ok=True)
    for file, content in ((name, text), ("one.txt", "1\n"), (".env.example", "A=\n")):
        (made.folder / file).write_text(content)
    work = await worked.gather()
    assert work.files == (".env.example", "one.txt")
    assert work.notes == (f"left out, since they look like credentials: {name}",)
    allowed = Worked.of(made, command, Limits(allowed=(name,)), lambda found: "correct horse battery" in found)
    assert name in (await allowed.gather()).files


async def test_a_flood_of_new_files_is_asked_about_and_stays_out(shop: WorkspaceHarness) -> None:
    command, made, _ = await begun(shop, "one")
    worked = Worked.of(made, command, Limits(files=3))
    for n in range(5):
        (made.folder / f"{n}.o").write_text("x")
    (made.folder / "a.txt").write_text("changed\n")
    asked = await worked.unclaimed()
    assert asked is not None and "5 new files" in asked and "- 4.o" in asked
    work = await worked.gather()
    assert work.files == ("a.txt",) and "5 new files of 0.0 MiB: 0.o, 1.o" in work.notes[0]
    (made.folder / ".gitignore").write_text("*.o\n")
    assert await worked.unclaimed() is None and (await worked.gather()).files == (".gitignore", "a.txt")


async def test_a_few_large_files_are_a_flood_too_also_where_they_are_sparse(shop: WorkspaceHarness) -> None:
    command, made, _ = await begun(shop, "one")
    with (made.folder / "big").open("wb") as file:
        os.truncate(file.fileno(), 3 << 30)
    work = await Worked.of(made, command).gather()
    assert work.files == () and work.head == made.start and "1 new files of 3072.0 MiB: big" in work.notes[0]


async def test_the_password_of_an_address_is_not_told_to_the_agent(tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    commit_ = "1" * 40
    lay_out(folder, tmp_path, Beginning(commit=commit_, url="https://me:hunter2@example.org/a.git"))
    assert git(folder, "remote", "get-url", "origin") == "https://example.org/a.git"
    lay_out(folder, tmp_path, Beginning(commit=commit_, url="https://ghp_secret@example.org/a.git"))
    assert "ghp_secret" not in (folder / ".git" / "config").read_text()


async def test_a_merge_whose_conflicts_nobody_can_tell_is_not_taken_for_resolved(shop: WorkspaceHarness) -> None:
    await shop.work(shop.command("left"), a="left\n")
    _, made, worked = await begun(shop, "one")
    (made.folder / "a.txt").write_text("mine\n")
    git(made.folder, "commit", "-qam", "mine")
    git(made.folder, "update-index", "--split-index")
    git(made.folder, "fetch", "-q", "origin")
    sh(made.folder, "git", "merge", "origin/makima/left", check=False)
    with pytest.raises(WorkspaceFailed, match=r"conflicts unresolved|an index that can't be read"):
        await worked.gather()


async def test_a_key_deep_in_a_file_is_found(shop: WorkspaceHarness) -> None:
    command, made, _ = await begun(shop, "one")
    (made.folder / "dump.txt").write_text("x\n" * (2 << 20) + "the secret\n")
    worked = Worked.of(made, command, is_secret=lambda text: "the secret" in text)
    assert (await worked.gather()).notes == ("left out, since they look like credentials: dump.txt",)
