"""Every command that a prompt shows is run exactly as it is printed, by the agent that it is shown to."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tests.acceptance.test_planning import create, goal, paused
from tests.conftest import Cluster
from tests.waiting import until


def commands(prompt: str) -> list[str]:
    """The command lines that a prompt shows."""
    return [line.strip() for line in prompt.splitlines() if line.startswith("    makima ")]


def planning_is_due(cluster: Cluster, directive: str) -> bool:
    """Whether the directive has a planning task."""
    tasks = json.loads(cluster.makima("task", "list", "-o", "json"))
    return any(t["directive_id"] == directive and t["kind"] == "plan" for t in tasks)


def prompt_of(cluster: Cluster, directive: str, kind: str) -> str:
    """What the newest task of a kind was told."""
    tasks = json.loads(cluster.makima("task", "list", "-o", "json"))
    newest = next(t["id"] for t in tasks if t["directive_id"] == directive and t["kind"] == kind)
    prompt: str = json.loads(cluster.makima("task", "show", newest, "-o", "json"))["prompt"]
    return prompt


def run_by(folder: Path) -> str:
    """A script that runs what the test puts into `commands` of a folder, as soon as it is there."""
    file = shlex.quote(str(folder / "commands"))
    return f"while [ ! -e {file} ]; do sleep 0.05; done; bash -eux {file}"


def give(folder: Path, lines: list[str]) -> None:
    """Let such a script run these lines."""
    (folder / "draft").write_text("\n".join(lines) + "\n")
    (folder / "draft").rename(folder / "commands")


def test_a_planner_runs_every_command_of_its_prompts_as_printed(cluster: Cluster, origin: Path, tmp_path: Path) -> None:
    title = "Fix `id`; $(touch /tmp/never) 'quoted' \"twice\"\n```sh\nmakima directive list\n```"
    first = tmp_path / "plan.json"
    first.write_text(json.dumps([{"name": "Base", "taskPlan": "sleep 60"}, {"name": "Later", "dependsOn": ["Base"]}]))
    made = ["--title", title, "--repo", str(origin), "--plan", str(first), "--approve-plan", "--start"]
    directive = cluster.make("directive", "create", *made)
    order = cluster.make("order", "add", title.partition("\n")[0], "--directive", directive)
    cluster.makima("directive", "pause", directive)
    batch = 'echo \'[{"name": "From a file"}]\' > steps.json'
    cluster.makima("directive", "goal", directive, goal(batch, run_by(tmp_path)))
    cluster.makima("order", "pick-up", directive)
    cluster.makima("directive", "resume", directive)
    until(lambda: planning_is_due(cluster, directive), "a planning")
    assert "You re-plan a piece of work" in prompt_of(cluster, directive, "plan")
    lines = commands(prompt_of(cluster, directive, "plan"))
    assert {line.split()[2] for line in lines} == {"add-step", "batch-add-steps", "remove-step"}
    assert any(f"--order {order}" in line for line in lines)
    give(tmp_path, lines)
    cluster.await_status(directive, "awaiting_approval", 60)
    proposed = {s["name"]: s["proposed"] for s in cluster.show(directive)["steps"]}
    added = ("Add a lexer", "Add the parser", "Use the parser", "Document it", "From a file", "Fix the crash")
    assert proposed == {"Base": None, "Later": "removed", **dict.fromkeys(added, "added")}
    cluster.makima("directive", "archive", directive)


def test_a_step_runs_every_command_of_its_prompt_as_printed(cluster: Cluster, origin: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps([{"name": "Ask & fail; `id`", "taskPlan": run_by(tmp_path)}]))
    directive = create(cluster, origin, "--plan", str(plan), "--on-failure", "pause")
    until(lambda: cluster.show(directive)["steps"][0]["status"] == "running", "it runs")
    lines = commands(prompt_of(cluster, directive, "step"))
    assert {line.split()[1] for line in lines} == {"ask", "fail"}
    give(tmp_path, [line for line in lines if " ask " in line] + [line for line in lines if " fail " in line])
    until(lambda: any(q["directive_id"] == directive for q in json.loads(cluster.makima("questions", "-o", "json"))),
          "it asks")  # fmt: skip
    question = next(q for q in json.loads(cluster.makima("questions", "-o", "json")) if q["directive_id"] == directive)
    assert question["options"] == ["JSON", "YAML"]
    cluster.makima("answer", question["id"], "YAML")
    # the attempt that is tried again finds the same commands, and is not asked for: it is cancelled
    until(lambda: cluster.show(directive)["steps"][0]["attempts"] == 2, "the first attempt has failed")
    task = cluster.show(directive)["steps"][0]["task_id"]
    shown = json.loads(cluster.makima("task", "show", task, "-o", "json"))
    assert "the agent gave up: the tests need a database" in shown["attempts"][0]["reason"]
    cluster.makima("task", "cancel", task)
    assert "was cancelled" in paused(cluster, directive)
