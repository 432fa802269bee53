"""A repository's own check and setup, from where they fail to where people and planners read how."""

from __future__ import annotations

import json
from pathlib import Path

from tests.acceptance.test_planning import adds, create, delivered, files, goal, paused
from tests.conftest import Cluster, git
from tests.waiting import until


def settings(origin: Path, text: str) -> None:
    """A commit of the repository's own settings on its main branch."""
    work = origin.parent / "work"
    (work / ".makima.toml").write_text(text)
    git(work, "add", ".")
    git(work, "commit", "-qm", "Say how it is checked")
    git(work, "push", "-q", "origin", "HEAD:main")


def question(cluster: Cluster) -> dict[str, str]:
    (asked,) = until(lambda: json.loads(cluster.makima("questions", "-o", "json")), "a question")
    return dict(asked)


def test_a_check_that_fails_is_read_whole_by_people_and_by_the_next_planner(cluster: Cluster, origin: Path) -> None:
    settings(origin, 'check = "test ! -e bad || { echo 3 of 5 tests fail; echo see the log; exit 3; }"\n')
    directive = create(cluster, origin, "--goal", goal(adds("Break it", "touch bad")))
    reason = paused(cluster, directive)
    assert "fails: exit code 3: see the log" in reason and "re-planned 2 times" in reason
    (step, *_) = (s for s in cluster.show(directive)["steps"] if s["status"] == "failed")
    for asked in (directive, step["id"]):
        assert "  | 3 of 5 tests fail\n  | see the log\n" in cluster.makima("why", asked)
    tasks = json.loads(cluster.makima("task", "list", "-o", "json"))
    plans = [t["id"] for t in tasks if t["directive_id"] == directive and t["kind"] == "plan"]
    prompts = [json.loads(cluster.makima("task", "show", t, "-o", "json"))["prompt"] for t in plans]
    assert sum("3 of 5 tests fail" in prompt for prompt in prompts) == 2


def test_a_setup_that_fails_pauses_and_goes_on_once_it_is_fixed(cluster: Cluster, origin: Path) -> None:
    settings(origin, 'setup = "echo no such package; exit 7"\n')
    directive = create(cluster, origin, "--goal", goal(adds("Work", "touch done")))
    reason = paused(cluster, directive)
    assert reason.startswith(
        "the repository's setup `echo no such package; exit 7` fails: exit code 7: no such package"
    )
    assert "  | no such package\n" in cluster.makima("why", directive)
    settings(origin, 'setup = "true"\n')
    cluster.makima("directive", "resume", directive)
    assert files(origin, delivered(cluster, directive)["pr_branch"]) == {".makima.toml", "done"}


def test_a_person_is_asked_about_a_check_that_fails_before_anything_was_changed(cluster: Cluster, origin: Path) -> None:
    settings(origin, 'check = "echo it never passed; exit 4"\n')
    directive = create(cluster, origin, "--goal", goal(adds("Work", "touch done")))
    asked = question(cluster)
    assert "before anything was changed: exit code 4: it never passed. What now?" in asked["text"]
    assert asked["options"] == ["go on without the check", "fix it first", "stop"]
    cluster.makima("answer", asked["id"], "go on without the check")
    shown = delivered(cluster, directive)
    assert shown["status"] == "completed" and files(origin, shown["pr_branch"]) == {".makima.toml", "done"}
    assert all(step["attempts"] == 1 for step in shown["steps"])


def test_a_plan_that_was_brought_asks_about_a_red_base_once_and_costs_no_attempt(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    settings(origin, 'check = "echo it never passed; exit 4"\n')
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "steps:\n- {name: One, task_plan: touch one}\n- {name: Two, task_plan: touch two}\n"
        "- {name: Three, task_plan: touch three, depends_on: [One, Two]}\n"
    )
    directive = create(cluster, origin, "--plan", str(plan), "--max-parallel", "1")
    asked = question(cluster)
    assert "before anything was changed: exit code 4: it never passed. What now?" in asked["text"]
    assert asked["options"] == ["go on without the check", "stop"], "nobody plans a step that fixes it"
    cluster.makima("answer", asked["id"], "go on without the check")
    shown = delivered(cluster, directive)
    assert shown["status"] == "completed"
    assert files(origin, shown["pr_branch"]) == {".makima.toml", "one", "two", "three"}
    assert all(step["attempts"] == 1 for step in shown["steps"])


def test_a_person_may_stop_a_directive_whose_check_fails_already(cluster: Cluster, origin: Path) -> None:
    settings(origin, 'check = "exit 5"\n')
    directive = create(cluster, origin, "--goal", goal(adds("Work", "touch done")))
    cluster.makima("answer", question(cluster)["id"], "stop")
    assert "the check `exit 5` fails on the base branch by itself: exit code 5; fix it" in paused(cluster, directive)
    settings(origin, 'check = "true"\n')
    cluster.makima("directive", "resume", directive)
    assert delivered(cluster, directive)["status"] == "completed"
