"""Deliveries of files that git-lfs keeps: merged as pointers, proven to be on the remote, cloned with contents."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.daemon.git.account import account, for_agents
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Broken, Conflicted, Delivered
from tests.delivery_harness import DeliveryHarness, sh, write
from tests.lfs_server import LfsServer, lfs_server

pytestmark = pytest.mark.anyio
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"
PHOTO, ONE, TWO = b"a photo\0" * 500, b"of one\0" * 400, b"of two\0" * 300


def oid(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Studio(DeliveryHarness):
    """A workshop whose repository keeps *.bin with git-lfs, on a server that wants a password or in a folder."""

    def __init__(self, folder: Path, server: LfsServer | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self.account = folder / "account.gitconfig"
        self.account.write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
        if server is not None:
            self.account = server.account(folder)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(self.account))
        super().__init__(folder, {"a.txt": "a\n"})
        self.url = server.url("remote.git") if server is not None else f"file://{self.remote}"
        sh(self.clone, "git", "remote", "set-url", "origin", self.url)
        sh(self.clone, "git", "lfs", "install", "--local")
        self.commit("main", write(".gitattributes", ATTRIBUTES), write("photo.bin", PHOTO))

    def agents_git(self) -> Path:
        """The configuration that agents' git has."""
        config = self.folder / "agents.gitconfig"
        config.write_text(for_agents(account(), Path("/dev/null")))
        return config

    def lose(self, data: bytes) -> None:
        """Take an object from the remote."""
        if self.server is not None:
            del self.server.objects[oid(data)]
        else:
            (self.remote / "lfs/objects" / oid(data)[:2] / oid(data)[2:4] / oid(data)).unlink()

    def cloned(self) -> Path:
        """A fresh clone of the delivery by a person with git-lfs."""
        to = self.folder / "fresh"
        shutil.rmtree(to, ignore_errors=True)
        config = self.folder / "person.gitconfig"
        config.write_text(self.account.read_text() + for_agents(account(), Path("/dev/null")))
        options = ("-q", "-b", self.target, "--recurse-submodules")
        sh(self.folder, "env", f"GIT_CONFIG_GLOBAL={config}", "git", "clone", *options, self.url, "fresh")
        return to


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LfsServer]:
    with lfs_server(tmp_path) as playing:
        yield playing


@pytest.fixture
def studio(tmp_path: Path, server: LfsServer, monkeypatch: pytest.MonkeyPatch) -> Studio:
    return Studio(tmp_path, server, monkeypatch)


@pytest.fixture(params=["server", "folder"])
def either(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studio:
    return Studio(tmp_path, request.getfixturevalue("server") if request.param == "server" else None, monkeypatch)


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_a_delivery_can_be_cloned_with_its_contents(either: Studio, strategy: str) -> None:
    either.step("one", write("one.bin", ONE))
    either.step("two", write("photo.bin", TWO))
    uploaded = len(either.server.uploads()) if either.server is not None else 0
    assert isinstance(await either.deliver(url=either.url, strategy=strategy), Delivered)
    clone = either.cloned()
    assert (clone / "one.bin").read_bytes() == ONE
    assert (clone / "photo.bin").read_bytes() == TWO
    assert either.server is None or len(either.server.uploads()) == uploaded


async def test_what_is_not_on_the_remote_is_not_delivered(either: Studio) -> None:
    either.step("one", write("one.bin", ONE))
    either.lose(ONE)
    with pytest.raises(WorkspaceFailed, match=rf"nobody could clone .*one\.bin.*{oid(ONE)[:12]}.*not on the remote"):
        await either.deliver(url=either.url)
    assert either.target not in either.branches()
    (either.clone / "other").write_text("x")
    sh(either.clone, "git", "lfs", "push", "--object-id", "origin", oid(ONE))
    assert isinstance(await either.deliver(url=either.url), Delivered)
    assert (either.cloned() / "one.bin").read_bytes() == ONE


async def test_what_only_this_daemon_has_is_uploaded_first(studio: Studio) -> None:
    studio.step("one", write("one.bin", ONE))
    assert isinstance(await studio.deliver(url=studio.url, check="test $(wc -c < one.bin) = 2800"), Delivered)
    assert studio.server is not None
    studio.lose(ONE)
    studio.step("more", write("more.txt", "more\n"), start="makima/one")
    sh(studio.remote, "git", "branch", "-q", "-D", studio.target)
    assert isinstance(await studio.deliver(url=studio.url), Delivered)
    assert (studio.cloned() / "one.bin").read_bytes() == ONE


async def test_a_check_sees_contents(studio: Studio) -> None:
    studio.step("one", write("one.bin", ONE))
    assert isinstance(await studio.deliver(url=studio.url, check=f"test $(wc -c < one.bin) = {len(ONE)}"), Delivered)
    studio.step("two", write("two.bin", TWO))
    result = await studio.deliver(url=studio.url, check=f"test $(wc -c < two.bin) = {len(TWO) + 1}")
    assert isinstance(result, Broken)


async def test_a_conflict_of_large_files_is_resolved_by_choosing_one(studio: Studio) -> None:
    studio.step("one", write("photo.bin", ONE), write("a.bin", b"a" * 2000))
    studio.step("two", write("photo.bin", TWO), write("b.bin", b"b" * 2000))
    assert isinstance(await studio.deliver(url=studio.url), Conflicted)
    seen = {}

    async def agent(folder: Path, prompt: str) -> None:
        assert "photo.bin" in prompt
        seen.update({name: (folder / name).read_bytes() for name in ("a.bin", "b.bin")})
        git = ("env", f"GIT_CONFIG_GLOBAL={studio.agents_git()}", "git")
        sh(folder, *git, "checkout", "--theirs", "photo.bin")
        seen["photo.bin"] = (folder / "photo.bin").read_bytes()
        (folder / "made.bin").write_bytes(b"made while resolving" * 99)
        sh(folder, *git, "add", "--all")
        sh(folder, *git, "commit", "-q", "--no-edit")

    assert isinstance(await studio.deliver(agent, url=studio.url), Delivered)
    assert seen == {"a.bin": b"a" * 2000, "b.bin": b"b" * 2000, "photo.bin": TWO}
    clone = studio.cloned()
    assert (clone / "photo.bin").read_bytes() == TWO
    assert (clone / "made.bin").read_bytes() == b"made while resolving" * 99


async def test_a_delivery_that_leads_clones_elsewhere_is_refused(studio: Studio) -> None:
    assert studio.server is not None
    elsewhere = f"[lfs]\n\turl = {studio.server.url('elsewhere.git/info/lfs')}\n"
    studio.step("one", write("one.bin", ONE), write(".lfsconfig", elsewhere))
    with pytest.raises(WorkspaceFailed, match=r"\.lfsconfig names another place"):
        await studio.deliver(url=studio.url)
    assert studio.target not in studio.branches()


async def test_a_server_that_is_down_fails_a_delivery_for_a_while_only(studio: Studio) -> None:
    assert studio.server is not None
    studio.step("one", write("one.bin", ONE))

    def down(handler: object) -> bool:
        if "/info/lfs/" not in handler.path:  # type: ignore[attr-defined]
            return False
        handler.close_connection = True  # type: ignore[attr-defined]
        return True

    studio.server.instead = down
    with pytest.raises(WorkspaceFailed, match=r"large files") as failed:
        await studio.deliver(url=studio.url)
    assert not failed.value.permanent
    assert studio.target not in studio.branches()
