"""Steps that say who works on them and where: warned of, waiting in words, and carried out by whoever has it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.test_daemons import DEADLINE_SECONDS, daemon
from tests.conftest import Cluster, git
from tests.waiting import until

AGENT = '[agents.note]\nkind = "command"\ncommand = ["sh", "-c", "echo $0 by note > note.txt", "{model}"]\n'
PLAN = """
steps:
  - name: Train
    agent: note
    model: small
    labels: [gpu]
"""


@pytest.fixture(scope="module")
def lone(empty_home: Path) -> Iterator[Cluster]:
    """A cluster without a daemon, whose settings know an agent of their own."""
    empty_home.mkdir(exist_ok=True)
    (empty_home / "makima.toml").write_text(AGENT)
    cluster = Cluster(empty_home, sweep_seconds="3600")
    cluster.makima("up", "--detach", "--daemons", "0")
    yield cluster
    cluster.makima("down")


def test_a_step_waits_for_its_label_in_words_and_runs_where_that_is(lone: Cluster, origin: Path) -> None:
    plan = origin.parent / "plan.yaml"
    plan.write_text(PLAN)
    arguments = ("--title", "A model", "--repo", str(origin), "--plan", str(plan), "--start")
    with daemon(lone, "plain", MAKIMA_LABELS="gpus"):
        made = lone.run("directive", "create", *arguments)
        assert "makima: warning: no daemon has the label 'gpu'; 'gpus' is the nearest: 'Train' waits" in made.stderr
        directive = json.loads(lone.makima("directive", "list", "-o", "json"))[-1]["id"]
        told = until(lambda: "can't be sent" in (w := lone.makima("why", f"{directive}")) and w, "it is refused")
        assert "no connected daemon has the label gpu" in told
        assert "edit-step" in lone.makima("why", "1/1")
        assert "[note small gpu]" in lone.makima("directive", "show", directive)
        with daemon(lone, "strong", MAKIMA_LABELS="gpu"):
            lone.await_status(directive, "completed", DEADLINE_SECONDS)
    (step,) = lone.show(directive)["steps"]
    assert step["daemon"] == "strong"
    assert git(origin, "show", f"{lone.show(directive)['pr_branch']}:note.txt") == "small by note"
    shown = lone.makima("task", "show", "1/1")
    assert "agent      note (small)" in shown and "labels     gpu" in shown


def test_a_step_that_waits_is_sent_elsewhere_by_a_word(lone: Cluster, origin: Path) -> None:
    plan = origin.parent / "plan.yaml"
    plan.write_text(PLAN)
    arguments = ("--title", "Again", "--repo", str(origin), "--plan", str(plan), "--start", "--quiet")
    with daemon(lone, "plain"):
        directive = lone.makima("directive", "create", *arguments).strip()
        until(lambda: "can't be sent" in lone.makima("why", directive), "it is refused")
        number = lone.show(directive)["number"]
        lone.makima("directive", "edit-step", f"{number}/1", "--label", "none", "--model", "none")
        lone.await_status(directive, "completed", DEADLINE_SECONDS)
        exported = lone.makima("directive", "export", directive)
    assert exported.endswith("steps:\n- name: Train\n  agent: note\n")
