"""A directive on a repository that keeps large files with git-lfs, through every process: cloned whole, or refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.daemon.git.account import account, for_agents
from tests.conftest import Cluster, git
from tests.lfs_server import LfsServer, lfs_server
from tests.postgres import home
from tests.shell import sh

PHOTO = b"a photo\0" * 500
PLAN = """
steps:
  - name: one
    taskPlan: seq 1 900 > one.bin
  - name: two
    taskPlan: cmp photo.bin photo.bin && cat photo.bin photo.bin > two.bin && git add . && git commit -qm two
  - name: both
    taskPlan: cat one.bin two.bin > both.bin && rm one.bin
    dependsOn: [one, two]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LfsServer]:
    with lfs_server(tmp_path_factory.mktemp("forge")) as playing:
        yield playing


@pytest.fixture(scope="module")
def cluster(server: LfsServer) -> Iterator[Cluster]:
    with home() as folder:
        running = Cluster(folder, sweep_seconds="3600", git_silent_seconds="3")
        running.environment["GIT_CONFIG_GLOBAL"] = str(server.account(server.folder))
        running.makima("up", "--detach", "--daemons", "2")
        yield running
        running.makima("down")


def repository(server: LfsServer, name: str, url: str) -> None:
    """One that keeps *.bin with git-lfs, and holds a photo."""
    bare, work = server.folder / name, server.folder / f"{name}.work"
    git(server.folder, "init", "-q", "--bare", "-b", "main", str(bare))
    git(server.folder, "init", "-q", "-b", "main", str(work))
    person(server, work, "git", "lfs", "install", "--local")
    git(work, "remote", "add", "origin", url)
    (work / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    (work / "photo.bin").write_bytes(PHOTO)
    git(work, "add", ".")
    git(work, "commit", "-qm", "start")
    person(server, work, "git", "push", "-q", "origin", "main")


def person(server: LfsServer, folder: Path, *argv: str) -> None:
    config = server.folder / "person.gitconfig"
    config.write_text(server.account(server.folder).read_text() + for_agents(account(), Path(os.devnull)))
    sh(folder, "env", f"GIT_CONFIG_GLOBAL={config}", *argv)


def branch(server: LfsServer, name: str) -> str:
    return git(server.folder / name, "for-each-ref", "--format=%(refname:short)", "refs/heads/makima/directive-*")


@pytest.mark.parametrize("kind", ["server", "folder"])
def test_what_is_delivered_can_be_cloned_whole(cluster: Cluster, server: LfsServer, tmp_path: Path, kind: str) -> None:
    name = f"{kind}.git"
    url = server.url(name) if kind == "server" else f"file://{server.folder / name}"
    repository(server, name, url)
    (tmp_path / "plan.yaml").write_text(PLAN)
    options = ("--repo", url, "--plan", str(tmp_path / "plan.yaml"), "--agent", "shell", "--watch")
    cluster.makima("directive", "create", "--title", "d", *options)
    person(server, tmp_path, "git", "clone", "-q", "-b", branch(server, name), "--recurse-submodules", url, "fresh")
    numbers = b"".join(b"%d\n" % n for n in range(1, 901))
    assert (tmp_path / "fresh/both.bin").read_bytes() == numbers + PHOTO * 2
    assert (tmp_path / "fresh/two.bin").read_bytes() == PHOTO * 2
    assert not (tmp_path / "fresh/one.bin").exists()


def test_large_files_that_cannot_be_had_are_said_by_why(cluster: Cluster, server: LfsServer, tmp_path: Path) -> None:
    url = f"file://{server.folder / 'lost.git'}"
    repository(server, "lost.git", url)
    shutil.rmtree(server.folder / "lost.git" / "lfs")
    (tmp_path / "plan.yaml").write_text("steps:\n  - name: one\n    taskPlan: echo one > one.txt\n")
    options = ("--repo", url, "--plan", str(tmp_path / "plan.yaml"), "--agent", "shell")
    made = cluster.make("directive", "create", "--title", "lost", "--start", *options)
    cluster.await_status(made, "paused", 60)
    said = cluster.makima("why", made)
    assert "the content of photo.bin, which git-lfs keeps as" in said and "nowhere to be had" in said
    assert not branch(server, "lost.git")
