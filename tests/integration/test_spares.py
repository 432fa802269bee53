"""A worktree that an attempt has left is put back, and begins the next one's, with nothing of what was done to it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from services.daemon.disk import folders
from services.daemon.workspaces import spares as module
from services.daemon.workspaces.workspace import Workspace
from services.daemon.workspaces.workspaces import Workspaces
from shared.domain.ids import new_id
from shared.messages.commands import SpawnTask
from tests.daemon_harness import sh

pytestmark = pytest.mark.anyio
FILES = 60


class SparesHarness:
    """A remote with a few folders of files, and a daemon's workspaces that keep two worktrees."""

    def __init__(self, folder: Path) -> None:
        self.local = folder / "local"
        sh(folder, "git", "init", "--quiet", "-b", "main", "local")
        self.remote = folder / "remote.git"
        sh(folder, "git", "init", "--quiet", "--bare", "-b", "main", str(self.remote))
        for n in range(FILES):
            file = self.local / f"d{n % 5}" / f"file{n}.txt"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"file {n}\n")
        self.commit(".gitignore", "*.ignored\n")
        self.workspaces = Workspaces(folder / "d", spares=2)
        self.kept = folder / "d" / "spares"

    def commit(self, name: str, text: str) -> None:
        """A commit on the remote's main."""
        (self.local / name).write_text(text)
        sh(self.local, "git", "add", "--all")
        sh(self.local, "git", "commit", "-qm", name)
        sh(self.local, "git", "push", "-q", str(self.remote), "HEAD:main")

    async def begin(self, **more: object) -> tuple[SpawnTask, Workspace]:
        """An attempt, with its workspace."""
        task = new_id()
        values = {"kind": "step", "branch": f"makima/{task.hex[-8:]}", "repository_url": str(self.remote), **more}
        command = SpawnTask(task=task, attempt=1, owner="o", directive=new_id(), name="x", **values)  # type: ignore[arg-type]
        return command, await self.workspaces.make(command)

    async def left_by(self, done: Callable[[Path], object]) -> int:
        """An attempt does something to its worktree, and ends; the inode of the worktree."""
        command, made = await self.begin()
        inode = made.folder.stat().st_ino
        done(made.folder)
        await self.workspaces.discard(command)
        return inode

    def state(self, worktree: Path) -> tuple[str, dict[str, tuple[int, str]]]:
        """What git says of a worktree, and every file in it with its permissions."""
        files = {}
        for folder, folders_, names in os.walk(worktree):
            if ".git" in folders_:
                folders_.remove(".git")
            for name in names:
                path = Path(folder) / name
                files[str(path.relative_to(worktree))] = (path.stat().st_mode, path.read_text())
        return sh(worktree, "git", "status", "--porcelain", "--ignored"), files


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SparesHarness:
    monkeypatch.setattr(module, "WORTHWHILE_BYTES", 1)
    shop = SparesHarness(tmp_path)
    await shop.workspaces.remove_orphans()
    return shop


def forge_a_time(folder: Path) -> None:
    """The same size and the same time of change as before, with other words."""
    file = folder / "d0" / "file0.txt"
    before = file.stat()
    file.write_text("FILE 0\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def hide_from_git(folder: Path) -> None:
    sh(folder, "git", "update-index", "--assume-unchanged", "d0/file0.txt")
    sh(folder, "git", "update-index", "--skip-worktree", "d1/file1.txt")
    (folder / "d0" / "file0.txt").write_text("hidden\n")
    (folder / "d1" / "file1.txt").unlink()


def commit_and_rebase(folder: Path) -> None:
    (folder / "d0" / "file0.txt").write_text("mine\n")
    sh(folder, "git", "commit", "-qam", "mine")
    sh(folder, "git", "checkout", "-q", "--orphan", "another")
    sh(folder, "git", "rm", "-rqf", ".")
    (folder / "index.lock").touch()


def a_link_for_a_folder(folder: Path) -> None:
    shutil.rmtree(folder / "d2")
    (folder / "d2").symlink_to(folder.parent.parent)


def a_folder_for_a_file(folder: Path) -> None:
    file = folder / "d0" / "file0.txt"
    file.unlink()
    (file / "deep").mkdir(parents=True)
    (file / "deep" / "x").touch()


@pytest.mark.parametrize(
    "done",
    [
        lambda _: None,
        lambda folder: [(folder / name).write_text("x") for name in ("new", "a.ignored", "d0/file0.txt")],
        forge_a_time,
        hide_from_git,
        commit_and_rebase,
        a_link_for_a_folder,
        a_folder_for_a_file,
        lambda folder: shutil.rmtree(folder / "d3"),
        lambda folder: shutil.rmtree(folder / ".git"),
        lambda folder: (sh(folder, "git", "init", "-q", "sub"), (folder / "sub" / "x").touch()),
    ],
    ids=lambda done: getattr(done, "__name__", ""),
)
async def test_nothing_of_an_attempt_is_left_in_its_worktree(
    shop: SparesHarness, done: Callable[[Path], object]
) -> None:
    command, fresh = await shop.begin()
    wanted = shop.state(fresh.folder)
    await shop.workspaces.discard(command)
    inode = await shop.left_by(done)
    command, made = await shop.begin()
    assert made.folder.stat().st_ino == inode, "it is another worktree"
    assert shop.state(made.folder) == wanted and wanted[0] == ""
    assert sh(made.folder, "git", "rev-parse", "--abbrev-ref", "HEAD") == command.branch
    assert sh(made.folder, "git", "rev-parse", "HEAD") == made.start


@pytest.mark.parametrize(
    "done",
    [
        lambda folder: sh(folder, "git", "init", "-q", "d0"),
        lambda folder: (folder / "d0").chmod(0o777),
        lambda folder: folder.chmod(0o700),
        shutil.rmtree,
        lambda folder: (shutil.rmtree(folder), folder.symlink_to(folder.parent.parent)),
    ],
    ids=["a repository in a folder", "permissions", "its permissions", "gone", "a link"],
)
async def test_what_cannot_be_put_back_is_not_kept(
    shop: SparesHarness, done: Callable[[Path], object], tmp_path: Path
) -> None:
    await shop.left_by(done)
    assert not list(shop.kept.glob("*.tree"))
    _, made = await shop.begin()
    assert shop.state(made.folder)[0] == "" and len(shop.state(made.folder)[1]) == FILES + 1
    assert (tmp_path / "d" / "repositories").exists() and not made.folder.is_symlink()


@pytest.mark.parametrize(
    "done",
    [
        lambda folder: (folder / "d0" / "file0.txt").chmod(0o600),
        lambda folder: (folder.parent / "elsewhere").hardlink_to(folder / "d0" / "file0.txt"),
    ],
    ids=["permissions", "a hard link"],
)
async def test_what_git_does_not_see_is_not_left_either(shop: SparesHarness, done: Callable[[Path], object]) -> None:
    await shop.left_by(done)
    _, made = await shop.begin()
    found = (made.folder / "d0" / "file0.txt").stat()
    assert (found.st_nlink, found.st_mode) == (1, (made.folder / "d1" / "file1.txt").stat().st_mode)


async def test_it_begins_at_another_commit_with_what_differs(shop: SparesHarness) -> None:
    inode = await shop.left_by(lambda folder: (folder / "d0" / "file0.txt").write_text("mine"))
    shop.commit("d0/file0.txt", "theirs\n")
    _, made = await shop.begin()
    assert made.folder.stat().st_ino == inode
    assert (made.folder / "d0" / "file0.txt").read_text() == "theirs\n" and shop.state(made.folder)[0] == ""


async def test_files_that_are_to_be_written_in_another_way_are_written_anew(shop: SparesHarness) -> None:
    await shop.left_by(lambda _: None)
    shop.commit(".gitattributes", "*.txt text eol=crlf\n")
    _, made = await shop.begin()
    assert (made.folder / "d0" / "file0.txt").read_bytes() == b"file 0\r\n"


async def test_one_with_submodules_is_not_kept(shop: SparesHarness) -> None:
    sub = shop.local / "sub"
    sh(shop.local, "git", "init", "-q", str(sub))
    sh(sub, "git", "commit", "-q", "--allow-empty", "-m", "x")
    shop.commit("x", "x")
    await shop.left_by(lambda folder: (folder / "sub" / "left").touch())
    assert not list(shop.kept.glob("*.tree"))


async def test_as_many_are_kept_as_are_asked_for_and_none_of_an_earlier_life(
    shop: SparesHarness, tmp_path: Path
) -> None:
    running = [await shop.begin() for _ in range(3)]
    for command, _ in running:
        await shop.workspaces.discard(command)
    assert len(list(shop.kept.glob("*.tree"))) == 2
    later = Workspaces(tmp_path / "d", spares=2)
    await later.remove_orphans()
    assert not shop.kept.exists()


def test_a_folder_that_its_owner_may_not_enter_is_removed() -> None:
    """By a process of a user whom permissions hold, which they don't hold root."""
    above = Path(tempfile.mkdtemp())
    above.chmod(0o777)
    if (child := os.fork()) == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        folder = above / "f"
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "x").touch()
        (folder / "a" / "b").chmod(0)
        (folder / "a").chmod(0o500)
        folders.remove(folder)
        os._exit(folder.exists())
    assert os.waitpid(child, 0)[1] == 0
    above.rmdir()
