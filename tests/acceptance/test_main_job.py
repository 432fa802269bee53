"""A goal becomes a merged branch, through every process."""

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT, Cluster, git


def create(cluster: Cluster, *arguments: str) -> str:
    return cluster.make("directive", "create", "--title", "A job", "--start", *arguments)


def watch(cluster: Cluster, directive: str) -> str:
    return cluster.makima("directive", "watch", directive, "--timeout", "60")


def stopped(cluster: Cluster, directive: str) -> str:
    """Why a directive was paused, once it is."""
    cluster.makima("directive", "watch", directive, "--timeout", "60", code=1)
    return str(cluster.show(directive)["pause_reason"])


def files(origin: Path, branch: str) -> set[str]:
    return set(git(origin, "ls-tree", "-r", "--name-only", branch).split())


def test_a_planned_goal_is_delivered_with_every_step_once(cluster: Cluster, origin: Path) -> None:
    directive = create(cluster, "--repo", str(origin), "--goal", (ROOT / "examples" / "goal.md").read_text())
    watch(cluster, directive)
    shown = cluster.show(directive)
    assert shown["status"] == "completed"
    assert [s["status"] for s in shown["steps"]] == ["completed"] * 8
    assert {s["generation"] for s in shown["steps"]} == {1}
    assert files(origin, shown["pr_branch"]) == {
        "README.md", "GREETER.md", "VERSION", "check.sh",
        "greeter/all.txt", "greeter/back.txt", "greeter/base.txt", "greeter/front.txt", "greeter/words.txt",
    }  # fmt: skip
    subjects = git(origin, "log", "--no-merges", "--format=%s", shown["pr_branch"]).splitlines()
    assert sorted(subjects) == sorted([*(s["name"] for s in shown["steps"]), "start"])


def test_no_step_starts_before_a_lower_order_index_has_ended(cluster: Cluster, origin: Path) -> None:
    directive = create(cluster, "--repo", str(origin), "--goal", (ROOT / "examples" / "goal.md").read_text())
    watch(cluster, directive)
    order = {s["id"]: s["order_index"] for s in cluster.show(directive)["steps"]}
    left = {index: list(order.values()).count(index) for index in order.values()}
    for event in json.loads(cluster.makima("directive", "log", directive, "-o", "json")):
        body = event["body"]
        if event["type"] == "step.changed" and body["status"] == "running":
            assert not any(left[i] for i in left if i < order[body["step"]])
        if event["type"] == "step.changed" and body["status"] == "completed":
            left[order[body["step"]]] -= 1


def test_a_plan_file_skips_the_planner(cluster: Cluster, origin: Path) -> None:
    directive = create(cluster, "--repo", str(origin), "--plan", str(ROOT / "examples" / "plan.yaml"))
    watch(cluster, directive)
    assert files(origin, cluster.show(directive)["pr_branch"]) == {"README.md", "index.html", "style.css"}


def test_a_local_repository_gets_branches_only(cluster: Cluster, origin: Path) -> None:
    work = origin.parent / "work"
    (work / "README.md").write_text("not committed\n")
    before = git(work, "status", "--porcelain", "--branch")
    directive = create(cluster, "--repo", str(work), "--plan", str(ROOT / "examples" / "plan.yaml"))
    watch(cluster, directive)
    assert git(work, "status", "--porcelain", "--branch") == before
    branches = git(work, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()
    current, delivered = git(work, "branch", "--show-current"), cluster.show(directive)["pr_branch"]
    assert {current, delivered} < set(branches)
    assert all(branch.startswith("makima/") for branch in set(branches) - {current})


def test_a_step_that_fails_is_tried_again_and_then_pauses_the_directive(cluster: Cluster, origin: Path) -> None:
    plan = origin.parent / "plan.json"
    plan.write_text('[{"name": "Break", "taskPlan": "echo trouble; exit 3"}]')
    directive = create(cluster, "--repo", str(origin), "--plan", str(plan))
    assert "step 'Break' failed: the agent shell ended with exit code 3" in stopped(cluster, directive)
    assert cluster.show(directive)["steps"][0]["attempts"] == 2


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ("steps:\n  - name: a\n    dependsOn: [b]\n  - name: b\n    dependsOn: [a]\n", "the plan has a cycle: "),
        ("steps:\n  - name: a\n    color: red\n", "color"),
        ("steps:\n  - name: ''\n", "steps[0]: `name` is empty"),
        ("steps:\n  - name: a\n    dependsOn: [x]\n", "depends_on 'x' is no step"),
        ("steps:\n  - name: 'a\n", "plan.yaml:3: "),
        ("steps: 7\n", "holds no list of steps"),
    ],
)
def test_a_bad_plan_is_one_clear_line_and_makes_nothing(cluster: Cluster, tmp_path: Path, plan: str, says: str) -> None:
    before = cluster.makima("directive", "list", "-o", "json")
    (tmp_path / "plan.yaml").write_text(plan)
    error = cluster.makima("directive", "create", "--title", "x", "--plan", str(tmp_path / "plan.yaml"), code=1)
    assert says in error
    assert error.count("\n") == 1
    assert cluster.makima("directive", "list", "-o", "json") == before


def test_a_repository_that_cannot_be_cloned_pauses_with_the_reason(cluster: Cluster) -> None:
    directive = create(cluster, "--repo", "/nowhere/at/all", "--plan", str(ROOT / "examples" / "plan.yaml"))
    assert "can't be cloned" in stopped(cluster, directive)


def test_a_second_up_on_the_same_home_says_what_runs(cluster: Cluster) -> None:
    assert "a cluster runs already" in cluster.makima("up", code=1)
