"""Planning by the command line, the agent `shell` as planner: goals that change, failures, approval, questions."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Cluster, git
from tests.waiting import until

LIVE = ("pending", "starting", "running", "paused")


def goal(*commands: str) -> str:
    """A goal that the agent `shell` can plan: these commands."""
    return "Do it.\n\n```sh\n" + "\n".join(commands) + "\n```\n"


def adds(name: str, plan: str, *options: str) -> str:
    """The command that adds a step."""
    return shlex.join(["makima", "directive", "add-step", name, "--task-plan", plan, *options])


def create(cluster: Cluster, origin: Path, *arguments: str) -> str:
    made = ["--title", "A job", "--repo", str(origin), "--start", *arguments]
    return cluster.make("directive", "create", *made)


def delivered(cluster: Cluster, directive: str) -> dict[str, Any]:
    cluster.makima("directive", "watch", directive, "--timeout", "90")
    return cluster.show(directive)


def paused(cluster: Cluster, directive: str) -> str:
    """Why a directive was paused, once it is."""
    until(lambda: cluster.show(directive)["status"] == "paused", "paused")
    return str(cluster.show(directive)["pause_reason"])


def files(origin: Path, branch: str) -> set[str]:
    return set(git(origin, "ls-tree", "-r", "--name-only", branch).split()) - {"README.md"}


def log(cluster: Cluster, directive: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(cluster.makima("directive", "log", directive, "-o", "json"))
    return events


def assert_one_planning_at_a_time(events: list[dict[str, Any]]) -> None:
    """From the audit log: at no instant were two planning tasks live."""
    live: set[str] = set()
    for event in events:
        body = event["body"]
        if event["type"] == "task.created" and body["kind"] == "plan":
            assert not live, "a planning was made while another was live"
            live.add(body["task"])
        if event["type"] == "task.changed" and body["kind"] == "plan" and body["status"] not in LIVE:
            live.discard(body["task"])


def ran(events: list[dict[str, Any]]) -> set[str]:
    """The names of the steps that ever ran."""
    began = ("running", "completed", "failed")
    return {e["body"]["name"] for e in events if e["type"] == "step.changed" and e["body"]["status"] in began}


class Gate:
    """A file that a step or a planner waits for, so that a test says when it goes on."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "gate"

    @property
    def waits(self) -> str:
        return f"while [ ! -e {self._file} ]; do sleep 0.05; done"

    def open(self) -> None:
        self._file.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def planning_runs(cluster: Cluster, directive: str) -> Callable[[], bool]:
    def look() -> bool:
        tasks = json.loads(cluster.makima("task", "list", "-o", "json"))
        return any(t["directive_id"] == directive and t["kind"] == "plan" and t["status"] == "running" for t in tasks)

    return look


def test_a_goal_changed_before_its_planning_ended_is_planned_instead(
    cluster: Cluster, origin: Path, gate: Gate
) -> None:
    old = goal(adds("Old", "touch old"), gate.waits)
    directive = create(cluster, origin, "--goal", old)
    until(lambda: any(s["name"] == "Old" for s in cluster.show(directive)["steps"]), "the old plan's step is held")
    cluster.makima("directive", "goal", directive, goal(adds("New", "touch new")))
    shown = delivered(cluster, directive)
    assert files(origin, shown["pr_branch"]) == {"new"}
    events = log(cluster, directive)
    assert ran(events) == {"New"}
    assert_one_planning_at_a_time(events)
    assert not any(e["body"].get("status") == "paused" for e in events if e["type"] == "directive.changed")


def test_a_goal_changed_while_steps_run_removes_what_has_not_started(
    cluster: Cluster, origin: Path, gate: Gate
) -> None:
    old = goal(adds("First", f"{gate.waits}; touch first"), adds("Second", "touch second", "--depends-on", "First"))
    directive = create(cluster, origin, "--goal", old)
    until(lambda: cluster.show(directive)["steps"][:1] and cluster.show(directive)["steps"][0]["status"] == "running",
          "the first step runs")  # fmt: skip
    second = next(s["id"] for s in cluster.show(directive)["steps"] if s["name"] == "Second")
    new = goal(f"makima directive remove-step {second}", adds("Third", "touch third", "--depends-on", "First"))
    cluster.makima("directive", "goal", directive, new)
    until(lambda: cluster.show(directive)["generation"] == 2, "the new plan is in force")
    gate.open()
    shown = delivered(cluster, directive)
    assert files(origin, shown["pr_branch"]) == {"first", "third"}
    assert {s["name"]: s["generation"] for s in shown["steps"]} == {"First": 1, "Third": 2}
    events = log(cluster, directive)
    assert ran(events) == {"First", "Third"}
    assert_one_planning_at_a_time(events)


def test_a_goal_changed_after_delivery_opens_the_directive_again(cluster: Cluster, origin: Path) -> None:
    directive = create(cluster, origin, "--goal", goal(adds("One", "touch one")))
    branch = delivered(cluster, directive)["pr_branch"]
    cluster.makima("directive", "goal", directive, goal(adds("Two", "touch two")))
    shown = delivered(cluster, directive)
    assert shown["pr_branch"] == branch
    assert files(origin, branch) == {"one", "two"}
    assert_one_planning_at_a_time(log(cluster, directive))


def test_a_replan_prompt_tells_the_goals_before_and_the_steps_so_far(cluster: Cluster, origin: Path) -> None:
    directive = create(cluster, origin, "--goal", goal(adds("One", "touch one; echo all done here")))
    delivered(cluster, directive)
    cluster.makima("directive", "goal", directive, goal(adds("Two", "touch two")))
    delivered(cluster, directive)
    newest = next(
        t["id"]
        for t in json.loads(cluster.makima("task", "list", "-o", "json"))
        if t["directive_id"] == directive and t["kind"] == "plan"
    )
    prompt = json.loads(cluster.makima("task", "show", newest, "-o", "json"))["prompt"]
    assert "The goal before, replaced at" in prompt
    assert "all done here" in prompt
    assert "generation 2" in prompt


def test_a_planner_that_plans_nothing_is_tried_again_and_then_the_directive_is_paused(
    cluster: Cluster, origin: Path
) -> None:
    directive = create(cluster, origin, "--goal", goal("true"))
    assert "planning failed: planned nothing" in paused(cluster, directive)
    plans = [t for t in json.loads(cluster.makima("task", "list", "-o", "json")) if t["directive_id"] == directive]
    assert [(t["kind"], t["status"], t["attempt"]) for t in plans] == [("plan", "failed", 2)]


def test_a_planner_that_adds_steps_and_then_fails_leaves_none_of_them(cluster: Cluster, origin: Path) -> None:
    directive = create(cluster, origin, "--goal", goal(adds("Half", "touch half"), "echo trouble; exit 3"))
    assert "planning failed: the agent shell ended with exit code 3" in paused(cluster, directive)
    assert cluster.show(directive)["steps"] == []
    assert ran(log(cluster, directive)) == set()


def test_a_planner_killed_after_half_of_its_steps_plans_again_from_nothing(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    plan = goal(
        adds("Base", "touch base"),
        f"[ -e {once} ] || {{ touch {once}; kill -9 $$; }}",
        adds("Top", "touch top", "--depends-on", "Base"),
    )
    directive = create(cluster, origin, "--goal", plan)
    shown = delivered(cluster, directive)
    assert [s["name"] for s in shown["steps"]] == ["Base", "Top"]
    assert files(origin, shown["pr_branch"]) == {"base", "top"}


def failing(*options: str) -> str:
    return json.dumps([{"name": "Break", "taskPlan": "echo trouble; exit 3"}, *map(json.loads, options)])


def test_a_step_that_fails_under_pause_waits_for_a_person_who_retries_it(
    cluster: Cluster, origin: Path, tmp_path: Path, gate: Gate
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"name": "Break", "taskPlan": f"[ -e {tmp_path}/gate ] && touch done"}]))
    directive = create(cluster, origin, "--plan", str(plan), "--on-failure", "pause")
    assert "step 'Break' failed: the agent shell ended with exit code 1" in paused(cluster, directive)
    gate.open()
    cluster.makima("directive", "retry-step", cluster.show(directive)["steps"][0]["id"])
    assert files(origin, delivered(cluster, directive)["pr_branch"]) == {"done"}


def test_a_failed_step_that_a_person_skips_unblocks_what_depends_on_it(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(failing('{"name": "After", "taskPlan": "touch after", "dependsOn": ["Break"]}'))
    directive = create(cluster, origin, "--plan", str(plan), "--on-failure", "pause")
    paused(cluster, directive)
    failed = next(s["id"] for s in cluster.show(directive)["steps"] if s["name"] == "Break")
    cluster.makima("directive", "skip-step", failed)
    shown = delivered(cluster, directive)
    assert {s["name"]: s["status"] for s in shown["steps"]} == {"Break": "skipped", "After": "completed"}


def test_a_step_that_fails_under_replan_is_replaced_by_a_new_plan(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    plan = goal(
        f"if [ -e {again} ]; then",
        '  makima directive remove-step "$(cat ' + str(again) + ')"',
        "  " + adds("Mended", "touch mended"),
        "else",
        f"  {adds('Break', 'exit 3', '-o', 'json')} | grep -o '[0-9a-f-]\\{{36\\}}' > {again}",
        "fi",
    )
    directive = create(cluster, origin, "--goal", plan, "--on-failure", "replan")
    shown = delivered(cluster, directive)
    assert [(s["name"], s["generation"]) for s in shown["steps"]] == [("Mended", 2)]
    assert_one_planning_at_a_time(log(cluster, directive))


def test_plans_that_fail_again_and_again_end_in_a_pause_with_the_reason(cluster: Cluster, origin: Path) -> None:
    plan = goal(adds("Break", "exit 3"))
    directive = create(cluster, origin, "--goal", plan, "--on-failure", "replan")
    assert "re-planned 2 times without a step completed in between" in paused(cluster, directive)
    plannings = [t for t in json.loads(cluster.makima("task", "list", "-o", "json"))
                 if t["directive_id"] == directive and t["kind"] == "plan"]  # fmt: skip
    assert len(plannings) == 3


def test_a_failure_in_the_middle_under_continue_delivers_the_rest_and_says_what_is_missing(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    steps: list[dict[str, object]] = []
    for lane in range(3):
        for place in range(10):
            task_plan = "exit 3" if (lane, place) == (1, 4) else f"touch f{lane}{place}"
            before = [f"S{lane}{place - 1}"] if place else []
            steps.append({"name": f"S{lane}{place}", "taskPlan": task_plan, "dependsOn": before})
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(steps))
    directive = create(cluster, origin, "--plan", str(plan), "--on-failure", "continue")
    shown = delivered(cluster, directive)
    expected = {f"f{lane}{place}" for lane in range(3) for place in range(10) if lane != 1 or place < 4}
    assert files(origin, shown["pr_branch"]) == expected
    missing = {s["name"]: (s["status"], s["reason"]) for s in shown["steps"] if s["status"] != "completed"}
    assert missing["S14"][0] == "failed"
    assert {missing[f"S1{place}"] for place in range(5, 10)} == {("skipped", "depends on S14, which failed")}


def test_a_plan_is_held_until_it_is_approved_and_planned_anew_when_rejected(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first"
    wrong, right = adds("Wrong", "touch wrong"), adds("Right", "touch right")
    plan = goal(f"if [ ! -e {first} ]; then touch {first}; {wrong}; else {right}; fi")
    directive = create(cluster, origin, "--goal", plan, "--approve-plan")
    cluster.await_status(directive, "awaiting_approval", 60)
    assert [(s["name"], s["proposed"]) for s in cluster.show(directive)["steps"]] == [("Wrong", "added")]
    shown = cluster.makima("directive", "show", directive)
    assert "\n+ " in shown
    assert f"makima directive approve {cluster.show(directive)['number']}" in shown
    cluster.makima("directive", "reject", directive, "--reason", "not that way")
    until(lambda: [s["name"] for s in cluster.show(directive)["steps"]] == ["Right"]
          and cluster.show(directive)["status"] == "awaiting_approval", "the second plan waits")  # fmt: skip
    assert cluster.makima("directive", "approve", directive).startswith("+ Right")
    assert files(origin, delivered(cluster, directive)["pr_branch"]) == {"right"}
    assert ran(log(cluster, directive)) == {"Right"}
    error = cluster.makima("directive", "approve", directive, code=1)
    assert "waits for approval" in error


def test_a_question_pauses_its_task_until_it_is_answered(cluster: Cluster, origin: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    asking = 'makima ask "Which colour; $(touch /tmp/never)?" --option red --option blue > colour'
    plan.write_text(json.dumps([{"name": "Paint", "taskPlan": asking}]))
    directive = create(cluster, origin, "--plan", str(plan))
    until(lambda: "Which colour; " in cluster.makima("questions"), "the question is asked")
    until(lambda: cluster.show(directive)["steps"][0]["task_status"] == "paused", "its task is paused")
    assert cluster.show(directive)["steps"][0]["status"] == "running"
    (question,) = json.loads(cluster.makima("questions", "-o", "json"))
    assert question["options"] == ["red", "blue"]
    cluster.makima("answer", question["id"], "blue & 'green'")
    shown = delivered(cluster, directive)
    assert git(origin, "show", f"{shown['pr_branch']}:colour") == "blue & 'green'"
    assert cluster.makima("questions") == "nobody asks anything\n"


def test_a_question_that_nobody_answers_takes_its_default_or_fails(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    asking = "makima ask Really? --timeout 0.5 --default no > said; ! makima ask Sure? --timeout 0.5 2> error"
    plan.write_text(json.dumps([{"name": "Ask", "taskPlan": asking}]))
    shown = delivered(cluster, create(cluster, origin, "--plan", str(plan)))
    assert git(origin, "show", f"{shown['pr_branch']}:said") == "no"
    assert "nobody answered within 0.5 s" in git(origin, "show", f"{shown['pr_branch']}:error")


def test_the_inbox_holds_what_waits_for_a_person_with_the_command_that_settles_it(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    ask = {"name": "Ask", "taskPlan": "makima ask Really?; exit 3"}
    plan.write_text(json.dumps([ask, {"name": "Then", "dependsOn": ["Ask"]}]))
    directive = create(cluster, origin, "--plan", str(plan), "--on-failure", "pause", "--title", "Settle me")

    def waiting() -> list[dict[str, Any]]:
        items = json.loads(cluster.makima("inbox", "-o", "json"))
        return [i for i in items if i["directive_id"] == directive]

    for _ in range(2):
        until(lambda: [i["kind"] for i in waiting()] == ["question"], "the question is in the inbox")
        (item,) = waiting()
        assert item["text"] == "Ask asks: Really?"
        cluster.makima(*shlex.split(item["command"])[1:])
        until(lambda: not any(i["text"] == "Ask asks: Really?" for i in waiting()), "it is settled")
    assert "step 'Ask' failed" in paused(cluster, directive)
    (item,) = waiting()
    first, then = cluster.show(directive)["steps"]
    called = f"{cluster.show(directive)['number']}/{first['number']}"
    verbs = ("retry", "skip", "edit")
    ways = ", or ".join(f"makima directive {verb}-step {called}" for verb in verbs)
    assert item["command"] == f"{ways} --task-plan SCRIPT"
    assert "waits for 'Ask', which failed" in cluster.makima("why", then["id"])
    assert "it failed: the agent shell ended with exit code 3" in cluster.makima("why", first["id"])
    assert item["command"].split(", or ") == [
        line.strip() for line in cluster.makima("why", directive).splitlines()[-3:]
    ]
    cluster.makima(*shlex.split(item["command"].split(", or makima ")[1]))
    delivered(cluster, directive)
    assert waiting() == []


def test_an_agent_that_says_it_fails_has_failed(cluster: Cluster, origin: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"name": "Try", "taskPlan": "touch half; makima fail 'no database here'"}]))
    directive = create(cluster, origin, "--plan", str(plan), "--on-failure", "pause")
    assert "step 'Try' failed: the agent gave up: no database here" in paused(cluster, directive)


def test_orders_are_picked_up_served_and_done(cluster: Cluster, origin: Path) -> None:
    directive = create(cluster, origin, "--goal", goal(adds("One", "touch one")))
    delivered(cluster, directive)
    urgent = cluster.make("order", "add", "Fix it", "--priority", "critical", "--type", "bug")
    later = cluster.make("order", "add", "Polish", "--priority", "low", "--directive", directive)
    cluster.makima("order", "link", urgent, directive)
    cluster.makima("directive", "goal", directive, goal(adds("Fix", "touch fixed", "--order", urgent)))
    delivered(cluster, directive)

    def standing() -> dict[str, str]:
        orders = json.loads(cluster.makima("order", "list", "--directive", directive, "-o", "json"))
        return {o["id"]: o["status"] for o in orders}

    assert standing() == {urgent: "done", later: "open"}
    cluster.makima("order", "pick-up", directive)
    until(lambda: cluster.show(directive)["generation"] >= 3, "the pick-up was planned")
    cluster.makima("order", "cancel", later)
    assert standing()[later] == "cancelled"
    assert "no open order is linked" in cluster.makima("order", "pick-up", directive, code=1)


def test_a_second_person_is_told_what_changed_meanwhile(cluster: Cluster) -> None:
    made = ["directive", "create", "--title", "A job", "--goal", "first"]
    directive = cluster.make(*made)
    version = str(cluster.show(directive)["version"])
    cluster.makima("directive", "goal", directive, "second", "--version", version)
    error = cluster.makima("directive", "goal", directive, "third", "--version", version, code=1)
    assert f"is at version {int(version) + 1}, not {version} (goal at " in error
    assert error.count("\n") == 1
    assert cluster.show(directive)["goal"] == "second"


def test_a_paused_directive_stops_what_runs_and_runs_it_again_later(
    cluster: Cluster, origin: Path, tmp_path: Path, gate: Gate
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"name": "Long", "taskPlan": f"{gate.waits}; touch done"}]))
    directive = create(cluster, origin, "--plan", str(plan), "--on-failure", "replan")
    until(lambda: cluster.show(directive)["steps"][0]["status"] == "running", "it runs")
    cluster.makima("directive", "pause", directive, "--now")
    until(lambda: cluster.show(directive)["steps"][0]["status"] == "ready", "it was stopped")
    assert cluster.show(directive)["pause_reason"] == "paused by a person"
    gate.open()
    cluster.makima("directive", "resume", directive)
    assert files(origin, delivered(cluster, directive)["pr_branch"]) == {"done"}


def test_a_deadline_pauses_with_the_reason_and_lifting_it_goes_on(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"name": "One", "taskPlan": "touch one"}]))
    directive = create(cluster, origin, "--plan", str(plan), "--deadline", "2020-01-01T00:00+00:00")
    assert "the deadline has passed: 2020-01-01 00:00 UTC" in paused(cluster, directive)
    cluster.makima("directive", "update", directive, "--deadline", "none")
    assert files(origin, delivered(cluster, directive)["pr_branch"]) == {"one"}


def test_warnings_on_a_plan_go_to_whoever_plans_and_refuse_nothing(cluster: Cluster, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"name": n, "taskPlan": "true", "files": ["a.py"]} for n in ("One", "Two")]))
    argv = [sys.executable, "-m", "cli", "directive", "create", "--title", "x", "--plan", str(plan)]
    done = subprocess.run(argv, env=cluster.environment, capture_output=True, text=True, check=True)
    assert "warning: 'One' and 'Two' may run at once and both name 'a.py'" in done.stderr
