"""Deliveries and workspaces whatever the daemon's account has configured, and whatever repositories hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.daemon.workspaces import work
from services.daemon.workspaces.workspace import WorkspaceFailed
from shared.domain.delivery import Conflicted, Delivered
from tests.delivery_harness import DeliveryHarness, Edit, sh, write

CONFIGURED = """
[user]
	name = Someone
	email = someone@example.org
	signingKey = nobody
[commit]
	gpgSign = true
	template = /nowhere
	cleanup = scissors
	verbose = true
[tag]
	gpgSign = true
[gpg]
	program = /bin/false
[push]
	gpgSign = true
	followTags = true
	default = nothing
	recurseSubmodules = on-demand
[core]
	hooksPath = {folder}/hooks
	autocrlf = true
	safecrlf = true
	eol = crlf
	excludesFile = {folder}/ignore
	attributesFile = {folder}/attributes
	editor = /bin/false
	pager = /bin/false
	abbrev = 4
	commentChar = "*"
	fsmonitor = true
[merge]
	ff = only
	conflictStyle = diff3
	log = true
	renames = false
	renormalize = true
	verifySignatures = true
	autoStash = true
[merge "mine"]
	driver = true
[pull]
	rebase = true
	ff = only
[init]
	defaultBranch = trunk
	templateDir = {folder}/nowhere
[safe]
	bareRepository = explicit
[diff]
	noprefix = true
	external = /bin/false
	ignoreSubmodules = all
	relative = true
[status]
	showUntrackedFiles = no
	short = true
	branch = true
[log]
	showSignature = true
	decorate = full
[format]
	pretty = fuller
[color]
	ui = always
	grep = always
[column]
	ui = always
[grep]
	lineNumber = true
	column = true
	patternType = fixed
[submodule]
	recurse = true
[fetch]
	prune = true
	pruneTags = true
	recurseSubmodules = true
[i18n]
	commitEncoding = ISO-8859-1
	logOutputEncoding = ISO-8859-1
[rerere]
	enabled = false
[branch]
	autoSetupMerge = always
	autoSetupRebase = always
[gc]
	auto = 1
[feature]
	manyFiles = true
"""
LINES = "".join(f"line {n}\n" for n in range(40))
pytestmark = pytest.mark.anyio


@pytest.fixture
def hooked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The daemon's account has all of this configured, and hooks that fail. A file that no hook has written to."""
    own = tmp_path / "account"
    (own / "hooks").mkdir(parents=True)
    for name in ("pre-commit", "commit-msg", "pre-push", "post-checkout", "pre-merge-commit", "prepare-commit-msg"):
        (own / "hooks" / name).write_text(f"#!/bin/sh\necho {name} >>{own}/ran\nexit 1\n")
        (own / "hooks" / name).chmod(0o755)
    (own / "ignore").write_text("*.txt\n")
    (own / "attributes").write_text("* merge=mine\n")
    (own / "gitconfig").write_text(CONFIGURED.format(folder=own))

    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(own / "gitconfig"))
    monkeypatch.setenv("LANG", "de_DE.ISO-8859-1")
    monkeypatch.setenv("LANGUAGE", "de")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere")
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    return own / "ran"


class HostileHarness(DeliveryHarness):
    """A workshop whose own git knows nothing of the account."""

    def __init__(self, folder: Path, base: dict[str, str | bytes]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            self._as_nobody(patch)
            super().__init__(folder, base)

    def commit(self, *arguments: object, **more: object) -> str:  # type: ignore[override]
        with pytest.MonkeyPatch.context() as patch:
            self._as_nobody(patch)
            return super().commit(*arguments, **more)  # type: ignore[arg-type]

    @staticmethod
    def _as_nobody(patch: pytest.MonkeyPatch) -> None:
        for name in ("GIT_CONFIG_GLOBAL", "GIT_DIR", "GIT_INDEX_FILE", "GIT_LITERAL_PATHSPECS"):
            patch.delenv(name, raising=False)


def edit(name: str, old: str, new: str) -> Edit:
    def change(folder: Path) -> None:
        text = (folder / name).read_bytes()
        assert old.encode() in text
        (folder / name).write_bytes(text.replace(old.encode(), new.encode(), 1))

    return change


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_what_the_account_configured_changes_nothing_of_a_delivery(
    tmp_path: Path, hooked: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    shop = HostileHarness(tmp_path, {"a.txt": LINES, "dos.txt": LINES.replace("\n", "\r\n"), "old/name.txt": LINES})
    shop.step("Grüße", edit("a.txt", "line 3\n", "line three\n"), edit("dos.txt", "line 3\r", "line three\r"))
    shop.step("two", edit("a.txt", "line 35\n", "line x\n"), edit("dos.txt", "line 35\r", "line x\r"))
    shop.step(
        "name", lambda folder: [(folder / "new").mkdir(), (folder / "old/name.txt").rename(folder / "new/name.txt")]
    )
    shop.step("three", edit("old/name.txt", "line 7\n", "line seven\n"))
    result = await shop.deliver(strategy=strategy)
    assert isinstance(result, Delivered), result
    monkeypatch.delenv("GIT_CONFIG_GLOBAL")
    bare = f"--git-dir={shop.remote}"
    text = sh(tmp_path, "git", bare, "cat-file", "blob", f"{shop.target}:a.txt")
    assert "line three" in text and "line x" in text
    blob = sh(tmp_path, "git", bare, "cat-file", "-s", f"{shop.target}:dos.txt")
    wanted = LINES.replace("\n", "\r\n").replace("line 3\r", "line three\r").replace("line 35\r", "line x\r")
    assert int(blob) == len(wanted)
    assert "line seven" in sh(tmp_path, "git", bare, "cat-file", "blob", f"{shop.target}:new/name.txt")
    if strategy == "squash":
        assert "Grüße" in sh(tmp_path, "git", bare, "log", "--format=%s%n%e", shop.target)
        assert "ISO" not in sh(tmp_path, "git", bare, "log", "--format=%e", shop.target)
    assert not hooked.exists()


async def test_what_an_attempt_leaves_is_committed_as_it_is_but_for_what_the_account_ignores(
    tmp_path: Path, hooked: Path
) -> None:
    shop = HostileHarness(tmp_path, {"a.txt": "a\n"})
    await shop.workspaces.remove_orphans()
    order = shop.command(shop.order())
    command = type(order)(
        task=order.task,
        attempt=1,
        owner="o",
        directive=shop.directive,
        kind="step",
        name="Grüße",
        branch="makima/left",
        repository_url=str(shop.remote),
    )
    made = await shop.workspaces.make(command)
    (made.folder / "left.md").write_bytes(b"one\r\ntwo\n")
    (made.folder / "left.txt").write_bytes(b"ignored\n")
    (made.folder / "a.txt").write_bytes(b"a\r\n")
    worked = work.Worked.of(made, command)
    done = await worked.gather()
    assert done.files == ("a.txt", "left.md")
    assert [c.subject for c in await work.commits(made, done)] == ["Grüße"]
    await work.push_to_remote(worked, done)
    await shop.workspaces.discard(command)
    bare = f"--git-dir={shop.remote}"
    assert sh(tmp_path, "git", bare, "cat-file", "-s", "makima/left:left.md") == "9"
    assert sh(tmp_path, "git", bare, "cat-file", "-s", "makima/left:a.txt") == "3"
    assert not hooked.exists()


async def test_a_conflict_is_resolved_and_judged_whatever_the_account_configured(tmp_path: Path, hooked: Path) -> None:
    shop = HostileHarness(tmp_path, {"a.txt": "one\ntwo\nthree\n"})
    shop.step("mine", write("a.txt", "one\nmine\nthree\n"))
    shop.step("yours", write("a.txt", "one\nyours\nthree\n"))
    asked: list[str] = []

    async def agent(worktree: Path, prompt: str) -> None:
        asked.append(prompt)
        for name in ("GIT_CONFIG_GLOBAL", "GIT_DIR", "GIT_INDEX_FILE", "GIT_LITERAL_PATHSPECS"):
            os.environ.pop(name, None)
        if len(asked) > 1:
            (worktree / "a.txt").write_text("one\nmine\nyours\nthree\n")
        sh(worktree, "git", "add", "a.txt")

    result = await shop.deliver(agent)
    assert isinstance(result, Delivered) and "a.txt still has conflict markers" in asked[1]
    assert shop.show("a.txt") == "one\nmine\nyours\nthree" and not hooked.exists()


ODD = [
    "-dash",
    "sp ace ",
    'quo"te',
    "new\nline",
    "tab\t",
    "*[a]?",
    ":(top)x",
    "~x",
    "\\back",
    "émoji 😀",
    "é",
    "x" * 250,
]


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_odd_file_names_come_along_and_conflicts_in_them_are_named(tmp_path: Path, strategy: str) -> None:
    shop = DeliveryHarness(tmp_path, {name: LINES for name in ODD})
    latin = b"caf\xe9".decode(errors="surrogateescape")
    shop.step("one", *(edit(name, "line 3\n", "three\n") for name in ODD), write(latin, "1\n"))
    shop.step("two", *(edit(name, "line 35\n", "x\n") for name in ODD), write(f"two-{latin}", "1\n"))
    assert isinstance(await shop.deliver(strategy=strategy), Delivered)
    for name in ODD:
        text = shop.show(name)
        assert "three" in text and "\nx\n" in text
    shop.step("three", *(edit(name, "line 35\n", "y\n") for name in ODD), write(latin, "2\n"))
    result = await shop.deliver(strategy=strategy)
    assert isinstance(result, Conflicted) and set(result.files) == {*ODD, "caf\ufffd"}


async def test_a_marker_left_in_a_file_whose_name_is_no_utf8_is_seen(tmp_path: Path) -> None:
    latin = b"caf\xe9".decode(errors="surrogateescape")
    shop = DeliveryHarness(tmp_path, {latin: "one\ntwo\nthree\n"})
    shop.step("mine", write(latin, "one\nmine\nthree\n"))
    shop.step("yours", write(latin, "one\nyours\nthree\n"))
    prompts: list[str] = []

    async def agent(worktree: Path, prompt: str) -> None:
        prompts.append(prompt)
        if len(prompts) == 2:
            (worktree / latin).write_text("one\nmine\nthree\n")
        if len(prompts) == 3:
            (worktree / latin).write_text("one\nmine\nyours\nthree\n")
        sh(worktree, "git", "add", "--all")

    assert isinstance(await shop.deliver(agent), Delivered)
    assert "caf\ufffd still has conflict markers" in prompts[1]
    assert "caf\ufffd holds nothing of what makima/yours did to it" in prompts[2]


@pytest.mark.parametrize("rule", ["*.lock -merge", "*.lock binary"])
async def test_a_file_that_may_not_be_merged_by_lines_conflicts(tmp_path: Path, rule: str) -> None:
    shop = DeliveryHarness(tmp_path, {"a.lock": LINES, "sub/b.txt": LINES, "sub/.gitattributes": "*.txt -merge\n"})
    shop.commit("main", write(".gitattributes", f"{rule}\n"), start="main")
    shop.step("one", edit("a.lock", "line 3\n", "three\n"), edit("sub/b.txt", "line 3\n", "three\n"))
    shop.step("two", edit("a.lock", "line 35\n", "x\n"), edit("sub/b.txt", "line 35\n", "x\n"))
    result = await shop.deliver()
    assert isinstance(result, Conflicted) and result.files == ("a.lock", "sub/b.txt")
    assert not list((tmp_path / "daemon" / "worktrees").iterdir())


@pytest.mark.parametrize("strategy", ["merge", "squash"])
@pytest.mark.parametrize("date", ["1970-01-02T00:00:00Z", "2099-01-01T00:00:00Z"])
async def test_commits_of_clocks_that_are_wrong_are_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str, strategy: str
) -> None:
    shop = DeliveryHarness(tmp_path, {"a.txt": "a\n"})
    for n in range(30):
        shop.commit("main", write("main.txt", f"{n}\n"), start="main")
    monkeypatch.setenv("GIT_COMMITTER_DATE", date)
    monkeypatch.setenv("GIT_AUTHOR_DATE", date)
    shop.step("s0", write("s.txt", "0\n"))
    for n in range(1, 20):
        shop.step(f"s{n}", write("s.txt", f"{n}\n"), start=f"makima/s{n - 1}")
    shop.step("side", write("side.txt", "1\n"))
    monkeypatch.delenv("GIT_COMMITTER_DATE")
    monkeypatch.delenv("GIT_AUTHOR_DATE")
    chain = tuple(shop.steps.values())
    alone = await shop.deliver(strategy=strategy, steps=chain[-2:-1])
    assert isinstance(alone, Delivered), alone
    assert isinstance(await shop.deliver(strategy=strategy, earlier=chain[-2:-1]), Delivered)
    assert shop.show("s.txt") == "19" and shop.show("side.txt") == "1"


async def test_new_files_of_which_git_does_not_know_where_they_belong_are_delivered_and_said(tmp_path: Path) -> None:
    shop = DeliveryHarness(tmp_path, {f"dir/f{n}": "".join(f"{n} {m}\n" for m in range(40)) for n in range(4)})

    def split(folder: Path) -> None:
        for n, new in enumerate("aabb"):
            (folder / new).mkdir(exist_ok=True)
            sh(folder, "git", "mv", f"dir/f{n}", f"{new}/f{n}")

    shop.step("split", split)
    shop.step("new", write("dir/new", "new\n"))
    result = await shop.deliver()
    assert isinstance(result, Delivered) and shop.show("dir/new") == "new"
    assert "makima/new is merged as it is, but look at it: Unclear where to rename dir to" in result.notes[0]


async def test_branches_that_differ_only_by_case_are_told_apart(tmp_path: Path) -> None:
    shop = DeliveryHarness(tmp_path, {"a.txt": "a\n"})
    shop.commit("Feature", write("upper.txt", "1\n"), start="main")
    shop.commit("feature", write("lower.txt", "1\n"), start="main")
    shop.step("one", write("one.txt", "1\n"), start="Feature")
    command = shop.command(shop.order())
    assert isinstance(await shop.deliver(), Delivered)
    known = await shop.workspaces.branches(await shop.workspaces.repository(command))
    assert known["Feature"] != known["feature"] and set(shop.files()) == {"a.txt", "upper.txt", "one.txt"}


async def test_a_branch_in_the_way_of_ours_is_said(tmp_path: Path) -> None:
    shop = DeliveryHarness(tmp_path, {"a.txt": "a\n"}, MAKIMA_STEP_REFS="refs/makima")
    shop.commit("makima", write("b.txt", "1\n"), start="main")
    shop.step("one", write("one.txt", "1\n"))
    with pytest.raises(WorkspaceFailed, match=r"the push of makima/directive-.* was refused"):
        await shop.deliver()
