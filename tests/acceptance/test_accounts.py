"""The main job for accounts as people have them: signing, hooks and ignored files of theirs don't keep work back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Cluster, git
from tests.postgres import home
from tests.sampled import sampled

SOMEBODY = "[user]\n\tname = Somebody\n\temail = somebody@example.com\n"
SIGNING = "[commit]\n\tgpgSign = true\n[tag]\n\tgpgSign = true\n[gpg]\n\tprogram = false\n"
HOOKS = "[core]\n\thooksPath = {folder}/hooks\n"
IGNORE = "[core]\n\texcludesFile = {folder}/ignore\n"
ACCOUNTS = {
    "nobody": "",
    "one that signs, without a key": SOMEBODY + SIGNING,
    "one with hooks that fail": SOMEBODY + HOOKS,
    "one that ignores .env": SOMEBODY + IGNORE,
    "nobody, with all of it": SIGNING + HOOKS + IGNORE,
}
EACH_RUN = ("nobody", "nobody, with all of it")
PLAN: list[dict[str, object]] = [
    {"name": "One", "taskPlan": "echo 1 >one.txt"},
    {"name": "Two", "taskPlan": "echo 2 >two.txt; git add two.txt; git commit -qm 'By the agent itself'"},
    {"name": "Three", "taskPlan": "cat one.txt two.txt >three.txt", "dependsOn": ["One", "Two"]},
]


def home_of(configuration: str, folder: Path) -> Path:
    """The home of an account with this configuration of git."""
    (folder / "hooks").mkdir(parents=True)
    for hook in ("pre-commit", "commit-msg", "prepare-commit-msg", "pre-merge-commit", "post-checkout", "pre-push"):
        (folder / "hooks" / hook).write_text(f"#!/bin/sh\necho {hook} >>{folder}/ran\nexit 1\n")
        (folder / "hooks" / hook).chmod(0o755)
    (folder / "ignore").write_text(".env\n")
    (folder / ".gitconfig").write_text(configuration.format(folder=folder))
    return folder


@pytest.fixture(scope="module", params=sampled(ACCOUNTS, EACH_RUN))
def account(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose configuration the cluster's git would have."""
    return home_of(ACCOUNTS[request.param], tmp_path_factory.mktemp("account"))


@contextmanager
def cluster_of(account: Path) -> Iterator[Cluster]:
    """A cluster that this account runs."""
    with home() as folder:
        cluster = Cluster(folder, sweep_seconds="3600")
        cluster.environment = of(account, cluster.environment)
        cluster.makima("up", "--detach")
        yield cluster
        cluster.makima("down")


@pytest.fixture(scope="module")
def theirs(account: Path) -> Iterator[Cluster]:
    """The account's own cluster."""
    with cluster_of(account) as cluster:
        yield cluster


def of(account: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for somebody whose home this is, whoever runs the tests."""
    kept = {k: v for k, v in environment.items() if not k.startswith(("GIT_", "XDG_"))}
    return {**kept, "HOME": str(account)}


def deliver(cluster: Cluster, origin: Path, plan: list[dict[str, object]]) -> dict[str, Any]:
    """A directive with this plan, once it is delivered."""
    file = origin.parent / "plan.json"
    file.write_text(json.dumps(plan))
    arguments = ("--title", "A job", "--repo", str(origin), "--plan", str(file), "--start")
    directive = cluster.make("directive", "create", *arguments)
    cluster.makima("directive", "watch", directive, "--timeout", "60")
    return cluster.show(directive)


def names(origin: Path, branch: str) -> set[str]:
    """The files that a branch holds."""
    return set(git(origin, "ls-tree", "-r", "--name-only", branch).split())


def test_what_steps_did_is_delivered_in_their_name_and_no_hook_of_theirs_runs(
    theirs: Cluster, account: Path, origin: Path
) -> None:
    shown = deliver(theirs, origin, PLAN)
    branch = shown["pr_branch"]
    assert names(origin, branch) == {"README.md", "one.txt", "two.txt", "three.txt"}
    assert "By the agent itself" in git(origin, "log", "--format=%s", branch).splitlines()
    authors = set(git(origin, "log", "--format=%an <%ae>", f"main..{branch}").splitlines())
    person = "Somebody <somebody@example.com>" if "Somebody" in (account / ".gitconfig").read_text() else None
    assert authors == {person or "makima <makima@localhost>"}
    assert not (account / "ran").exists()


def test_what_they_ignore_is_not_delivered(tmp_path: Path, origin: Path) -> None:
    account = home_of(ACCOUNTS["one that ignores .env"], tmp_path / "account")
    with cluster_of(account) as theirs:
        shown = deliver(theirs, origin, [{"name": "One", "taskPlan": "echo 1 >one.txt; echo TOKEN=abc >.env"}])
    assert names(origin, shown["pr_branch"]) == {"README.md", "one.txt"}


@pytest.mark.long
def test_the_demo_delivers_too(tmp_path: Path) -> None:
    account = home_of(ACCOUNTS["nobody, with all of it"], tmp_path)
    demo = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env=of(account, os.environ),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert demo.returncode == 0 and demo.stdout.count("Delivered: makima/") == 2, demo.stdout + demo.stderr
