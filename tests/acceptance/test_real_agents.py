"""Whole directives, planned and carried out by the real command lines of agents against models that follow a script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents import program
from tests.conftest import Cluster, git
from tests.models.messages import messages_api
from tests.models.responses import responses_api
from tests.models.script import Answer, Conversation, Edit, Run, Say
from tests.models.server import Model

PLAN = [
    {"name": "Write the words", "taskPlan": "Write words.txt"},
    {"name": "Write the page", "taskPlan": "Write page.txt from words.txt", "dependsOn": ["Write the words"]},
]


def a_planner_and_two_workers(conversation: Conversation) -> Answer:
    """Explores, then plans two steps; works on each with its own tools, looks, commits, and says what it did."""
    told, turn = conversation.prompt, conversation.turn
    if "You plan a piece of work" in told:
        explore, plan = (
            [Say("I look around."), Run("ls && cat README.md")],
            f"makima directive batch-add-steps --json '{json.dumps(PLAN)}'",
        )
        return [explore, [Run(plan)], [Say("Two steps are planned.")]][min(turn, 2)]
    if "Write page.txt" in told:
        write = Run(
            'cat words.txt >page.txt; echo "a page" >>page.txt; git add page.txt; git commit -qm "Add the page"'
        )
        return [[Say("I read the words first."), Run("cat words.txt")], [write], [Say("The page is written.")]][
            min(turn, 2)
        ]
    return [[Edit("words.txt", "some words\n")], [Say("The words are written.")]][min(turn, 1)]


@pytest.fixture(scope="module")
def models() -> Iterator[tuple[Model, Model]]:
    with messages_api(a_planner_and_two_workers) as messages, responses_api(a_planner_and_two_workers) as responses:
        yield messages, responses


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, models: tuple[Model, Model]) -> Iterator[Cluster]:
    """One daemon that has both agents, each with a home of its own and a model on this machine."""
    home = tmp_path_factory.mktemp("home")
    messages, responses = models
    provider = f'{{name="scripted",base_url="{responses.url}/v1",env_key="OPENAI_API_KEY",wire_api="responses"}}'
    settings = f"""
[agents.claude]
kind = "claude"
command = ["{program("claude")}"]
[agents.claude.environment]
HOME = "{tmp_path_factory.mktemp("claude")}"
ANTHROPIC_BASE_URL = "{messages.url}"
ANTHROPIC_API_KEY = "a key of no account"
CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"
CLAUDE_CODE_MAX_RETRIES = "1"

[agents.codex]
kind = "codex"
command = ["{program("codex")}"]
model = "gpt-5"
permission_mode = "danger-full-access"
extra_args = ["-c", 'model_provider="scripted"', "-c", 'model_providers.scripted={provider}']
[agents.codex.environment]
HOME = "{tmp_path_factory.mktemp("codex")}"
OPENAI_API_KEY = "a key of no account"
"""
    (home / "makima.toml").write_text(settings)
    running = Cluster(home, sweep_seconds="3600", config=str(home / "makima.toml"))
    running.makima("up", "--detach", "--daemons", "1")
    yield running
    running.makima("down")


def log_of(cluster: Cluster, directive: str, kind: str) -> str:
    tasks = json.loads(cluster.makima("task", "list", "-o", "json"))
    mine = [t["id"] for t in tasks if t["directive_id"] == directive and t["kind"] == kind]
    return "\n".join(cluster.makima("task", "log", task) for task in mine)


@pytest.mark.parametrize("agent", ["claude", "codex"])
def test_a_goal_is_planned_and_carried_out_by_the_real_command_line(cluster: Cluster, origin: Path, agent: str) -> None:
    create = ("directive", "create", "--title", "A page", "--goal", "A page of words", "--repo", str(origin))
    directive = cluster.makima(*create, "--agent", agent, "--start", "--quiet").strip()
    cluster.makima("directive", "watch", directive, "--timeout", "120")
    shown = cluster.show(directive)
    assert shown["status"] == "completed", shown
    assert git(origin, "show", f"{shown['pr_branch']}:page.txt") == "some words\na page"
    assert "Add the page" in git(origin, "log", "--format=%s", shown["pr_branch"]).splitlines()
    said = log_of(cluster, directive, "step")
    assert "The words are written." in said and "I read the words first." in said and "cat words.txt" in said
    assert "Two steps are planned." in log_of(cluster, directive, "plan")
    assert all(step["attempts"] == 1 for step in shown["steps"])
