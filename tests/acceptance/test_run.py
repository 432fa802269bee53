"""`makima run`: two words in a repository, and whatever they need is found, started, or named."""

from __future__ import annotations

import json
import os
import pty
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.account import Account, a_planner_and_a_worker, claude_for
from tests.conftest import ROOT, git
from tests.models.messages import messages_api
from tests.models.script import Say
from tests.shell import sh
from tests.waiting import until

PLAN = ROOT / "examples" / "plan.yaml"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    account = Account(tmp_path_factory.mktemp("account"))
    yield account
    account.run("down")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("A page",), "no coding agent is installed"),
        (("--agent", "cluade", "A page"), "there is no agent cluade: did you mean claude?"),
        (("--agent", "claude", "A page"), "the agent claude can't work: install claude"),
        (("--base", "mian", "A page"), "there is no branch mian in"),
        (("--base", "mian", "A page"), "did you mean main?"),
        (("--repo", "/no/where", "A page"), "there is no folder /no/where"),
        (("--repo", "https://127.0.0.1:1/a/b", "A page"), "https://127.0.0.1:1/a/b can't be read"),
        (("--repo", "README.md", "A page"), "is a file"),
        (("--plan", "/no/plan.yaml",), "/no/plan.yaml"),
        ((), "say what you want"),
        (("",), "the goal is empty"),
        (("--budget-usd", "much", "A page"), "'much' can't be read"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_before_anything_is_started(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    account = Account(tmp_path)
    said = account.run("run", *arguments, code=1)
    assert says in said and said.count("\n") == 1, said
    assert not (account.home / ".local").exists()


def test_a_folder_without_a_repository_and_one_without_a_commit_are_named(tmp_path: Path) -> None:
    account = Account(tmp_path)
    assert "is in no git repository" in account.run("run", "x", code=1, folder=tmp_path)
    git(tmp_path, "init", "-q", "empty")
    assert "has no commit yet" in account.run("run", "x", code=1, folder=tmp_path / "empty")


def test_a_plan_is_carried_out_from_a_subfolder_to_its_branch(account: Account) -> None:
    below = account.repository / "src"
    below.mkdir()
    (account.repository / "README.md").write_text("# Not committed\n")
    said = account.run("run", "--plan", str(PLAN), folder=below)
    assert f"repository  {account.repository}, from main" in said
    assert "not committed, so no part of it: changes in 1 file" in said
    assert "ends with   a branch of it" in said
    assert "delivered makima/directive-plan-" in said and said.startswith("1  plan\n")
    assert [line for line in said.splitlines() if line.strip() == "plan"] == []
    (branch,) = git(account.repository, "branch", "--list", "--format=%(refname:short)", "makima/directive-*").split()
    assert "# A site" in git(account.repository, "show", f"{branch}:README.md")
    *_, look = said.splitlines()
    assert look == f"  git diff HEAD...{branch}"
    assert f"to see it    {look.strip()}" in account.run("show", folder=below)
    assert git(below, *look.split()[1:]).startswith("diff --git ")
    git(account.repository, "checkout", "-q", "--", "README.md")


def test_a_linked_worktree_works_on_its_own_branch_of_the_repository(account: Account, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(account.repository, "worktree", "add", "-q", "-b", "feature", str(linked))
    account.commit("feature.txt", "a feature\n", linked)
    made = account.begun("--plan", str(PLAN), folder=linked)
    assert (made["repository_url"], made["base_branch"]) == (str(account.repository), "feature")


@pytest.mark.parametrize("how", [(), ("--depth", "1"), ("--filter=blob:none",)], ids=["whole", "shallow", "partial"])
def test_a_clone_works_on_its_remote(account: Account, tmp_path: Path, how: tuple[str, ...]) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "clone", "-q", "--bare", str(account.repository), str(remote))
    git(remote, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", *how, f"file://{remote}", str(clone))
    account.commit("new.txt", "not pushed\n", clone)
    said = account.run("run", "--plan", str(PLAN), folder=clone)
    assert "not on origin, so no part of it: 1 commit" in said
    assert "delivered makima/directive-plan-" in said
    assert git(remote, "branch", "--list", "makima/directive-*")
    assert not git(clone, "branch", "--list", "makima/*")


def test_a_clone_of_a_forge_says_that_it_ends_with_a_pull_request(account: Account, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(account.repository), str(clone))
    git(clone, "remote", "set-url", "origin", "git@github.com:acme/site.git")
    elsewhere = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{account.repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": "git@github.com:acme/site.git",
    }
    said = account.run("run", "--plan", str(PLAN), "--detach", folder=clone, **elsewhere)
    assert "repository  acme/site on github.com, from main" in said
    assert "ends with   a pull request" in said


def test_several_remotes_without_an_origin_are_asked_about(account: Account, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(account.repository), "clone")
    clone = tmp_path / "clone"
    git(clone, "remote", "rename", "origin", "one")
    git(clone, "remote", "add", "two", str(account.repository))
    git(clone, "checkout", "-q", "-b", "mine", "--no-track")
    assert "which of its remotes is meant: one, two?" in account.run("run", "x", code=1, folder=clone)


class Terminal:
    """makima in a terminal of its own."""

    def __init__(self, account: Account, *arguments: str, **more: str) -> None:
        self.seen = b""
        child, self._terminal = pty.fork()
        if child == 0:
            os.chdir(account.repository)
            argv = [sys.executable, "-P", "-m", "cli", *arguments]
            os.execve(sys.executable, argv, {**account.environment, "TERM": "xterm", **more})
        self.pid = child

    def reads(self, words: bytes) -> bool:
        if not select.select([self._terminal], (), (), 1)[0]:
            return words in self.seen
        try:
            self.seen += os.read(self._terminal, 1 << 16)
        except OSError:  # its other side is closed
            return True
        return words in self.seen

    def press(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def ended(self) -> int:
        until(lambda: self.reads(b"\0"), lambda: f"its end; seen: {self.seen[-2000:]!r}")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def a_slow_plan(folder: Path) -> str:
    plan = folder / "slow.json"
    plan.write_text(json.dumps([{"name": "Slow", "taskPlan": "sleep 600"}]))
    return str(plan)


def test_after_ctrl_c_the_work_goes_on_and_that_is_said(account: Account, tmp_path: Path) -> None:
    terminal = Terminal(account, "run", "--plan", a_slow_plan(tmp_path))
    until(lambda: terminal.reads(b"running"), "the step runs", 60)
    terminal.press(b"\x03")
    assert terminal.ended() == 130
    said = terminal.seen.decode().replace("\r", "")
    again = said[said.index("The work goes on. To see it again: makima ") :].split("makima ", 1)[1].split("\n")[0]
    directive = again.split()[-1]
    assert account.shown(directive)["status"] == "active"
    assert account.run(*again.split(), "--timeout", "1", code=124) == ""
    account.run("directive", "archive", directive)


def test_a_long_goal_is_written_in_an_editor_or_comes_from_standard_input(account: Account, tmp_path: Path) -> None:
    account.run("down")  # the daemon that runs was started when there was no claude
    with messages_api(lambda _: [Say("Nothing.")]) as model:
        known = claude_for(account, model.url)
        long = "# Start in under a second\n\n" + "Measure before and after. " * 500
        made = account.begun("-", told=long, **known)
        assert (made["title"], made["goal"]) == ("Start in under a second", long.strip())
        editor = tmp_path / "editor"
        editor.write_text('#!/bin/sh\nprintf "Be quick\\n\\nAt once.\\n" | cat - "$1" >"$1.new" && mv "$1.new" "$1"\n')
        editor.chmod(0o755)
        terminal = Terminal(account, "run", "--detach", **known, EDITOR=str(editor))
        assert terminal.ended() == 0
        assert b"Be quick" in terminal.seen
        empty = Terminal(account, "run", **known, EDITOR="true")
        assert empty.ended() == 1
        assert b"the goal is empty" in empty.seen


def test_the_real_claude_is_found_and_carries_a_goal_out_to_its_branch(tmp_path: Path) -> None:
    account = Account(tmp_path)
    with messages_api(a_planner_and_a_worker) as model:
        known = claude_for(account, model.url)
        try:
            said = account.run("run", "Write a page of words", **known)
            assert "agent       claude" in said and "delivered makima/directive-write-a-page" in said
            (branch,) = sh(account.repository, "git", "branch", "--list", "makima/directive-*").split()
            assert git(account.repository, "show", f"{branch}:page.txt") == "a page"
        finally:
            account.run("down", **known)


@pytest.mark.long
def test_a_goal_in_prose_never_gets_the_shell_agent_in_silence(tmp_path: Path) -> None:
    account = Account(tmp_path)
    with messages_api(a_planner_and_a_worker) as model:
        create = ("directive", "create", "--title", "A page", "--goal", "A page", "--repo", str(account.repository))
        try:
            account.run("up", "--detach")
            draft = account.run(*create, "--quiet").strip()
            assert account.shown(draft)["agent"] is None
            known = claude_for(account, model.url)
            account.run("down")
            account.run("up", "--detach", **known)
            assert account.shown(account.run(*create, "--quiet", **known).strip())["agent"] == "claude"
            account.run("directive", "start", draft)
            account.run("directive", "watch", draft, "--timeout", "60", code=1)
            assert "directive update" in account.shown(draft)["pause_reason"]
            account.run("directive", "update", draft, "--agent", "claude")
            account.run("directive", "replan", draft)
            assert "delivered makima/directive-a-page" in account.run("directive", "watch", draft, "--timeout", "60")
        finally:
            account.run("down")
