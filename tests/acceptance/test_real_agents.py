"""Whole directives, planned and carried out by the real command lines of agents against models that follow a script."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.config import load
from tests.agents import program
from tests.conftest import Cluster, git
from tests.models.messages import messages_api
from tests.models.responses import responses_api
from tests.models.script import Answer, Break, Conversation, Edit, Fail, Hang, Refuse, Run, Say, Script, turns
from tests.models.server import Model
from tests.waiting import until

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
def scripts() -> Scripts:
    return Scripts()


@pytest.fixture(scope="module")
def models(scripts: Scripts) -> Iterator[tuple[Model, Model]]:
    with messages_api(scripts) as messages, responses_api(scripts) as responses:
        yield messages, responses


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, empty_home: Path, models: tuple[Model, Model]
) -> Iterator[Cluster]:
    """One daemon that has both agents, each with a home of its own and a model on this machine."""
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

[agents.plain]
kind = "claude"
command = ["{program("claude")}"]
[agents.plain.environment]
HOME = "{tmp_path_factory.mktemp("plain")}"
ANTHROPIC_BASE_URL = "{messages.url}"
ANTHROPIC_API_KEY = "a key of no account"
CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"

[agents.zed]
kind = "acp"
command = ["{program("claude-code-acp")}"]
[agents.zed.environment]
HOME = "{tmp_path_factory.mktemp("zed")}"
ANTHROPIC_BASE_URL = "{messages.url}"
ANTHROPIC_API_KEY = "a key of no account"
CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC = "1"

[agents.codex]
kind = "codex"
command = ["{program("codex")}"]
model = "gpt-5"
permission_mode = "danger-full-access"
extra_args = ["-c", 'model_provider="scripted"', "-c", 'model_providers.scripted={provider}']
[agents.codex.environment]
HOME = "{tmp_path_factory.mktemp("codex")}"
OPENAI_API_KEY = "a key of no account"

[agents.careful]
kind = "codex"
command = ["{program("codex")}"]
model = "gpt-5"
extra_args = ["-c", 'model_provider="scripted"', "-c", 'model_providers.scripted={provider}']
[agents.careful.environment]
HOME = "{tmp_path_factory.mktemp("careful")}"
OPENAI_API_KEY = "a key of no account"
"""
    (empty_home / "makima.toml").write_text(settings)
    running = Cluster(empty_home, sweep_seconds="3600", config=str(empty_home / "makima.toml"))
    running.makima("up", "--detach", "--daemons", "1")
    yield running
    running.makima("down")


def log_of(cluster: Cluster, directive: str, kind: str) -> str:
    tasks = json.loads(cluster.makima("task", "list", "-o", "json"))
    mine = [t["id"] for t in tasks if t["directive_id"] == directive and t["kind"] == kind]
    return "\n".join(cluster.makima("task", "log", task) for task in mine)


@pytest.mark.parametrize("agent", ["claude", "codex", "zed"])
def test_a_goal_is_planned_and_carried_out_by_the_real_command_line(cluster: Cluster, origin: Path, agent: str) -> None:
    create = ("directive", "create", "--title", "A page", "--goal", "A page of words", "--repo", str(origin))
    directive = cluster.make(*create, "--agent", agent, "--start")
    cluster.makima("directive", "watch", directive, "--timeout", "120")
    shown = cluster.show(directive)
    assert shown["status"] == "completed", shown
    assert git(origin, "show", f"{shown['pr_branch']}:page.txt") == "some words\na page"
    assert "Add the page" in git(origin, "log", "--format=%s", shown["pr_branch"]).splitlines()
    said = log_of(cluster, directive, "step")
    assert "The words are written." in said and "I read the words first." in said and "cat words.txt" in said
    assert "Two steps are planned." in log_of(cluster, directive, "plan")
    assert all(step["attempts"] == 1 for step in shown["steps"])


def one_step(cluster: Cluster, origin: Path, plan: str, agent: str = "claude") -> str:
    """A started directive of one step; what it says in its prompt is how its script is found."""
    file = origin.parent / "plan.json"
    file.write_text(json.dumps([{"name": "The step", "taskPlan": plan}]))
    create = (
        "directive",
        "create",
        "--title",
        plan,
        "--repo",
        str(origin),
        "--plan",
        str(file),
        "--on-failure",
        "pause",
    )
    return cluster.make(*create, "--agent", agent, "--start")


def task_of(cluster: Cluster, directive: str) -> dict[str, Any]:
    (step,) = cluster.show(directive)["steps"]
    task: dict[str, Any] = json.loads(cluster.makima("task", "show", step["task_id"], "-o", "json"))
    return task


def test_codex_holds_its_commands_in_its_own_sandbox_inside_the_daemons(
    cluster: Cluster, origin: Path, scripts: Scripts
) -> None:
    tries = (
        "echo inside >page.txt; touch .git || echo held >>page.txt; "
        "makima directive show $MAKIMA_DIRECTIVE_ID -o json >shown"
    )
    scripts.of["hazel"] = turns([Run(tries)], [Say("The page is written.")])
    directive = one_step(cluster, origin, "hazel", "careful")
    cluster.makima("directive", "watch", directive, "--timeout", "60")
    branch = cluster.show(directive)["pr_branch"]
    assert branch, scripts.asked["hazel"][-1].last
    assert git(origin, "show", f"{branch}:page.txt") == "inside\nheld", log_of(cluster, directive, "step")
    assert json.loads(git(origin, "show", f"{branch}:shown"))["title"] == "hazel"


class Scripts:
    """Scripts of single steps, by a word of their prompt. Each remembers what it was asked."""

    def __init__(self) -> None:
        self.of: dict[str, Script] = {}
        self.asked: dict[str, list[Conversation]] = {}

    def __call__(self, conversation: Conversation) -> Answer:
        for word, script in self.of.items():
            if word in conversation.prompt:
                self.asked.setdefault(word, []).append(conversation)
                return script(conversation)
        return a_planner_and_two_workers(conversation)


def test_a_limit_is_waited_for_and_is_no_failed_attempt(cluster: Cluster, origin: Path, scripts: Scripts) -> None:
    too_fast = Refuse(429, "rate_limit_error", "too fast", {"retry-after": "1"})
    scripts.of["amber"] = lambda _: too_fast if len(scripts.asked["amber"]) <= 2 else [Say("It goes again.")]
    directive = one_step(cluster, origin, "amber")
    cluster.makima("directive", "watch", directive, "--timeout", "60")
    task = task_of(cluster, directive)
    assert [a["outcome"] for a in task["attempts"]] == ["interrupted", "succeeded"]
    assert "claude has reached a limit" in task["attempts"][0]["reason"]
    assert task["attempts"][0]["session"] == task["attempts"][1]["session"]


def test_an_agent_that_is_not_signed_in_pauses_with_the_fix_and_goes_on_after(
    cluster: Cluster, origin: Path, scripts: Scripts
) -> None:
    scripts.of["birch"] = turns(Refuse(401, "authentication_error", "invalid x-api-key"))
    directive = one_step(cluster, origin, "birch")
    cluster.makima("directive", "watch", directive, "--timeout", "60", code=1)
    reason = cluster.show(directive)["pause_reason"]
    assert "claude is not signed in" in reason and "run `claude` on this machine and sign in" in reason
    scripts.of["birch"] = turns([Say("Signed in.")])
    cluster.makima("directive", "resume", directive)
    cluster.makima("directive", "watch", directive, "--timeout", "60")


OVERLOADED = Refuse(529, "overloaded_error", "Overloaded")
AT_CAPACITY = Fail("server_is_overloaded", "Our servers are currently overloaded. Please try again later.")


@pytest.mark.parametrize(
    ("agent", "trouble", "requests", "words"),
    [
        pytest.param("plain", OVERLOADED, 3, "Repeated 529 Overloaded", marks=pytest.mark.long),
        pytest.param("codex", AT_CAPACITY, 1, "Selected model is at capacity", marks=pytest.mark.long),
    ],
)
def test_an_overloaded_model_is_waited_for_and_uses_up_no_attempt(
    cluster: Cluster, origin: Path, scripts: Scripts, agent: str, trouble: Answer, requests: int, words: str
) -> None:
    """With its own default settings, claude asks three times within seconds and gives up, codex after once."""
    word = f"hornbeam-{agent}"
    scripts.of[word] = lambda _: trouble if len(scripts.asked[word]) <= 2 * requests else [Say("It goes again.")]
    directive = one_step(cluster, origin, word, agent)
    until(lambda: "backs off until" in cluster.makima("why", directive), "it waits, and says until when")
    assert words in cluster.makima("why", directive)
    cluster.makima("directive", "watch", directive, "--timeout", "120")
    task = task_of(cluster, directive)
    assert [a["outcome"] for a in task["attempts"]] == ["interrupted", "interrupted", "succeeded"]
    assert words in task["attempts"][0]["reason"] and len({a["session"] for a in task["attempts"]}) == 1


def test_a_balance_that_is_spent_pauses_with_the_fix(cluster: Cluster, origin: Path, scripts: Scripts) -> None:
    scripts.of["juniper"] = turns(Refuse(400, "invalid_request_error", "Your credit balance is too low to go on."))
    directive = one_step(cluster, origin, "juniper")
    cluster.makima("directive", "watch", directive, "--timeout", "60", code=1)
    reason = cluster.show(directive)["pause_reason"]
    assert "claude has no credit left: Credit balance is too low" in reason and "signed in" not in reason


def test_a_conversation_that_outgrew_the_model_goes_on_in_a_new_one_that_knows_how_it_ended(
    cluster: Cluster, origin: Path, scripts: Scripts
) -> None:
    def grows(conversation: Conversation) -> Answer:
        if "outgrew the model" in conversation.prompt:
            return [Run("cat half.txt >whole.txt"), Say("Now whole.")] if conversation.turn == 0 else [Say("Done.")]
        if conversation.turn == 0:
            return [Say("I write half of it first."), Run("echo half >half.txt")]
        return Refuse(400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum")

    scripts.of["larch"] = grows
    directive = one_step(cluster, origin, "larch")
    cluster.makima("directive", "watch", directive, "--timeout", "60")
    (attempt,) = task_of(cluster, directive)["attempts"]
    assert attempt["outcome"] == "succeeded"
    told = scripts.asked["larch"][-1].prompt
    assert "I write half of it first." in told and "larch" in told
    assert git(origin, "show", f"{cluster.show(directive)['pr_branch']}:whole.txt") == "half"


@pytest.mark.long
def test_a_stream_that_breaks_is_tried_again_in_the_same_session(
    cluster: Cluster, origin: Path, scripts: Scripts
) -> None:
    def breaks_once(conversation: Conversation) -> Answer:
        if conversation.turn == 0:
            return [Run("echo half >half.txt")]
        return [Say("Whole.")] if "You were interrupted" in conversation.last else Break()

    scripts.of["cedar"] = breaks_once
    directive = one_step(cluster, origin, "cedar")
    cluster.makima("directive", "watch", directive, "--timeout", "90")
    first, second = task_of(cluster, directive)["attempts"]
    assert (first["outcome"], second["outcome"]) == ("interrupted", "succeeded")
    assert first["session"] == second["session"]
    assert scripts.asked["cedar"][-1].turn >= 2, "it remembers what was said before"
    assert git(origin, "show", f"{cluster.show(directive)['pr_branch']}:half.txt") == "half", "its work was kept"


def test_a_question_of_the_agent_is_answered_by_a_person(cluster: Cluster, origin: Path, scripts: Scripts) -> None:
    scripts.of["dogwood"] = turns([Run("makima ask 'Which colour?' --option red >colour.txt")], [Say("Painted.")])
    directive = one_step(cluster, origin, "dogwood")
    (question,) = until(lambda: json.loads(cluster.makima("questions", "-o", "json")), "the agent asks")
    assert question["text"] == "Which colour?"
    cluster.makima("answer", question["id"], "red")
    cluster.makima("directive", "watch", directive, "--timeout", "60")
    assert git(origin, "show", f"{cluster.show(directive)['pr_branch']}:colour.txt") == "red"


def test_a_step_may_be_told_failed_by_its_agent(cluster: Cluster, origin: Path, scripts: Scripts) -> None:
    give_up = Run("makima fail 'there is no database'")
    scripts.of["elm"] = lambda c: [Say("I give up.")] if "noted" in c.last else [give_up]
    directive = one_step(cluster, origin, "elm")
    cluster.makima("directive", "watch", directive, "--timeout", "60", code=1)
    assert "there is no database" in cluster.show(directive)["pause_reason"]


def test_a_person_tells_a_running_agent_something(cluster: Cluster, origin: Path, scripts: Scripts) -> None:
    wait = Run("until test -e told; do sleep 0.1; done; rm told")
    scripts.of["fir"] = lambda c: (
        [wait] if c.turn == 0 else [Say("Heard: tabs" if "use tabs" in str(c.raw) else "Deaf")]
    )
    directive = one_step(cluster, origin, "fir")
    task = until(lambda: cluster.show(directive)["steps"][0]["task_id"], "the step has a task")
    until(lambda: "until test -e told" in cluster.makima("task", "log", task), "the agent waits")
    cluster.makima("task", "tell", task, "use tabs")
    until(lambda: _told(cluster, task), "the message reached the agent")
    cluster.makima("directive", "watch", directive, "--timeout", "60")
    assert "Heard: tabs" in cluster.makima("task", "log", task)


def _told(cluster: Cluster, task: str) -> bool:
    """Let the agent's command end once the message has reached its standard input."""
    for worktree in (cluster.home / "daemons").glob(f"*/worktrees/{task.replace('-', '')}-*"):
        with psycopg.connect(load(cluster.environment).postgres()) as connection:
            row = connection.execute("SELECT delivered_as FROM makima.task_message WHERE task_id = %s", (task,))
            if row.fetchall() != [("while_it_ran",)]:
                return False
        (worktree / "told").touch()
        return True
    return False


@pytest.mark.parametrize(("agent", "counted"), [("claude", 101 + 120), ("codex", 240)])
def test_after_a_daemon_died_the_same_session_goes_on_and_nothing_counts_twice(
    cluster: Cluster, origin: Path, scripts: Scripts, agent: str, counted: int
) -> None:
    """claude says of an answer in mid-run only the tokens of its beginning; codex says the sum of its session."""
    word = f"ginkgo-{agent}"
    scripts.of[word] = lambda c: [Run("echo one")] if c.turn == 0 else Hang()
    directive = one_step(cluster, origin, word, agent)
    until(lambda: len(scripts.asked.get(word, ())) == 2, "the model is asked twice")
    scripts.of[word] = turns([Say("Done.")])
    daemon = json.loads(cluster.makima("status", "-o", "json"))["processes"]["daemon-1"]
    os.kill(int(daemon["pid"] if isinstance(daemon, dict) else daemon), signal.SIGKILL)
    cluster.makima("directive", "watch", directive, "--timeout", "90")
    task = task_of(cluster, directive)
    first, *_, last = task["attempts"]
    assert first["session"] == last["session"] is not None
    resumed = scripts.asked[word][-1]
    assert resumed.turn >= 1 and word in resumed.prompt and "You were interrupted" in resumed.last
    assert task["tokens"] == sum(a["tokens"] for a in task["attempts"]) == counted
