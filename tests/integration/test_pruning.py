"""What a daemon's folder gives up, by age and size, and what it never does: what is in use or yet to be reported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.daemon.disk import folders, locks
from services.daemon.pruning import Found, Limits, Pruned, carry_out, chosen, names, prune_home, prune_own, survey
from services.daemon.reports.journal import Journal
from services.daemon.workspaces.workspaces import Workspaces
from shared.config import Settings, load
from shared.domain.ids import new_id
from shared.messages.commands import SpawnTask
from shared.messages.reports import TaskAccepted
from tests.conftest import ROOT
from tests.delivery_harness import DeliveryHarness, sh

NEVER = Limits(leftover_seconds=1e9, repository_seconds=1e9, repositories_bytes=1e18)
ALWAYS = Limits(leftover_seconds=-1, repository_seconds=-1, repositories_bytes=1e18)
pytestmark = pytest.mark.anyio


def found(name: str, unused_seconds: float, size: int = 10, what: str = "repository") -> Found:
    return Found(what=what, path=Path(name), name=name, bytes=size, unused_seconds=unused_seconds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "given_up"),
    [
        (NEVER, []),
        (Limits(leftover_seconds=5, repository_seconds=1e9, repositories_bytes=1e9), ["w"]),
        (Limits(leftover_seconds=1e9, repository_seconds=150, repositories_bytes=1e9), ["c", "carried", "said"]),
        (Limits(leftover_seconds=1e9, repository_seconds=1e9, repositories_bytes=25), ["c"]),
        (Limits(leftover_seconds=1e9, repository_seconds=1e9, repositories_bytes=15), ["b", "c"]),
        (Limits(leftover_seconds=1e9, repository_seconds=1e9, repositories_bytes=0), ["a", "b", "c"]),
    ],
)
def test_what_is_too_old_goes_then_the_longest_unused_copies_while_they_are_too_large(
    limits: Limits, given_up: list[str]
) -> None:
    all_of_it = [
        found("a", 1),
        found("b", 100),
        found("c", 200),
        found("w", 10, what="worktree"),
        found("carried", 200, what="carried files"),
        found("said", 200, what="sessions"),
    ]
    assert sorted(p.name for p in chosen(all_of_it, limits)) == sorted(given_up)


def test_copies_in_use_count_for_the_size_that_is_allowed() -> None:
    limits = Limits(leftover_seconds=1e9, repository_seconds=1e9, repositories_bytes=25)
    assert chosen([found("a", 1), found("b", 2)], limits) == []
    assert [p.name for p in chosen([found("a", 1), found("b", 2)], limits, kept_bytes=10)] == ["b"]


class Den:
    """A daemon's folder in a home, with copies of repositories."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.settings: Settings = load({"MAKIMA_HOME": str(folder / "h"), **settings})
        self.folder = self.settings.home / "daemons" / "d1"
        self.workspaces = Workspaces(self.folder)
        self.shop = DeliveryHarness(folder, {"a.txt": "a\n"})

    @property
    def worktrees(self) -> list[str]:
        return [path.name for path in (self.folder / "worktrees").iterdir()]

    @property
    def copies(self) -> list[Path]:
        return sorted((self.folder / "repositories").glob("*.git"))

    def command(self) -> SpawnTask:
        more = {"kind": "step", "name": "n", "branch": "makima/n", "repository_url": str(self.shop.remote)}
        return SpawnTask(task=new_id(), attempt=1, owner="o", directive=new_id(), **more)  # type: ignore[arg-type]

    async def attempt(self) -> SpawnTask:
        command = self.command()
        await self.workspaces.make(command)
        return command


@pytest.fixture
async def den(tmp_path: Path) -> Den:
    den = Den(tmp_path)
    await den.workspaces.remove_orphans()
    return den


async def test_a_copy_is_in_use_from_an_attempts_beginning_to_its_end(den: Den) -> None:
    command = await den.attempt()
    (copy,) = den.copies
    live = names([(command.task, 1)])
    assert locks.in_use(copy) and survey(den.folder, ALWAYS, lambda: live) == []
    assert carry_out([Pruned(what="repository", path=copy, name="", bytes=0, why="")]) == [] and den.copies == [copy]
    await den.workspaces.discard(command)
    (going,) = survey(den.folder, ALWAYS, lambda: live)
    assert going.path == copy and going.name == str(den.shop.remote)
    assert carry_out([going]) == [going] and den.copies == []
    await den.attempt()
    assert len(den.copies) == 1 and locks.in_use(den.copies[0])


async def test_copies_that_the_submodules_of_a_leftover_borrow_from_are_left_alone(tmp_path: Path) -> None:
    """With the daemon down nothing holds them, and a workspace without its objects would be none."""
    for name in ("inner", "middle"):
        (tmp_path / name).mkdir()
    den = Den(tmp_path)
    await den.workspaces.remove_orphans()
    inner, middle = (
        DeliveryHarness(tmp_path / "inner", {"i.txt": "i\n"}),
        DeliveryHarness(tmp_path / "middle", {"m.txt": "m\n"}),
    )
    for outer, part, name in ((middle, inner, "in"), (den.shop, middle, "mid")):
        seed = outer.clone
        sh(seed, "git", "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(part.remote), name)
        sh(seed, "git", "commit", "--quiet", "-m", "a submodule")
        sh(seed, "git", "push", "--quiet", "origin", "HEAD:main")
    await den.attempt()
    assert len(den.copies) == 3
    patient = Limits(leftover_seconds=1e9, repository_seconds=-1, repositories_bytes=1e18)
    del den.workspaces
    assert not any(map(locks.in_use, den.copies))
    assert survey(den.folder, patient, None) == []
    assert len(survey(den.folder, ALWAYS, lambda: frozenset())) == 4, "they go with the workspace"


async def test_a_delivery_and_its_further_worktrees_are_left_alone(den: Den) -> None:
    command = den.command()
    cache = await den.workspaces.repository(command)
    head = sh(den.shop.remote, "git", "rev-parse", "main")
    await den.workspaces.checkout(command, head, "0123456789ab")
    assert survey(den.folder, ALWAYS, lambda: names([(command.task, 1)])) == [] and locks.in_use(cache)


async def test_what_an_attempt_left_behind_goes_when_it_is_old_and_with_it_its_copy(den: Den) -> None:
    command = await den.attempt()
    (den.folder / "runs" / f"{command.task.hex}-1").mkdir(parents=True)
    del den.workspaces  # as a process that is gone
    den.workspaces = Workspaces(den.folder)
    assert survey(den.folder, NEVER, frozenset) == []
    plan = survey(den.folder, ALWAYS, frozenset)
    assert {p.what for p in plan} == {"worktree", "output", "repository"}
    carry_out(plan)
    assert den.worktrees == [] and den.copies == [] and not list((den.folder / "runs").iterdir())


async def test_of_a_running_daemon_only_unused_copies_go(den: Den) -> None:
    command = await den.attempt()
    with locks.alone(den.folder):
        assert prune_home(den.settings, carry_out) == []
        old(den)
        assert prune_home(den.settings, carry_out) == [] and den.worktrees == [f"{command.task.hex}-1"]
        await den.workspaces.discard(command)
        old(den)
        assert [p.what for p in prune_home(den.settings, carry_out)] == ["repository"]


def old(den: Den) -> None:
    """Make all that there is a year old."""
    year = time.time() - 365 * 86_400
    for path in (*den.folder.glob("*/*"), *den.folder.glob(f"repositories/*/{locks.MARK}")):
        os.utime(path, (year, year))


async def test_what_a_daemon_that_is_down_has_yet_to_report_of_stays(den: Den) -> None:
    command = await den.attempt()
    journal = Journal(den.folder / "journal")
    journal.add(TaskAccepted(seq=1, task=command.task, attempt=1))
    journal.close()
    den.workspaces = Workspaces(den.folder)
    old(den)
    before = (den.folder / "journal").read_bytes()
    assert prune_home(den.settings, carry_out) == []
    assert den.worktrees == [f"{command.task.hex}-1"] and (den.folder / "journal").read_bytes() == before


async def test_the_daemon_itself_packs_a_copy_that_has_become_scattered(den: Den) -> None:
    command = await den.attempt()
    await den.workspaces.discard(command)
    (copy,) = den.copies
    for n in range(55):
        blob = den.shop.folder / "blob"
        blob.write_text(f"{n}\n")
        oid = sh(copy, "git", "hash-object", "-w", str(blob))
        subprocess.run(
            ("git", "pack-objects", "-q", "objects/pack/pack"), cwd=copy, input=f"{oid}\n".encode(), check=True
        )
    await prune_own(den.folder, den.settings, frozenset)
    assert len(list((copy / "objects" / "pack").glob("*.pack"))) < 5
    assert sh(copy, "git", "rev-parse", "refs/remotes/origin/main") == sh(den.shop.remote, "git", "rev-parse", "main")


async def test_the_command_says_what_it_would_free_and_frees_it(den: Den) -> None:
    command = await den.attempt()
    await den.workspaces.discard(command)
    old(den)

    def makima(*more: str) -> str:
        environment = {**os.environ, "MAKIMA_HOME": str(den.settings.home), "PYTHONPATH": str(ROOT)}
        argv = (sys.executable, "-m", "cli", "daemon", "prune", *more)
        return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout

    said = makima("--dry-run").splitlines()
    assert "repository" in said[0] and "unused for 365 days" in said[0] and said[-1].endswith("would be freed")
    assert len(den.copies) == 1
    (freed,) = json.loads(makima("-o", "json"))
    assert freed["name"] == str(den.shop.remote) and freed["bytes"] > 1000 and den.copies == []
    assert makima() == "nothing to remove\n"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may go to."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def test_folders_that_may_not_be_written_to_are_removed_all_the_same(open_folder: Path) -> None:
    """As an account that such permissions bind: root is above them."""
    if (child := os.fork()) == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        inner = open_folder / "worktree" / "cache" / "module"
        inner.mkdir(parents=True)
        (inner / "file").write_text("x")
        (inner / "link").symlink_to("/")
        for path, mode in ((inner / "file", 0o444), (inner, 0o000), (inner.parent, 0o555)):
            path.chmod(mode)
        folders.remove(open_folder / "worktree")
        os._exit(int((open_folder / "worktree").exists()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_copys_address_is_shown_without_the_password_in_it(tmp_path: Path) -> None:
    copy = tmp_path / "repositories" / "x.git"
    sh(tmp_path, "git", "init", "--quiet", "--bare", str(copy))
    sh(copy, "git", "remote", "add", "origin", "https://me:secret@example.org/a/b.git")
    (pruned,) = survey(tmp_path, ALWAYS, frozenset)
    assert pruned.name == "https://example.org/a/b.git"
