"""Deliveries on real git: what parallel steps touch is in the result, or the conflict is named and nothing pushed."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.daemon.delivery import assembling, delivering
from services.daemon.delivery.checking import Outcome
from services.daemon.delivery.scripts import Scripts
from services.daemon.git import merging
from services.daemon.git.proof import ContentMissing, prove
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Broken, Conflicted, Delivered
from tests.delivery_harness import DeliveryHarness, Edit, sh, write
from tests.sampled import sampled
from tests.waiting import until

LINES = "".join(f"line {n}\n" for n in range(40))
BASE = {"a.txt": LINES, "b.txt": "b\n", "run.sh": "echo\n", "picture": bytes(range(256)) * 8, "old/name.txt": LINES}

pytestmark = pytest.mark.anyio


@pytest.fixture
def shop(tmp_path: Path) -> DeliveryHarness:
    return DeliveryHarness(tmp_path, BASE)


def edit(name: str, old: str, new: str) -> Edit:
    def change(folder: Path) -> None:
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def move(old: str, new: str) -> Edit:
    def change(folder: Path) -> None:
        (folder / new).parent.mkdir()
        sh(folder, "git", "mv", old, new)

    return change


def remove(name: str) -> Edit:
    return lambda folder: (folder / name).unlink()


def submodule(folder: Path) -> None:
    inner = folder.parent / "inner"
    inner.mkdir()
    sh(inner, "git", "init", "--quiet", ".")
    sh(inner, "git", "commit", "-qm", "inner", "--allow-empty")
    sh(folder, "git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "sub")


async def delivered(shop: DeliveryHarness, **more: object) -> Delivered:
    result = await shop.deliver(**more)
    assert isinstance(result, Delivered), result
    assert sh(shop.remote, "git", "rev-parse", result.branch) == result.head
    return result


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_different_files_and_the_same_file_in_different_places_come_together(
    shop: DeliveryHarness, strategy: str
) -> None:
    shop.step("one", write("one.txt", "1\n"), edit("a.txt", "line 3\n", "line three\n"))
    shop.step("two", write("two.txt", "2\n"), edit("a.txt", "line 35\n", "line thirty-five\n"))
    await delivered(shop, strategy=strategy)
    assert {"one.txt", "two.txt"} <= set(shop.files())
    text = shop.show("a.txt")
    assert "line three" in text and "line thirty-five" in text
    subjects = sh(shop.remote, "git", "log", "--format=%s", f"main..{shop.target}").splitlines()
    wanted = {"merge": {"Merge makima/two", "makima/one", "makima/two"}, "squash": {"one", "two"}}
    assert set(subjects) == wanted[strategy]


async def test_a_rename_against_an_edit_carries_the_edit_to_the_new_name(shop: DeliveryHarness) -> None:
    shop.step("rename", move("old/name.txt", "new/name.txt"))
    shop.step("edit", edit("old/name.txt", "line 7\n", "line seven\n"))
    await delivered(shop)
    assert "line seven" in shop.show("new/name.txt") and "old/name.txt" not in shop.files()


async def test_mode_bits_binary_files_and_a_submodule_come_along(shop: DeliveryHarness) -> None:
    shop.step("mode", lambda folder: (folder / "run.sh").chmod(0o755))
    shop.step("binary", write("picture", b"\0\1\2" * 1000), write("other", b"\0\xff"))
    shop.step("module", submodule)
    await delivered(shop)
    listed = sh(shop.remote, "git", "ls-tree", "-r", shop.target)
    assert "100755 blob" in next(line for line in listed.splitlines() if line.endswith("\trun.sh"))
    inner = sh(shop.clone.parent / "inner", "git", "rev-parse", "HEAD")
    assert f"160000 commit {inner}\tsub" in listed.splitlines() and "inner" in shop.show(".gitmodules")
    blob = subprocess.run(
        ("git", "show", f"{shop.target}:picture"), cwd=shop.remote, check=True, capture_output=True
    ).stdout
    assert blob == b"\0\1\2" * 1000


async def test_a_file_that_becomes_a_folder_beside_other_work(shop: DeliveryHarness) -> None:
    shop.step("folder", remove("b.txt"), write("b.txt/inside.txt", "in\n"))
    shop.step("other", write("c.txt", "c\n"))
    await delivered(shop)
    assert {"b.txt/inside.txt", "c.txt"} <= set(shop.files()) and "b.txt" not in shop.files()
    assert shop.show("b.txt/inside.txt") == "in" and shop.show("c.txt") == "c"


@pytest.mark.parametrize(
    ("one", "two", "file"),
    [
        (edit("a.txt", "line 3\n", "mine\n"), edit("a.txt", "line 3\n", "yours\n"), "a.txt"),
        (remove("b.txt"), edit("b.txt", "b\n", "bee\n"), "b.txt"),
        (write("picture", b"\0one"), write("picture", b"\0two"), "picture"),
        (write("both.txt", "1\n"), write("both.txt", "2\n"), "both.txt"),
    ],
    ids=["the same lines", "delete against edit", "binary", "added twice"],
)
async def test_a_conflict_is_named_with_its_files_and_nothing_is_pushed(
    shop: DeliveryHarness, one, two, file: str
) -> None:
    shop.step("one", one)
    second = shop.step("two", two)
    result = await shop.deliver()
    assert isinstance(result, Conflicted)
    assert result.branch == "makima/two" and result.files == (file,) and result.step == second.id
    assert shop.target not in shop.branches()
    assert f"git merge origin/{second.branch}" in result.by_hand


@pytest.mark.parametrize("where", ["refs/heads", "refs/makima"])
async def test_what_to_type_by_hand_resolves_the_conflict(tmp_path: Path, where: str) -> None:
    shop = DeliveryHarness(tmp_path, BASE, MAKIMA_STEP_REFS=where)
    sh(tmp_path, "git", "clone", "--quiet", str(shop.remote), "another")
    shop.clone = tmp_path / "another"
    shop.step("one", edit("a.txt", "line 3\n", "mine\n"))
    shop.step("two", edit("a.txt", "line 3\n", "yours\n"))
    result = await shop.deliver()
    assert isinstance(result, Conflicted)
    for line in result.by_hand:
        if line.startswith("# resolve"):
            (shop.clone / "a.txt").write_text("mine and yours\n")
            sh(shop.clone, "git", "add", "a.txt")
            sh(shop.clone, "git", "commit", "--no-edit", "-q")
        elif not line.startswith("makima "):
            sh(shop.clone, "bash", "-c", line, check=not line.startswith("git merge"))
    await delivered(shop)
    assert shop.show("a.txt") == "mine and yours"


async def test_a_chain_is_one_merge_and_a_second_delivery_merges_only_what_is_new(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1\n"))
    shop.step("two", write("two.txt", "2\n"), start="makima/one")
    shop.step("side", write("side.txt", "s\n"))
    first = await delivered(shop)
    assert sh(shop.remote, "git", "log", "--merges", "--format=%s", shop.target).splitlines() == ["Merge makima/side"]
    shop.step("three", write("three.txt", "3\n"), start="makima/two")
    second = await delivered(shop)
    assert sh(shop.remote, "git", "rev-list", "--count", f"{first.head}..{second.head}") == "2"
    again = await delivered(shop)
    assert again.head == second.head


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_somebody_elses_commits_on_the_branch_are_kept(shop: DeliveryHarness, strategy: str) -> None:
    one = shop.step("one", write("one.txt", "1\n"))
    await delivered(shop, strategy=strategy)
    theirs = shop.commit(shop.target, write("theirs.txt", "t\n"), start=shop.target)
    two = shop.step("two", write("two.txt", "2\n"), edit("a.txt", "line 1\n", "one\n"), start="makima/one")
    await delivered(shop, strategy=strategy, steps=(two,), earlier=(one,))
    assert {"one.txt", "two.txt", "theirs.txt"} <= set(shop.files())
    sh(shop.remote, "git", "merge-base", "--is-ancestor", theirs, shop.target)
    if strategy == "squash":
        assert sh(shop.remote, "git", "log", "-1", "--format=%s", shop.target) == "two"


async def test_a_base_that_moved_on_is_what_the_delivery_starts_from(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1\n"))
    shop.commit("main", write("later.txt", "l\n"), start="main")
    await delivered(shop)
    assert {"one.txt", "later.txt"} <= set(shop.files())


async def test_a_push_that_comes_second_is_merged_and_pushed_again(
    shop: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.step("one", write("one.txt", "1\n"))
    await delivered(shop)
    shop.step("two", write("two.txt", "2\n"))
    pushes = []

    async def push(repository: Path, commit: str, branch: str, options=()) -> str:
        if len(pushes) < 2:  # somebody is faster, twice
            shop.commit(branch, write(f"theirs-{len(pushes)}.txt", "t\n"), start=branch)
        pushes.append(commit)
        return await real(repository, commit, branch, options)

    real = delivering.push
    monkeypatch.setattr(delivering, "push", push)
    await delivered(shop)
    assert len(pushes) == 3 and sum("merging and pushing again" in line for line in shop.said) == 2
    assert {"one.txt", "two.txt", "theirs-0.txt", "theirs-1.txt"} <= set(shop.files())


async def test_a_remote_that_refuses_is_quoted(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1\n"))
    shop.hook("pre-receive", "echo 'no pushing on Sundays' >&2; exit 1")
    with pytest.raises(WorkspaceFailed, match=r"pre-receive hook declined.*no pushing on Sundays") as raised:
        await shop.deliver()
    assert raised.value.permanent


async def test_a_step_whose_branch_is_gone_is_delivered_by_its_commit_or_named(shop: DeliveryHarness) -> None:
    step = shop.step("one", write("one.txt", "1\n"))
    await shop.deliver(steps=())  # the cache has fetched it
    sh(shop.remote, "git", "update-ref", "-d", f"refs/heads/{step.branch}")
    await delivered(shop)
    assert "one.txt" in shop.files()
    lost = step.__class__(id=step.id, name="lost", branch="makima/lost", head="0" * 39 + "1")
    with pytest.raises(WorkspaceFailed, match="not on the remote: makima/lost"):
        await shop.deliver(steps=(lost,))


async def test_a_result_that_lacks_a_step_is_never_pushed(
    shop: DeliveryHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.step("one", write("one.txt", "1\n"))
    shop.step("two", write("two.txt", "2\n"))

    async def forgetful(repository: Path, begin, tips, strategy="merge", *_more: object) -> str:
        return await merging.merge_all(repository, begin, tips[:1], strategy)

    monkeypatch.setattr(assembling, "merge_all", forgetful)
    for strategy in ("merge", "squash"):
        with pytest.raises(WorkspaceFailed, match=r"lacks .*makima/two.* two\.txt"):
            await shop.deliver(strategy=strategy)
    assert shop.target not in shop.branches()


async def test_squashed_content_that_a_later_step_changed_again_is_no_loss(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1\n"))
    shop.step("two", write("one.txt", "2\n"), start="makima/one")
    await delivered(shop, strategy="squash")
    assert shop.show("one.txt") == "2"
    begin = merging.Tip(branch="main", commit=sh(shop.remote, "git", "rev-parse", "main"))
    tip = merging.Tip(branch="makima/one", commit=sh(shop.remote, "git", "rev-parse", "makima/one"))
    with pytest.raises(ContentMissing, match=r"one\.txt"):
        await prove(shop.remote, begin, [tip], begin.commit, "squash")


async def test_a_file_that_the_base_changed_meanwhile_holds_both_when_squashed(shop: DeliveryHarness) -> None:
    shop.step("one", edit("a.txt", "line 35\n", "line 35, changed by the step\n"))
    shop.commit("main", edit("a.txt", "line 2\n", "line 2, changed on the base\n"), start="main")
    await delivered(shop, strategy="squash")
    text = shop.show("a.txt")
    assert "changed by the step" in text and "changed on the base" in text


async def test_what_two_steps_did_alike_is_missing_when_the_squashed_result_lacks_it(shop: DeliveryHarness) -> None:
    begin = merging.Tip(branch="main", commit=sh(shop.remote, "git", "rev-parse", "main"))
    steps = [shop.step(name, write("same.txt", "the same\n")) for name in ("one", "two")]
    tips = [merging.Tip(branch=step.branch, commit=step.head) for step in steps]
    head = shop.commit("elsewhere", write("same.txt", "something else\n"), start="main")
    with pytest.raises(ContentMissing, match=r"makima/one did to same\.txt"):
        await prove(shop.remote, begin, tips, head, "squash")


@pytest.mark.parametrize("moved", [False, True])
async def test_without_a_forge_it_can_be_merged_into_the_base(shop: DeliveryHarness, moved: bool) -> None:
    shop.step("one", write("one.txt", "1\n"))
    if moved:
        await shop.deliver()
        shop.commit("main", write("later.txt", "l\n"), start="main")
    result = await delivered(shop, merge_into_base=True)
    assert "one.txt" in shop.files("main") and result.notes == ("merged into main",)


@pytest.mark.parametrize("free_slots", [0, 3])
async def test_of_eight_steps_the_two_that_break_the_check_together_are_named(tmp_path: Path, free_slots: int) -> None:
    counter = tmp_path / "checks"
    check = f"echo x >>{counter}; if test -e s2.txt -a -e s6.txt; then echo they clash; exit 1; fi"
    shop = DeliveryHarness(tmp_path, {**BASE, ".makima.toml": f'check = "{check}"\n'})
    steps = [shop.step(f"s{n}", write(f"s{n}.txt", f"{n}\n")) for n in range(8)]
    result = await shop.deliver(free_slots=free_slots)
    assert isinstance(result, Broken)
    assert result.steps == (steps[2].id, steps[6].id)
    assert "they clash" in result.output
    assert result.checks == counter.read_text().count("x") <= 2 * 3 + 2
    assert shop.target not in shop.branches()


async def test_over_free_slots_checks_run_at_once_each_in_a_worktree_of_its_own(tmp_path: Path) -> None:
    """All but the first check wait until two run at once; alone, they would give up and pass."""
    (here := tmp_path / "here").mkdir()
    check = tmp_path / "check.sh"
    check.write_text(
        f"test -e s0.txt -a -e s7.txt && exit 1\npwd >{here}/$(basename $PWD)\n"
        f"for n in $(seq 600); do test $(ls {here} | wc -l) -ge 2 && touch {here}/met; test -e {here}/met && break; "
        f"sleep 0.05; done\ntest ! -e s3.txt\n"
    )
    shop = DeliveryHarness(tmp_path, BASE)
    steps = [shop.step(f"s{n}", write(f"s{n}.txt", f"{n}\n")) for n in range(8)]
    result = await shop.deliver(check=f"sh {check}", free_slots=2)
    assert isinstance(result, Broken) and result.steps == (steps[3].id,) and result.checks <= 8
    assert (here / "met").exists()
    folders = [path.read_text() for path in here.iterdir() if path.name != "met"]
    assert len(set(folders)) == len(folders) == result.checks - 1


async def test_a_check_that_breaks_while_others_run_ends_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = DeliveryHarness(tmp_path, BASE)
    for n in range(8):
        shop.step(f"s{n}", write(f"s{n}.txt", f"{n}\n"))
    check = f"test -e s7.txt && exit 1; touch {tmp_path}/begun; exec -a {tmp_path} sleep 300"
    began = []

    async def run(*arguments: Any) -> Outcome:
        began.append(arguments)
        if len(began) == 3:
            await asyncio.to_thread(until, (tmp_path / "begun").exists, "the check runs")
            raise OSError("the disk is full")
        return await real(*arguments)

    real = Scripts.run
    monkeypatch.setattr(Scripts, "run", run)
    with pytest.raises(OSError, match="the disk is full"):
        await shop.deliver(check=check, free_slots=2)
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in (one.info["cmdline"] or ())]


async def test_what_a_check_leaves_running_ends_with_it(shop: DeliveryHarness, tmp_path: Path) -> None:
    shop.step("one", write("one.txt", "1\n"))
    await delivered(shop, check=f"(exec -a {tmp_path} setsid env -i sleep 300) & (trap '' TERM; sleep 301) & true")
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(tmp_path) in (one.info["cmdline"] or ())]


@pytest.mark.parametrize("guilty", sampled((0, 5, 7), {5}))
async def test_a_step_that_breaks_the_check_alone_is_named_alone(tmp_path: Path, guilty: int) -> None:
    shop = DeliveryHarness(tmp_path, BASE)
    steps = [shop.step(f"s{n}", write(f"s{n}.txt", f"{n}\n")) for n in range(8)]
    result = await shop.deliver(check=f"test ! -e s{guilty}.txt")
    assert isinstance(result, Broken) and result.steps == (steps[guilty].id,) and result.checks <= 8


async def test_a_base_that_fails_its_own_check_is_said(shop: DeliveryHarness) -> None:
    shop.step("one", write("one.txt", "1\n"))
    result = await shop.deliver(check="false")
    assert isinstance(result, Broken) and result.steps == ()


async def test_a_check_that_passes_delivers_and_gets_no_credentials(shop: DeliveryHarness, tmp_path: Path) -> None:
    shop.step("one", write("one.txt", "1\n"))
    os.environ["GH_TOKEN"] = "secret"
    await delivered(shop, check=f"test -e one.txt && env >{tmp_path}/env")
    assert "GH_TOKEN" not in (tmp_path / "env").read_text()


async def test_bad_repository_settings_are_one_clear_line(tmp_path: Path) -> None:
    shop = DeliveryHarness(tmp_path, {".makima.toml": "chekc = 'x'\n"})
    shop.step("one", write("one.txt", "1\n"))
    with pytest.raises(WorkspaceFailed, match=r"\.makima\.toml of the base branch: .*chekc.*it may name: setup, check"):
        await shop.deliver()
