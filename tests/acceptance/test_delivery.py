"""From a goal to a pull request that was merged, through every process, with the real gh and an agent that resolves."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.failpoints import arm
from tests import github as fake
from tests.conftest import ROOT, Cluster, git
from tests.github import GitHub
from tests.postgres import home
from tests.waiting import until

DEADLINE_SECONDS = 60.0
FIXER = f"""
[agents.fixer]
kind = "command"
command = ["{sys.executable}", "{ROOT / "tests" / "agents" / "fixer.py"}"]
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitHub]:
    folder = fake.short_folder(tmp_path_factory.mktemp("hub"))
    with fake.github(folder) as playing:
        yield playing
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git finds at the forge's address."""
    folder = tmp_path_factory.mktemp("forge")
    bare, work = folder / "shop.git", folder / "work"
    git(folder, "init", "--quiet", "--bare", "-b", "main", str(bare))
    git(folder, "clone", "--quiet", str(bare), str(work))
    (work / "a.txt").write_text("one\ntwo\nthree\n")
    git(work, "add", ".")
    git(work, "commit", "--quiet", "-m", "start")
    git(work, "push", "--quiet", "origin", "HEAD:main")
    return bare


@pytest.fixture(scope="module")
def failpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("failpoints")


@pytest.fixture(scope="module")
def cluster(hub: GitHub, remote: Path, failpoints: Path) -> Iterator[Cluster]:
    with home() as folder:
        running = Cluster(folder, sweep_seconds="1", pull_request_poll_seconds="1", failpoints=str(failpoints))
        running.environment.update(hub.environment(remote))
        folder.mkdir(exist_ok=True)
        (folder / "makima.toml").write_text(FIXER)
        running.makima("up", "--detach")
        yield running
        running.makima("down")


def start(cluster: Cluster, repository: str, plan: list[dict[str, Any]], folder: Path, *more: str) -> str:
    path = folder / "plan.json"
    path.write_text(json.dumps(plan))
    arguments = ("--repo", repository, "--plan", str(path), "--start", *more)
    return cluster.make("directive", "create", "--title", "A job", "--goal", "Do `it`", *arguments)


def shown_as(cluster: Cluster, directive: str, wanted: str, **facts: object) -> dict[str, Any]:
    """The directive, once its status is the wanted one and these facts hold."""
    return cluster.await_shown(directive, DEADLINE_SECONDS, status=wanted, **facts)


def writes(name: str, **more: object) -> dict[str, Any]:
    return {"name": f"Write {name}", "taskPlan": f"```sh\necho {name} >{name}.txt\n```", **more}


def files(remote: Path, branch: str) -> set[str]:
    return set(git(remote, "ls-tree", "-r", "--name-only", branch).split())


def heads(remote: Path) -> list[str]:
    """The branches that a forge lists."""
    return git(remote, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


def test_a_pull_request_from_its_first_delivery_to_its_merge(
    cluster: Cluster, hub: GitHub, remote: Path, tmp_path: Path
) -> None:
    directive = start(cluster, hub.url, [writes("one"), writes("two")], tmp_path, "--agent", "fixer")
    shown = shown_as(cluster, directive, "idle", pr_url=f"{hub.url}/pull/1")
    assert {"one.txt", "two.txt"} <= files(remote, shown["pr_branch"])
    body = hub.pulls[0]["body"]
    assert "\nDo `it`\n" in body and "- ✔ **Write one**" in body and "- ✔ **Write two**" in body
    cluster.makima(
        "directive", "add-step", "Write three", "--directive", directive, "--task-plan", "```sh\necho 3 >three.txt\n```"
    )
    until(
        lambda: "three.txt" in files(remote, shown["pr_branch"]) and "Write three" in hub.pulls[0]["body"],
        lambda: hub.pulls[0]["body"],
        DEADLINE_SECONDS,
    )
    shown_as(cluster, directive, "idle")
    assert len(hub.pulls) == 1
    hub.end(1, "merged")
    shown_as(cluster, directive, "completed")
    assert heads(remote) == ["main"]
    cluster.makima(
        "directive", "add-step", "Write four", "--directive", directive, "--task-plan", "```sh\necho 4 >four.txt\n```"
    )
    again = shown_as(cluster, directive, "idle", pr_url=f"{hub.url}/pull/2")
    assert again["pr_branch"] == f"{shown['pr_branch']}-2"
    assert {"three.txt", "four.txt"} <= files(remote, again["pr_branch"])
    hub.end(2, "closed")
    assert "was closed without being merged" in shown_as(cluster, directive, "paused")["pause_reason"]
    cluster.makima("directive", "update", directive, "--status", "completed")
    shown_as(cluster, directive, "completed")


def test_a_goal_that_changes_while_its_delivery_runs_is_delivered_after_it_on_the_same_pull_request(
    cluster: Cluster, hub: GitHub, remote: Path, tmp_path: Path
) -> None:
    made, live, go = len(hub.pulls), tmp_path / "live", tmp_path / "go"
    check = f"if test -e uno.txt -a -e due.txt; then touch {live}; until test -e {go}; do sleep 0.05; done; fi"
    directive = start(cluster, hub.url, [writes("uno"), writes("due")], tmp_path, "--agent", "shell", "--check", check)
    until(live.exists, "the delivery's check runs", DEADLINE_SECONDS)
    step = "makima directive add-step 'Write tre' --task-plan 'echo tre >tre.txt'"
    cluster.makima("directive", "goal", directive, f"Do more\n\n```sh\n{step}\n```")
    until(
        lambda: [s["status"] for s in cluster.show(directive)["steps"] if s["name"] == "Write tre"] == ["completed"],
        "the new goal's step runs beside the delivery",
        DEADLINE_SECONDS,
    )
    go.touch()
    shown = shown_as(cluster, directive, "idle", pr_url=f"{hub.url}/pull/{made + 1}")
    until(
        lambda: "tre.txt" in files(remote, shown["pr_branch"]),
        "the new goal's work is delivered",
        DEADLINE_SECONDS,
    )
    until(lambda: "Do more" in hub.pulls[made]["body"], "the pull request tells of the new goal", DEADLINE_SECONDS)
    shown = shown_as(cluster, directive, "idle", pr_url=f"{hub.url}/pull/{made + 1}")
    assert {"uno.txt", "due.txt", "tre.txt"} <= files(remote, shown["pr_branch"])
    assert len(hub.pulls) == made + 1
    assert {step["status"] for step in shown["steps"]} == {"completed"}


def test_with_steps_outside_of_the_branches_a_forge_lists_only_the_delivery(
    hub: GitHub, remote: Path, tmp_path: Path
) -> None:
    made, before = len(hub.pulls), set(heads(remote))
    with home() as folder:
        cluster = Cluster(
            folder, sweep_seconds="1", pull_request_poll_seconds="1", step_refs="refs/makima", slots="1", daemons="2"
        )
        cluster.environment.update(hub.environment(remote))
        cluster.makima("up", "--detach")
        try:
            meet = f"touch {tmp_path}/$name; until test -e {tmp_path}/red -a -e {tmp_path}/green; do sleep 0.05; done"
            plan = [
                {"name": f"Write {n}", "taskPlan": f"```sh\nname={n}; {meet}\necho {n} >{n}.txt\n```"}
                for n in ("red", "green")  # at once, so each on a daemon of its own
            ]
            plan.append(writes("white", dependsOn=[p["name"] for p in plan]))
            directive = start(cluster, hub.url, plan, tmp_path)
            shown = shown_as(cluster, directive, "idle", pr_url=f"{hub.url}/pull/{made + 1}")
            assert {"red.txt", "green.txt", "white.txt"} <= files(remote, shown["pr_branch"])
            assert len({step["daemon"] for step in shown["steps"]}) == 2
            assert set(heads(remote)) - before == {shown["pr_branch"]}
            assert len(git(remote, "for-each-ref", "refs/makima").splitlines()) == len(plan)
            hub.end(made + 1, "merged")
            shown_as(cluster, directive, "completed")
            assert set(heads(remote)) == before and not git(remote, "for-each-ref", "refs/makima")
        finally:
            cluster.makima("down")


def test_parallel_steps_on_the_same_lines_are_resolved_by_the_agent(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    plan = [
        {"name": side, "taskPlan": f"```sh\nprintf 'hello\\n{side}\\n' >README.md\n```"} for side in ("mine", "yours")
    ]
    directive = start(cluster, str(origin), plan, tmp_path, "--agent", "fixer")
    shown = shown_as(cluster, directive, "completed")
    text = git(origin, "show", f"{shown['pr_branch']}:README.md")
    assert "mine" in text and "yours" in text and "<<<<" not in text


def test_a_step_that_joins_conflicting_steps_resolves_them_first(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    plan = [
        {"name": side, "taskPlan": f"```sh\nprintf 'hello\\n{side}\\n' >README.md\n```"} for side in ("mine", "yours")
    ]
    plan.append(writes("joined", dependsOn=["mine", "yours"]))
    directive = start(cluster, str(origin), plan, tmp_path, "--agent", "fixer")
    shown = shown_as(cluster, directive, "completed")
    text = git(origin, "show", f"{shown['pr_branch']}:README.md")
    assert "mine" in text and "yours" in text and "joined.txt" in files(origin, shown["pr_branch"])


def test_a_conflict_that_the_shell_can_not_judge_pauses_with_the_commands(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    plan = [{"name": side, "taskPlan": f"echo {side} >README.md"} for side in ("mine", "yours")]
    directive = start(cluster, str(origin), plan, tmp_path, "--agent", "shell")
    shown = shown_as(cluster, directive, "paused", paused_for="delivery")
    assert "README.md; by hand: git fetch origin" in shown["pause_reason"]


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("daemon.git.merge-tree.after", marks=pytest.mark.long),
        pytest.param("daemon.delivery.before_push", marks=pytest.mark.long),
        "daemon.delivery.after_push",
        "daemon.pull_request.before_create",
        "daemon.pull_request.after_create",
        pytest.param("completer.order.before_commit", marks=pytest.mark.long),
        "completer.order.after_commit",
        pytest.param("completer.settle.before_commit", marks=pytest.mark.long),
        "completer.settle.after_commit",
    ],
)
def test_killed_at_any_point_of_a_delivery_there_is_one_branch_and_one_pull_request(
    cluster: Cluster, hub: GitHub, remote: Path, failpoints: Path, tmp_path: Path, point: str
) -> None:
    before = len(hub.pulls)
    arm(failpoints, point, "kill")
    name = point.replace(".", "-")
    directive = start(cluster, hub.url, [writes(name), writes(f"{name}-2")], tmp_path, "--agent", "fixer")
    fired = failpoints / f"{point}.fired"
    until(fired.exists, lambda: f"{point} is reached: {cluster.show(directive)}", DEADLINE_SECONDS)
    shown = shown_as(cluster, directive, "idle", pr_url=f"{hub.url}/pull/{before + 1}")
    assert {f"{name}.txt", f"{name}-2.txt"} <= files(remote, shown["pr_branch"])
    assert len(hub.pulls) == before + 1
    assert [p["head"]["ref"] for p in hub.pulls].count(shown["pr_branch"]) == 1
    fired.unlink()


def watching(cluster: Cluster, directive: str) -> subprocess.Popen[str]:
    """A watch in a pipe."""
    argv = [sys.executable, "-m", "cli", "watch", directive, "--timeout", str(DEADLINE_SECONDS)]
    return subprocess.Popen(
        argv, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )


def held(name: str, go: Path) -> str:
    """A script that writes a file once it may."""
    return f"```sh\nuntil test -e {go}; do sleep 0.05; done; echo {name} >{name}.txt\n```"


def test_a_watch_follows_what_is_delivered_anew_to_its_own_end(
    cluster: Cluster, hub: GitHub, remote: Path, tmp_path: Path
) -> None:
    check = ("--check", "! test -e bad.txt", "--on-failure", "pause")
    directive = start(cluster, hub.url, [writes("ein")], tmp_path, "--agent", "shell", *check)
    with watching(cluster, directive) as first:
        said = first.communicate()[0]
    assert first.returncode == 0 and said.splitlines()[-1].startswith("pull request open"), said
    branch, url = (cluster.show(directive)[name] for name in ("pr_branch", "pr_url"))

    go = tmp_path / "go"
    cluster.makima("directive", "add-step", "Zwei", "--directive", directive, "--task-plan", held("zwei", go))
    with watching(cluster, directive) as second:
        assert second.stdout is not None
        until(lambda: "step Zwei running" in second.stdout.readline(), "the new step is followed", DEADLINE_SECONDS)  # type: ignore[union-attr]
        assert second.poll() is None, "it waits, though an earlier state was delivered"
        go.touch()
        said = second.stdout.read()
    assert second.wait() == 0, said
    assert "zwei.txt" in files(remote, branch), "it ends when the new step is delivered, not before"
    assert said.splitlines()[-1] == f"pull request open on {branch}, {url}"
    assert said.count("delivered makima/") == 1

    goal = "makima directive add-step Drei --task-plan 'echo drei >drei.txt; echo bad >bad.txt'"
    cluster.makima("directive", "goal", directive, f"Do more\n\n```sh\n{goal}\n```")
    with watching(cluster, directive) as third:
        said = third.communicate()[0]
    assert third.returncode == 1 and "Drei completed" in said, said
    assert said.splitlines()[-1].startswith("paused: ") or "\npaused: " in said, said
    assert "bad.txt" not in files(remote, branch)
