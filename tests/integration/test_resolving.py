"""A conflict is resolved by an agent, where the merge has stopped, and its resolution is judged natively."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.daemon.git.judging import DROPPED
from services.daemon.git.resolving import ROUNDS
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Conflicted, Delivered
from tests.delivery_harness import DeliveryHarness, Edit, sh, write

pytestmark = pytest.mark.anyio
BASE = {"a.txt": "one\ntwo\nthree\n", "b.txt": "b\n"}


@pytest.fixture
def shop(tmp_path: Path) -> DeliveryHarness:
    shop = DeliveryHarness(tmp_path, BASE)
    shop.step("mine", write("a.txt", "one\nmine\nthree\n"))
    shop.step("yours", write("a.txt", "one\nyours\nthree\n"), write("c.txt", "c\n"))
    return shop


class Agent:
    """Does what it is told a round, and keeps what it was asked."""

    def __init__(self, *rounds: Edit) -> None:
        self._rounds = list(rounds)
        self.prompts: list[str] = []

    async def __call__(self, worktree: Path, prompt: str) -> None:
        self.prompts.append(prompt)
        self._rounds.pop(0)(worktree)


def resolve(text: str = "one\nmine\nyours\nthree\n", *, message: str = "") -> Edit:
    def work(folder: Path) -> None:
        (folder / "a.txt").write_text(text)
        sh(folder, "git", "add", "a.txt")
        said = ["-m", message] if message else ["--no-edit"]
        sh(folder, "git", "commit", "-q", *said)

    return work


def nothing(folder: Path) -> None:
    assert (folder / "a.txt").read_text().startswith("one\n<<<<<<< ")


def only_added(folder: Path) -> None:
    (folder / "a.txt").write_text("one\nmine\nyours\nthree\n")
    sh(folder, "git", "add", "a.txt")


def markers_committed(folder: Path) -> None:
    sh(folder, "git", "commit", "-qam", "there")


def abort(folder: Path) -> None:
    sh(folder, "git", "merge", "--abort")


def side_dropped_elsewhere(folder: Path) -> None:
    (folder / "c.txt").unlink()
    (folder / "a.txt").write_text("one\nmine\nyours\nthree\n")
    sh(folder, "git", "add", "--all")
    sh(folder, "git", "commit", "-q", "--no-edit")


@pytest.mark.parametrize("good", [resolve(), only_added])
async def test_a_resolution_that_keeps_both_sides_is_delivered(shop: DeliveryHarness, good) -> None:
    agent = Agent(good)
    result = await shop.deliver(agent)
    assert isinstance(result, Delivered)
    assert shop.show("a.txt") == "one\nmine\nyours\nthree"
    assert "c.txt" in shop.files()
    assert "the merge of makima/yours (yours) into" in agent.prompts[0] and "- a.txt" in agent.prompts[0]
    assert len(sh(shop.remote, "git", "log", "-1", "--format=%P", shop.target).split()) == 2


def rebegin(folder: Path) -> None:
    sh(folder, "git", "merge", "refs/remotes/origin/makima/yours", check=False)
    resolve()(folder)


def fix_markers(folder: Path) -> None:
    (folder / "a.txt").write_text("one\nmine\nyours\nthree\n")


@pytest.mark.parametrize(
    ("bad", "then", "words"),
    [
        (nothing, resolve(), "a.txt still conflicts"),
        (markers_committed, fix_markers, "a.txt still has conflict markers"),
        (abort, rebegin, "the merge is not there any more"),
        (resolve("one\nmine\nthree\n"), fix_markers, "a.txt holds nothing of what makima/yours did to it"),
        (side_dropped_elsewhere, lambda folder: (folder / "c.txt").write_text("c\n"), "c.txt holds nothing"),
    ],
    ids=["left", "markers", "aborted", "dropped side", "dropped elsewhere"],
)
async def test_what_is_left_undone_is_sent_back(shop: DeliveryHarness, bad, then, words: str) -> None:
    agent = Agent(bad, then)
    result = await shop.deliver(agent)
    assert isinstance(result, Delivered)
    assert words in agent.prompts[1]
    assert shop.show("a.txt") == "one\nmine\nyours\nthree" and shop.show("c.txt") == "c"


def settle(*commands: str) -> Edit:
    """What an agent does to a conflict of b.txt, then commits."""

    def work(folder: Path) -> None:
        for command in commands:
            sh(folder, "bash", "-c", command)
        sh(folder, "git", "commit", "-q", "--no-edit")

    return work


GONE: Edit = lambda folder: (folder / "b.txt").unlink()  # noqa: E731
EDITED = write("b.txt", "bee\n")


@pytest.mark.parametrize(("one", "two"), [(GONE, EDITED), (EDITED, GONE)], ids=["deleted, edited", "edited, deleted"])
async def test_an_edit_of_a_file_that_the_other_side_deleted_is_not_dropped_without_a_word(
    tmp_path: Path, one: Edit, two: Edit
) -> None:
    shop = DeliveryHarness(tmp_path, BASE)
    shop.step("one", one)
    shop.step("two", two)
    agent = Agent(settle("git rm -q b.txt"), EDITED)
    assert isinstance(await shop.deliver(agent), Delivered)
    assert "b.txt holds nothing of what" in agent.prompts[1] and shop.show("b.txt") == "bee"


async def test_conflicts_of_binary_files_modes_and_submodules_are_delivered_as_they_were_resolved(
    tmp_path: Path,
) -> None:
    inner = tmp_path / "inner"
    sh(tmp_path, "git", "init", "--quiet", "-b", "main", str(inner))
    commits = []
    for name in ("base", "mine", "yours"):
        sh(inner, "git", "commit", "-q", "--allow-empty", "-m", name)
        commits.append(sh(inner, "git", "rev-parse", "HEAD"))
        sh(inner, "git", "checkout", "-q", "--detach", commits[0])

    def pinned(commit: str) -> Edit:
        return lambda folder: sh(folder, "git", "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")

    shop = DeliveryHarness(tmp_path, {"run.sh": "echo\n", "picture": b"\0base"})
    for name, commit in (("mine", commits[1]), ("yours", commits[2])):
        shop.step(
            name,
            write("picture", f"\0{name}".encode()),
            write("run.sh", f"echo {name}\n"),
            lambda folder: (folder / "run.sh").chmod(0o755),
            lambda folder, commit=commit: (folder / "sub").mkdir(exist_ok=True) or pinned(commit)(folder),
        )
    told: list[str] = []

    async def agent(worktree: Path, prompt: str) -> None:
        told.append(prompt)
        (worktree / "picture").write_bytes(b"\0both")
        (worktree / "run.sh").write_text("echo mine\necho yours\n")
        sh(worktree, "git", "add", "picture", "run.sh")
        pinned(commits[2])(worktree)
        said = "Merge\n\nDropped: sub: yours is the later one"
        sh(worktree, "git", "commit", "-q", "-m", said)

    assert isinstance(await shop.deliver(agent), Delivered)
    assert all(f"- {name}" in told[0] for name in ("picture", "run.sh", "sub"))
    listed = dict(reversed(line.split("\t")) for line in sh(shop.remote, "git", "ls-tree", shop.target).splitlines())
    assert listed["run.sh"].startswith("100755 blob") and listed["sub"] == f"160000 commit {commits[2]}"
    assert shop.show("run.sh") == "echo mine\necho yours" and shop.show("picture") == "\0both"


async def test_a_side_may_be_dropped_when_the_merge_says_why(shop: DeliveryHarness) -> None:
    agent = Agent(resolve("one\nmine\nthree\n", message=f"Merge\n\n{DROPPED} a.txt: mine does both"))
    assert isinstance(await shop.deliver(agent), Delivered)


async def test_after_the_last_round_it_fails_with_the_commands_to_resolve_it_by_hand(shop: DeliveryHarness) -> None:
    agent = Agent(*[nothing] * ROUNDS)
    with pytest.raises(WorkspaceFailed, match=r"still conflicts.*by hand: git fetch origin; .*git merge") as raised:
        await shop.deliver(agent)
    assert raised.value.permanent and len(agent.prompts) == ROUNDS
    assert shop.target not in shop.branches()


async def test_a_conflict_resolved_once_is_not_resolved_twice(shop: DeliveryHarness) -> None:
    await shop.deliver(Agent(resolve()))
    sh(shop.remote, "git", "update-ref", "-d", f"refs/heads/{shop.target}")
    assert isinstance(await shop.deliver(), Delivered)
    assert shop.show("a.txt") == "one\nmine\nyours\nthree"


async def test_attributes_of_the_repository_count_where_a_merge_stops(tmp_path: Path) -> None:
    shop = DeliveryHarness(tmp_path, {**BASE, ".gitattributes": "a.txt merge=union\n"})
    shop.step("mine", write("a.txt", "one\nmine\nthree\n"))
    shop.step("yours", write("a.txt", "one\nyours\nthree\n"))
    assert isinstance(await shop.deliver(), Delivered)
    assert shop.show("a.txt") == "one\nmine\nyours\nthree"


async def test_two_conflicts_are_resolved_one_after_the_other(shop: DeliveryHarness) -> None:
    shop.step("third", write("a.txt", "one\nthird\nthree\n"))
    agent = Agent(resolve(), resolve("one\nmine\nyours\nthird\nthree\n"))
    assert isinstance(await shop.deliver(agent), Delivered)
    assert shop.show("a.txt") == "one\nmine\nyours\nthird\nthree"


async def test_without_an_agent_the_conflict_is_the_result(shop: DeliveryHarness) -> None:
    assert isinstance(await shop.deliver(), Conflicted)
