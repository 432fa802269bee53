"""Whole tasks on a real daemon whose repository keeps large files with git-lfs: in its sandboxes, and when it dies."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from services.daemon.git.account import account, for_agents
from shared import failpoints
from shared.messages.reports import TaskFailed, TaskInterrupted, TaskSucceeded
from tests.daemon_harness import DaemonHarness, sh

PHOTO = b"a photo\0" * 500
WORKS = """
set -e
cmp photo.bin $MARKS/photo
test -z "$(git status --porcelain)"
seq 1 900 > made.bin; seq 1 900 > other.dat
echo '*.dat filter=lfs -text' >> .gitattributes
git add .; git commit -qm work
git rm -q photo.bin; git commit -qm gone; git revert --no-edit HEAD
cmp photo.bin $MARKS/photo
seq 1 700 > left.bin
"""
Houses = Callable[..., DaemonHarness]


class Gallery(DaemonHarness):
    """A house whose remote keeps *.bin with git-lfs."""

    def __init__(self, folder: Path, **more: str) -> None:
        super().__init__(folder, **more)
        seed = folder / "seed"
        sh(seed, "git", "lfs", "install", "--local")
        (seed / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
        (seed / "photo.bin").write_bytes(PHOTO)
        (folder / "photo").write_bytes(PHOTO)
        self.commit("b.txt", "b\n")

    def cloned(self, branch: str) -> Path:
        config = self.folder / "person.gitconfig"
        config.write_text(for_agents(account(), Path("/dev/null")))
        to = str(self.folder / "fresh")
        sh(self.folder, "env", f"GIT_CONFIG_GLOBAL={config}", "git", "clone", "-q", "-b", branch, str(self.remote), to)
        return self.folder / "fresh"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Houses]:
    made: list[Gallery] = []

    def make(**more: str) -> Gallery:
        made.append(Gallery(tmp_path, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def seq(last: int) -> bytes:
    return b"".join(b"%d\n" % n for n in range(1, last + 1))


@pytest.mark.parametrize("sandbox", ["bubblewrap", "landlock", "off"])
def test_an_agents_own_git_works_in_its_sandbox_and_all_of_it_can_be_cloned(house: Houses, sandbox: str) -> None:
    there = house(MAKIMA_SANDBOX=sandbox)
    command = there.spawn(WORKS.replace("$MARKS", str(there.folder)))
    there.send(command)
    end = there.ending(command.task)
    assert isinstance(end, TaskSucceeded), end
    assert command.branch is not None
    clone = there.cloned(command.branch)
    assert (clone / "photo.bin").read_bytes() == PHOTO
    assert (clone / "made.bin").read_bytes() == (clone / "other.dat").read_bytes() == seq(900)
    assert (clone / "left.bin").read_bytes() == seq(700)
    for name in ("made.bin", "other.dat", "left.bin"):
        assert sh(there.remote, "git", "show", f"{command.branch}:{name}").startswith("version https://git-lfs")


@pytest.mark.parametrize(
    "point",
    [
        "daemon.large_object.before_keep",
        "daemon.large_object.after_keep",
        "daemon.git.lfs.after",
        "daemon.git.push.before",
        "daemon.git.push.after",
    ],
)
def test_a_daemon_that_dies_around_an_upload_leaves_nothing_that_cannot_be_cloned(
    house: Houses, tmp_path: Path, point: str
) -> None:
    armed = tmp_path / "failpoints"
    armed.mkdir()
    there = house(MAKIMA_FAILPOINTS=str(armed))
    first = there.spawn("cat photo.bin photo.bin > twice.bin")
    warm = there.spawn("cmp photo.bin a.txt || true")  # the photo is at hand from here on
    there.send(warm)
    assert isinstance(there.ending(warm.task), TaskSucceeded)
    failpoints.arm(armed, point, "kill")
    there.send(first)
    there.process.wait(30)
    assert failpoints.fired(armed, point)
    if first.branch in there.branches():
        assert (there.remote / "lfs/objects" / _place(PHOTO * 2)).exists()
    there.start()
    assert isinstance(there.ending(first.task), TaskInterrupted)
    there.seen.clear()
    again = msgspec.structs.replace(first, attempt=2, branch=f"{first.branch}-2")
    there.send(again)
    end = there.ending(first.task)
    assert isinstance(end, TaskSucceeded), end
    assert (there.cloned(f"{first.branch}-2") / "twice.bin").read_bytes() == PHOTO * 2


def test_a_machine_without_git_lfs_says_so_in_the_reason_of_a_task(house: Houses, tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    for name in ("git", "bash", "sh"):
        found = subprocess.run(("which", name), capture_output=True, text=True, check=True).stdout.strip()
        (bin_ / name).symlink_to(found)
    there = house(PATH=str(bin_))
    command = there.spawn("true")
    there.send(command)
    end = there.ending(command.task)
    assert isinstance(end, TaskFailed) and end.permanent
    assert "git-lfs" in end.reason and "install it" in end.reason and "\n" not in end.reason
    assert command.branch not in there.branches()


def _place(data: bytes) -> str:
    oid = hashlib.sha256(data).hexdigest()
    return f"{oid[:2]}/{oid[2:4]}/{oid}"
