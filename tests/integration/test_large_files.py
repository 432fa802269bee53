"""Files that git-lfs keeps: there when a workspace begins, uploaded before the branch that needs them, or refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.daemon.git import command
from services.daemon.git.account import account, for_agents
from services.daemon.git.command import network_limits
from services.daemon.git.kept import text_names_it
from services.daemon.git.pointers import Pointer
from services.daemon.workspaces import spares
from services.daemon.workspaces.leftovers import Limits
from services.daemon.workspaces.resolving import conclude
from services.daemon.workspaces.work import Work, Worked, push_to_remote
from services.daemon.workspaces.workspace import Workspace, WorkspaceFailed
from services.daemon.workspaces.workspaces import Workspaces
from shared.messages.commands import SpawnTask
from tests.github import whole_body
from tests.lfs_server import MEDIA, SIGNED_IN, LfsServer, lfs_server
from tests.workspace_harness import WorkspaceHarness, sh

pytestmark = pytest.mark.anyio
PHOTO = b"a photo\0" * 500
ANOTHER = b"another photo\0" * 300
SMALL = b"small"


def oid(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pointer(data: bytes) -> str:
    return Pointer(oid(data), len(data)).text.decode()


class Gallery(WorkspaceHarness):
    """A shop whose repository keeps *.bin with git-lfs, on a server that wants a password or in a folder."""

    def __init__(self, folder: Path, server: LfsServer | None, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(folder)
        self.folder, self.server = folder, server
        account_file = folder / "account"
        if server is not None:
            account_file = server.account(folder)
        else:
            account_file.write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
        self.account = account_file
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(account_file))
        self.url = server.url("remote.git") if server is not None else f"file://{self.remote}"
        sh(self.local, "git", "remote", "add", "origin", self.url)
        sh(self.local, "git", "lfs", "install", "--local")
        sh(self.local, "git", "lfs", "track", "*.bin")
        (self.local / "photo.bin").write_bytes(PHOTO)
        (self.local / "small.bin").write_bytes(SMALL)
        self.release("photos")
        self.agents_git = folder / "agents.gitconfig"
        self.agents_git.write_text(for_agents(account(), Path(os.devnull)))

    def release(self, message: str) -> str:
        """What lies in the person's copy, on the remote's main, with its large files."""
        sh(self.local, "git", "add", "--all")
        sh(self.local, "git", "commit", "-qm", message)
        sh(self.local, "git", "push", "-q", "origin", "HEAD:main")
        return sh(self.local, "git", "rev-parse", "HEAD")

    def command(self, name: str, **more: object) -> SpawnTask:
        return super().command(name, **{"repository_url": self.url, "base_branch": "main", **more})

    def agent(self, folder: Path, *argv: str) -> str:
        """What an agent runs, by the configuration that agents' git has."""
        return sh(folder, "env", f"GIT_CONFIG_GLOBAL={self.agents_git}", *argv)

    def commit(self, folder: Path, **files: bytes) -> None:
        """What an agent commits by itself."""
        for name, data in files.items():
            (folder / f"{name}.bin").write_bytes(data)
        self.agent(folder, "git", "add", "--all")
        self.agent(folder, "git", "commit", "-qm", "work")

    def cloned(self, branch: str) -> Path:
        """A fresh clone by a person with git-lfs."""
        to = self.folder / "fresh"
        shutil.rmtree(to, ignore_errors=True)
        config = self.folder / "person.gitconfig"
        config.write_text(self.account.read_text() + "".join(LFS))
        options = ("-q", "-b", branch, "--recurse-submodules")
        sh(self.folder, "env", f"GIT_CONFIG_GLOBAL={config}", "git", "clone", *options, self.url, "fresh")
        return to

    def stored(self, data: bytes) -> bool:
        """Whether the remote has an object."""
        if self.server is not None:
            return oid(data) in self.server.objects
        return (self.remote / "lfs/objects" / oid(data)[:2] / oid(data)[2:4] / oid(data)).exists()

    def branches(self) -> list[str]:
        return sh(self.remote, "git", "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()


LFS = (
    '[filter "lfs"]\n\tclean = git-lfs clean -- %f\n\tsmudge = git-lfs smudge -- %f\n'
    "\tprocess = git-lfs filter-process\n\trequired = true\n",
    '[protocol "file"]\n\tallow = always\n',
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LfsServer]:
    with lfs_server(tmp_path) as playing:
        yield playing


@pytest.fixture
async def gallery(tmp_path: Path, server: LfsServer, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    made = Gallery(tmp_path, server, monkeypatch)
    await made.workspaces.remove_orphans()
    return made


@pytest.fixture(params=["server", "folder"])
async def either(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    server = request.getfixturevalue("server") if request.param == "server" else None
    made = Gallery(tmp_path, server, monkeypatch)
    await made.workspaces.remove_orphans()
    return made


async def begun(shop: Gallery, name: str = "one", **more: object) -> tuple[SpawnTask, Workspace, Worked]:
    command = shop.command(name, **more)
    made = await shop.workspaces.make(command)
    return command, made, Worked.of(made, command)


async def ended(worked: Worked) -> Work:
    work = await worked.gather()
    await push_to_remote(worked, work)
    return work


async def test_a_workspace_begins_with_contents_and_nothing_changed(either: Gallery) -> None:
    _, made, worked = await begun(either)
    assert (made.folder / "photo.bin").read_bytes() == PHOTO
    assert (made.folder / "small.bin").read_bytes() == SMALL
    for config in (either.agents_git, os.devnull):  # without the filter, too: no content is looked at
        assert sh(made.folder, "env", f"GIT_CONFIG_GLOBAL={config}", "git", "status", "--porcelain") == ""
    assert (await worked.gather()).head == made.start


async def test_what_an_agent_commits_is_stored_before_its_branch_is_there(either: Gallery) -> None:
    _, made, worked = await begun(either)
    either.commit(made.folder, photo=ANOTHER, new=b"new" * 999)
    assert either.agent(made.folder, "git", "status", "--porcelain") == ""
    work = await ended(worked)
    assert work.files == ("new.bin", "photo.bin")
    if either.server is not None:
        assert {oid(ANOTHER), oid(b"new" * 999)} <= either.server.pushed_with[-1]
    clone = either.cloned("makima/one")
    assert (clone / "photo.bin").read_bytes() == ANOTHER
    assert (clone / "new.bin").read_bytes() == b"new" * 999
    assert (clone / "small.bin").read_bytes() == SMALL


async def test_what_an_agent_leaves_is_committed_as_pointers(either: Gallery) -> None:
    _, made, worked = await begun(either)
    (made.folder / "photo.bin").write_bytes(ANOTHER)
    (made.folder / "new.bin").write_bytes(b"new" * 999)
    (made.folder / "empty.bin").write_bytes(b"")
    (made.folder / "link.bin").symlink_to("photo.bin")
    work = await ended(worked)
    assert work.files == ("empty.bin", "link.bin", "new.bin", "photo.bin")
    assert sh(either.remote, "git", "show", f"{work.head}:photo.bin") == pointer(ANOTHER).strip()
    clone = either.cloned("makima/one")
    assert (clone / "photo.bin").read_bytes() == ANOTHER
    assert (clone / "new.bin").read_bytes() == b"new" * 999
    assert (clone / "empty.bin").read_bytes() == b""
    assert (clone / "link.bin").is_symlink()


async def test_a_pattern_that_the_agent_adds_counts_for_what_it_leaves_and_what_it_commits(gallery: Gallery) -> None:
    _, made, worked = await begun(gallery)
    with (made.folder / ".gitattributes").open("a") as attributes:
        attributes.write("*.dat filter=lfs diff=lfs merge=lfs -text\n")
    (made.folder / "left.dat").write_bytes(ANOTHER)
    await ended(worked)
    assert gallery.stored(ANOTHER)
    assert (gallery.cloned("makima/one") / "left.dat").read_bytes() == ANOTHER


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "left"])
async def test_a_repository_takes_to_large_files(gallery: Gallery, commits: bool) -> None:
    sh(gallery.local, "git", "rm", "-q", "-r", ".")
    (gallery.local / "a.txt").write_text("plain\n")
    gallery.release("no large files")
    _, made, worked = await begun(gallery)
    assert made.large is None
    (made.folder / "art").mkdir()
    (made.folder / "art/.gitattributes").write_text("*.bin filter=lfs -text\n")
    (made.folder / "art/new.bin").write_bytes(ANOTHER)
    if commits:
        gallery.commit(made.folder)
    await ended(worked)
    assert sh(gallery.remote, "git", "show", "makima/one:art/new.bin") == pointer(ANOTHER).strip()
    assert (gallery.cloned("makima/one") / "art/new.bin").read_bytes() == ANOTHER


async def test_the_agents_own_checkouts_find_contents(gallery: Gallery) -> None:
    _, made, worked = await begun(gallery)
    gallery.commit(made.folder, photo=ANOTHER)
    gallery.agent(made.folder, "git", "checkout", "-q", "HEAD~1")
    assert (made.folder / "photo.bin").read_bytes() == PHOTO
    gallery.agent(made.folder, "git", "checkout", "-q", "-")
    assert (made.folder / "photo.bin").read_bytes() == ANOTHER
    (made.folder / "small.bin").touch()
    work = await ended(worked)
    assert work.files == ("photo.bin",)


async def test_a_step_begins_with_the_large_files_of_the_step_before(gallery: Gallery) -> None:
    command, made, worked = await begun(gallery)
    gallery.commit(made.folder, photo=ANOTHER)
    await ended(worked)
    await gallery.workspaces.discard(command)
    elsewhere = Workspaces(gallery.folder / "other")
    await elsewhere.remove_orphans()
    made = await elsewhere.make(gallery.command("two", start_from="makima/one"))
    assert (made.folder / "photo.bin").read_bytes() == ANOTHER


# Hostile


def forge(gallery: Gallery, folder: Path, text: str) -> None:
    """A commit of a pointer that the agent wrote itself."""
    (folder / "forged.bin").write_text(text)
    gallery.commit(folder)


async def test_a_pointer_to_nothing_fails_the_step_and_names_the_file(either: Gallery) -> None:
    _, made, worked = await begun(either)
    forge(either, made.folder, pointer(b"nobody has this"))
    with pytest.raises(WorkspaceFailed, match=rf"forged\.bin.*{oid(b'nobody has this')[:12]}.*nowhere"):
        await worked.gather()


async def test_a_pointer_to_nothing_that_is_left_uncommitted_is_no_less_refused(gallery: Gallery) -> None:
    _, made, worked = await begun(gallery)
    (made.folder / "forged.bin").write_text(pointer(b"nobody has this"))
    with pytest.raises(WorkspaceFailed, match=r"forged\.bin.*nowhere"):
        await worked.gather()


def of_another_content(place: Path, _: Path) -> None:
    place.write_bytes(b"not what its name says")


def a_link(place: Path, secret: Path) -> None:
    place.symlink_to(secret)


def a_link_above(place: Path, secret: Path) -> None:
    place.parent.rmdir()
    place.parent.symlink_to(secret.parent)


def a_pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize("attack", [of_another_content, a_link, a_link_above, a_pipe])
async def test_an_object_that_is_not_what_its_pointer_says_is_never_taken(
    gallery: Gallery, tmp_path: Path, attack: object
) -> None:
    data = b"a secret of the daemon's account"
    secret = tmp_path / "secrets" / oid(data)
    secret.parent.mkdir()
    secret.write_bytes(data)
    _, made, worked = await begun(gallery)
    forge(gallery, made.folder, pointer(data))
    place = made.folder / ".git/lfs/objects" / oid(data)[:2] / oid(data)[2:4] / oid(data)
    place.parent.mkdir(parents=True)
    attack(place, secret)  # type: ignore[operator]
    with pytest.raises(WorkspaceFailed, match=r"forged\.bin"):
        await ended(worked)
    assert not made.home.store.path(oid(data)).exists()
    assert not gallery.stored(data)


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "left"])
async def test_no_place_that_an_agent_names_gets_an_upload_or_a_password(
    gallery: Gallery, tmp_path: Path, commits: bool
) -> None:
    (tmp_path / "evil").mkdir()
    with lfs_server(tmp_path / "evil") as evil:
        _, made, worked = await begun(gallery)
        (made.folder / ".lfsconfig").write_text(
            f"[lfs]\n\turl = {evil.url('x.git/info/lfs')}\n\tpushurl = {evil.url('x.git/info/lfs')}\n"
            f'[remote "origin"]\n\tlfsurl = {evil.url("x.git/info/lfs")}\n'
            f'[lfs "customtransfer.evil"]\n\tpath = touch\n\targs = {tmp_path}/sprung\n'
            "\tstandalonetransferagent = evil\n"
        )
        (made.folder / "photo.bin").write_bytes(ANOTHER)
        if commits:
            gallery.agent(made.folder, "git", "config", "lfs.standalonetransferagent", "evil")
            gallery.agent(made.folder, "git", "config", "lfs.customtransfer.evil.path", "touch")
            gallery.agent(made.folder, "git", "config", "lfs.customtransfer.evil.args", f"{tmp_path}/sprung")
            gallery.commit(made.folder)
        with pytest.raises(WorkspaceFailed, match=r"\.lfsconfig names another place for large files"):
            await ended(worked)
        sh(made.folder, "git", "checkout", "-q", "HEAD", "--", ".gitattributes")
        assert not evil.asked
        assert not gallery.stored(ANOTHER)
        assert not (tmp_path / "sprung").exists()


def a_place(folder: Path) -> None:
    (folder / ".lfsconfig").write_text("[lfs]\n\turl = https://example.org/x\n")


def a_place_for_this_remote(folder: Path) -> None:
    (folder / ".lfsconfig").write_text('[remote "origin"]\n\tlfsurl = https://example.org/x\n')


def a_link_to_a_place(folder: Path) -> None:
    a_place(folder)
    (folder / ".lfsconfig").rename(folder / "elsewhere")
    (folder / ".lfsconfig").symlink_to("elsewhere")


def a_place_before_what_is_no_configuration(folder: Path) -> None:
    (folder / ".lfsconfig").write_text("[lfs]\n\turl = https://example.org/x\n[[[\n")


@pytest.mark.parametrize(
    "leads", [a_place, a_place_for_this_remote, a_link_to_a_place, a_place_before_what_is_no_configuration]
)
async def test_nothing_that_would_lead_clones_elsewhere_is_pushed(gallery: Gallery, leads: Any) -> None:
    _, made, worked = await begun(gallery)
    leads(made.folder)
    with pytest.raises(WorkspaceFailed, match=r"\.lfsconfig names another place for large files"):
        await ended(worked)
    assert "makima/one" not in gallery.branches()


async def test_the_place_that_the_base_branch_names_counts_and_no_other(gallery: Gallery) -> None:
    assert gallery.server is not None
    (gallery.local / ".lfsconfig").write_text(f"[lfs]\n\turl = {gallery.server.url('beside.git/info/lfs')}\n")
    gallery.release("another place on the same host")
    _, made, worked = await begun(gallery)
    gallery.commit(made.folder, photo=ANOTHER)
    await ended(worked)
    assert ("PUT", f"/beside.git/info/lfs/objects/{oid(ANOTHER)}") in gallery.server.asked
    assert (gallery.cloned("makima/one") / "photo.bin").read_bytes() == ANOTHER


async def test_a_place_on_another_host_without_tls_is_refused_even_from_the_base_branch(
    gallery: Gallery, tmp_path: Path
) -> None:
    (tmp_path / "evil").mkdir()
    with lfs_server(tmp_path / "evil") as evil:
        url = evil.url("x.git/info/lfs").replace("127.0.0.1", "localhost")
        (gallery.local / ".lfsconfig").write_text(f"[lfs]\n\turl = {url}\n")
        sh(gallery.local, "git", "add", "--all")
        sh(gallery.local, "git", "commit", "-qm", "evil")
        sh(gallery.local, "git", "push", "-q", "--no-verify", "origin", "HEAD:main")
        with pytest.raises(WorkspaceFailed, match=r"\.lfsconfig of the base branch names lfs\.url"):
            await begun(gallery)
        assert not evil.asked


async def test_no_filter_of_an_agent_runs_in_the_daemon(gallery: Gallery, tmp_path: Path) -> None:
    _, made, worked = await begun(gallery)
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    gallery.commit(made.folder, photo=ANOTHER)
    for key in ("clean", "smudge", "process"):
        sh(made.folder, "git", "config", f"filter.lfs.{key}", str(trap))
    (made.folder / "left.bin").write_bytes(b"left" * 400)
    await ended(worked)
    assert not (tmp_path / "sprung").exists()
    assert (gallery.cloned("makima/one") / "left.bin").read_bytes() == b"left" * 400


async def test_more_than_a_setting_allows_is_refused_before_it_is_read(gallery: Gallery) -> None:
    _, made, _ = await begun(gallery)
    worked = Worked(made, "Work", Limits(large_bytes=1 << 20))
    os.truncate(made.folder / "photo.bin", 1 << 40)
    with pytest.raises(WorkspaceFailed, match=r"photo\.bin: 1024\.0 GiB .* max_large_files_gib"):
        await worked.gather()


async def test_attributes_that_name_no_file_yet_count_for_the_first(gallery: Gallery) -> None:
    sh(gallery.local, "git", "rm", "-q", "photo.bin", "small.bin")
    gallery.release("attributes alone")
    _, made, worked = await begun(gallery)
    (made.folder / "first.bin").write_bytes(ANOTHER)
    await ended(worked)
    assert sh(gallery.remote, "git", "show", "makima/one:first.bin") == pointer(ANOTHER).strip()
    assert (gallery.cloned("makima/one") / "first.bin").read_bytes() == ANOTHER


# What isn't there, and what fails


async def test_without_git_lfs_a_repository_that_needs_it_is_refused_in_words(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git, bin_ = shutil.which("git"), tmp_path / "bin"
    assert git is not None
    bin_.mkdir()
    (bin_ / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(bin_))
    with pytest.raises(WorkspaceFailed, match=r"this daemon's machine has no git-lfs: install it") as refused:
        await gallery.workspaces.make(gallery.command("one"))
    assert refused.value.permanent


async def test_without_git_lfs_an_agent_that_takes_to_it_is_refused_too(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sh(gallery.local, "git", "rm", "-q", "-r", ".")
    (gallery.local / "a.txt").write_text("plain\n")
    gallery.release("no large files")
    _, made, worked = await begun(gallery)
    (made.folder / ".gitattributes").write_text("*.bin filter=lfs -text\n")
    (made.folder / "new.bin").write_bytes(ANOTHER)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(str(shutil.which("git")))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(WorkspaceFailed, match="has no git-lfs"):
        await worked.gather()


async def test_a_base_whose_large_files_are_gone_is_refused_and_names_one(either: Gallery) -> None:
    if either.server is not None:
        either.server.objects.clear()
    else:
        shutil.rmtree(either.remote / "lfs")
    with pytest.raises(WorkspaceFailed, match=r"photo\.bin \(and of 1 more\), .* nowhere to be had: .+"):
        await begun(either)


def closed_for_today(handler: Any) -> bool:
    if handler.command != "PUT":
        return False
    whole_body(handler)
    handler.answer(403, b'{"message": "closed for today"}', **{"Content-Type": MEDIA})
    return True


async def test_an_upload_that_the_server_refuses_fails_the_step_in_its_words(gallery: Gallery) -> None:
    assert gallery.server is not None
    _, made, worked = await begun(gallery)
    gallery.commit(made.folder, photo=ANOTHER)
    gallery.server.instead = closed_for_today
    with pytest.raises(
        WorkspaceFailed, match=r"large files can't be uploaded to the remote: .*closed for today"
    ) as refused:
        await ended(worked)
    assert refused.value.permanent
    assert "makima/one" not in gallery.branches()


async def test_an_upload_that_dies_in_the_middle_is_made_again(gallery: Gallery) -> None:
    assert gallery.server is not None
    _, made, worked = await begun(gallery)
    gallery.commit(made.folder, photo=ANOTHER, b=b"b" * 3000)
    dying = [True]

    def dies(handler: Any) -> bool:
        if handler.command != "PUT" or not dying[0]:
            return False
        handler.rfile.read(10)
        handler.close_connection = True
        handler.connection.shutdown(2)
        return True

    gallery.server.instead = dies
    with pytest.raises(WorkspaceFailed, match="large files can't be uploaded") as died:
        await ended(worked)
    assert not died.value.permanent
    assert "makima/one" not in gallery.branches()
    dying[0] = False
    await ended(worked)
    assert (gallery.cloned("makima/one") / "photo.bin").read_bytes() == ANOTHER


async def test_a_server_that_is_down_is_said_and_passes(gallery: Gallery) -> None:
    assert gallery.server is not None
    _, made, worked = await begun(gallery)
    gallery.commit(made.folder, photo=ANOTHER)
    gallery.server.stop()
    with pytest.raises(WorkspaceFailed, match=r"can't be uploaded to the remote: .*connection refused") as down:
        await ended(worked)
    assert not down.value.permanent


async def test_a_server_that_says_nothing_is_not_waited_for(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gallery.server is not None
    _, made, worked = await begun(gallery)
    gallery.commit(made.folder, photo=ANOTHER)
    over = threading.Event()

    def silent(handler: Any) -> bool:
        return "/info/lfs/" in handler.path and over.wait(60)

    gallery.server.instead = silent
    monkeypatch.setattr(network_limits, "whole", 3.0)
    with pytest.raises(WorkspaceFailed, match="the remote did not answer within 3 s") as late:
        await ended(worked)
    over.set()
    assert not late.value.permanent


# Spares and submodules


async def test_a_spare_has_contents_again_whatever_was_done_to_it(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "WORTHWHILE_BYTES", 1)
    gallery.workspaces = Workspaces(gallery.folder / "spared", spares=1)
    await gallery.workspaces.remove_orphans()
    command, made, _ = await begun(gallery)
    inode = made.folder.stat().st_ino
    (made.folder / "photo.bin").write_bytes(ANOTHER)
    (made.folder / "small.bin").unlink()
    await gallery.workspaces.discard(command)
    _, again, worked = await begun(gallery, "two")
    assert again.folder.stat().st_ino == inode
    assert (again.folder / "photo.bin").read_bytes() == PHOTO
    assert (again.folder / "small.bin").read_bytes() == SMALL
    assert gallery.agent(again.folder, "git", "status", "--porcelain") == ""
    assert (await worked.gather()).head == again.start


@pytest.fixture
def nested(gallery: Gallery) -> Gallery:
    """A gallery with a submodule that keeps large files, too."""
    work, lib = gallery.folder / "lib.work", gallery.folder / "lib.git"
    sh(gallery.folder, "git", "init", "-q", "--bare", "-b", "main", str(lib))
    sh(gallery.folder, "git", "init", "-q", "-b", "main", str(work))
    assert gallery.server is not None
    sh(work, "git", "remote", "add", "origin", gallery.server.url("lib.git"))
    sh(work, "git", "lfs", "install", "--local")
    sh(work, "git", "lfs", "track", "*.bin")
    (work / "inner.bin").write_bytes(PHOTO * 2)
    sh(work, "git", "add", ".")
    sh(work, "git", "commit", "-qm", "init")
    sh(work, "git", "push", "-q", "origin", "main")
    add = ("submodule", "--quiet", "add", gallery.server.url("lib.git"), "lib")
    gallery.agent(gallery.local, "git", "-c", f"include.path={gallery.account}", *add)
    gallery.release("a submodule")
    return gallery


async def test_large_files_of_a_submodule_are_there_and_stored_on_its_remote(nested: Gallery) -> None:
    _, made, worked = await begun(nested)
    assert (made.folder / "lib/inner.bin").read_bytes() == PHOTO * 2
    assert nested.agent(made.folder, "git", "status", "--porcelain") == ""
    (made.folder / "lib/inner.bin").write_bytes(ANOTHER)
    await ended(worked)
    assert nested.server is not None
    assert ("PUT", f"/lib.git/info/lfs/objects/{oid(ANOTHER)}") in nested.server.asked
    assert (nested.cloned("makima/one") / "lib/inner.bin").read_bytes() == ANOTHER


async def test_a_submodule_whose_large_files_are_gone_is_said_and_left_empty(nested: Gallery) -> None:
    assert nested.server is not None
    del nested.server.objects[oid(PHOTO * 2)]
    said: list[str] = []
    made = await nested.workspaces.make(nested.command("one"), said.append)
    assert any("the submodule lib is left empty" in line and "inner.bin" in line for line in said)
    assert list((made.folder / "lib").iterdir()) == []


async def test_nothing_of_git_lfs_runs_for_a_repository_that_does_not_need_it(
    shop: WorkspaceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shop.local / ".gitattributes").write_text("*.txt text\n")
    shop.publish("attributes")
    said: list[str] = []
    run = command._run

    async def noted(folder: Path, arguments: tuple[str, ...], *more: Any) -> tuple[bytes, bytes]:
        said.append(command._verb(arguments))
        return await run(folder, arguments, *more)

    monkeypatch.setattr(command, "_run", noted)
    await shop.work(shop.command("one"), one="1\n")
    assert not {"lfs", "check-attr", "cat-file", "rev-list", "grep"} & set(said)


async def test_a_spare_of_another_commit_has_the_contents_of_its_own(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spares, "WORTHWHILE_BYTES", 1)
    gallery.workspaces = Workspaces(gallery.folder / "spared", spares=1)
    await gallery.workspaces.remove_orphans()
    command, made, _ = await begun(gallery)
    inode = made.folder.stat().st_ino
    await gallery.workspaces.discard(command)
    (gallery.local / "photo.bin").write_bytes(ANOTHER)
    gallery.release("another photo")
    _, again, worked = await begun(gallery, "two")
    assert again.folder.stat().st_ino == inode
    assert (again.folder / "photo.bin").read_bytes() == ANOTHER
    assert (again.folder / "small.bin").read_bytes() == SMALL
    assert (await worked.gather()).head == again.start


async def test_a_file_that_was_committed_past_the_filter_stays_until_it_changes(gallery: Gallery) -> None:
    sh(gallery.local, "git", "rm", "-q", ".gitattributes")
    (gallery.local / "raw.bin").write_bytes(PHOTO)
    sh(gallery.local, "git", "add", "raw.bin")
    sh(gallery.local, "git", "commit", "-qm", "raw")
    (gallery.local / ".gitattributes").write_text("*.bin filter=lfs -text\n")
    gallery.release("attributes again")
    _, made, worked = await begun(gallery)
    (made.folder / "raw.bin").touch()
    assert (await worked.gather()).head == made.start
    (made.folder / "raw.bin").write_bytes(ANOTHER)
    work = await ended(worked)
    assert work.files == ("raw.bin",)
    assert (gallery.cloned("makima/one") / "raw.bin").read_bytes() == ANOTHER


async def test_the_merge_of_another_branch_brings_its_large_files(gallery: Gallery) -> None:
    """What the agent's own git can't fetch stays a pointer in its folder, and is at hand for the work."""
    _, made, worked = await begun(gallery)
    (gallery.local / "main.bin").write_bytes(ANOTHER)
    new = gallery.release("more on main")
    gallery.commit(made.folder, mine=b"mine" * 500)
    sh(made.folder, "git", "fetch", "-q", str(gallery.remote), "main")
    gallery.agent(made.folder, "git", "-c", f"lfs.url={gallery.url}/none", "merge", "-q", "--no-edit", new)
    assert (made.folder / "main.bin").read_text() == pointer(ANOTHER)
    await ended(worked)
    clone = gallery.cloned("makima/one")
    assert (clone / "main.bin").read_bytes() == ANOTHER
    assert (clone / "mine.bin").read_bytes() == b"mine" * 500


async def test_two_steps_are_merged_where_the_next_begins(gallery: Gallery) -> None:
    for name, data in (("one", b"1" * 2000), ("two", b"2" * 2000)):
        command, made, worked = await begun(gallery, name)
        gallery.commit(made.folder, **{name: data})
        await ended(worked)
        await gallery.workspaces.discard(command)
    _, made, worked = await begun(gallery, "join", start_from="makima/one", merge_branches=("makima/two",))
    assert (made.folder / "one.bin").read_bytes() == b"1" * 2000
    assert (made.folder / "two.bin").read_bytes() == b"2" * 2000
    assert (made.folder / "photo.bin").read_bytes() == PHOTO
    assert gallery.agent(made.folder, "git", "status", "--porcelain") == ""
    assert (await worked.gather()).head == made.start


async def test_a_start_whose_merge_stopped_has_contents_and_both_sides_at_hand(gallery: Gallery) -> None:
    for name, data in (("one", b"1" * 2000), ("two", b"2" * 2000)):
        command, made, worked = await begun(gallery, name)
        gallery.commit(made.folder, photo=data, **{name: data})
        await ended(worked)
        await gallery.workspaces.discard(command)
    elsewhere = gallery.workspaces = Workspaces(gallery.folder / "other")
    await elsewhere.remove_orphans()
    _, made, worked = await begun(gallery, "join", start_from="makima/one", merge_branches=("makima/two",))
    assert made.stopped is not None and made.stopped.files == ("photo.bin",)
    assert (made.folder / "one.bin").read_bytes() == b"1" * 2000
    assert (made.folder / "two.bin").read_bytes() == b"2" * 2000
    gallery.agent(made.folder, "git", "checkout", "--theirs", "photo.bin")
    assert (made.folder / "photo.bin").read_bytes() == b"2" * 2000
    gallery.agent(made.folder, "git", "add", "photo.bin")
    gallery.agent(made.folder, "git", "commit", "-q", "--no-edit")
    _, problems = await conclude(worked, made.stopped)
    assert problems == []
    await ended(worked)
    clone = gallery.cloned("makima/join")
    assert (clone / "photo.bin").read_bytes() == (clone / "two.bin").read_bytes() == b"2" * 2000


async def test_a_remote_that_is_a_shallow_clone_serves_its_large_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Gallery(tmp_path, None, monkeypatch)
    await source.workspaces.remove_orphans()
    deep, source.remote = source.remote, tmp_path / "shallow.git"
    sh(tmp_path, "git", "clone", "-q", "--bare", "--depth=1", f"file://{deep}", str(source.remote))
    shutil.copytree(deep / "lfs", source.remote / "lfs")
    source.url = f"file://{source.remote}"
    _, made, worked = await begun(source)
    assert (made.folder / "photo.bin").read_bytes() == PHOTO
    source.commit(made.folder, photo=ANOTHER)
    await ended(worked)
    assert (source.cloned("makima/one") / "photo.bin").read_bytes() == ANOTHER


async def test_a_remote_by_ssh_says_itself_where_its_large_files_are(gallery: Gallery, tmp_path: Path) -> None:
    assert gallery.server is not None
    said = {"href": gallery.server.url("remote.git/info/lfs"), "header": {"Authorization": SIGNED_IN}}
    (tmp_path / "authenticated").write_text(json.dumps(said))
    ssh = tmp_path / "played-ssh"
    ssh.write_text(
        '#!/bin/sh\nfor last; do :; done\necho "$last" >> "$0.asked"\ncase "$last" in\n'
        f"git-lfs-authenticate*) cat {tmp_path}/authenticated ;;\n"
        "git-lfs-transfer*) exit 127 ;;\n"
        '*) eval "exec $last" ;;\nesac\n'
    )
    ssh.chmod(0o755)
    gallery.account.write_text(f"[user]\n\tname = Ada\n\temail = ada@example.org\n[core]\n\tsshCommand = {ssh}\n")
    gallery.url = f"ssh://git@played{gallery.remote}"
    _, made, worked = await begun(gallery)
    assert (made.folder / "photo.bin").read_bytes() == PHOTO
    gallery.commit(made.folder, photo=ANOTHER)
    await ended(worked)
    assert gallery.stored(ANOTHER)
    asked = (tmp_path / "played-ssh.asked").read_text()
    assert f"git-lfs-authenticate {gallery.remote} upload" in asked.replace("'", "")
    assert (gallery.cloned("makima/one") / "photo.bin").read_bytes() == ANOTHER


@pytest.mark.parametrize("before", [0, 10, (1 << 20) - 14, (1 << 20) - 3, 3 << 20])
def test_attributes_are_read_to_their_end(tmp_path: Path, before: int) -> None:
    (tmp_path / ".gitattributes").write_bytes(b"#" * before + b"\n*.bin filter=lfs\n")
    assert text_names_it(tmp_path, ".gitattributes")
    (tmp_path / ".gitattributes").write_bytes(b"#" * before + b"\n*.bin filter=other\n")
    assert not text_names_it(tmp_path, ".gitattributes")
