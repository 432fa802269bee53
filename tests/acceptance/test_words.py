"""What a person reads: where things stand, what moves them on, names that commands take; and what programs read."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Cluster
from tests.waiting import until

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}")


def create(cluster: Cluster, origin: Path, *scripts: str, options: tuple[str, ...] = ()) -> str:
    """A started directive's number: a step a script."""
    plan = origin.parent / "plan.json"
    plan.write_text(json.dumps([{"name": f"Step {n}", "taskPlan": s} for n, s in enumerate(scripts, 1)]))
    made = ("--title", "A job", "--repo", str(origin), "--plan", str(plan), "--start", "--quiet", *options)
    number = cluster.makima("directive", "create", *made).strip()
    assert number.isdigit()
    return number


def standing(cluster: Cluster, number: str) -> str:
    """What a list says of a directive."""
    listed = json.loads(cluster.makima("directive", "list", "-o", "json"))
    told: str = next(one["standing"] for one in listed if str(one["number"]) == number)
    return told


def lines(text: str) -> list[dict[str, Any]]:
    """Objects, one a line."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def drained(cluster: Cluster) -> Iterator[None]:
    """No daemon takes work."""
    for name in ("daemon-1", "daemon-2"):
        cluster.makima("daemon", "drain", name)
    until(lambda: "nothing can run" in cluster.run("status").stdout, "that nothing can run")
    yield
    for name in ("daemon-1", "daemon-2"):
        cluster.makima("daemon", "drain", name, "--off")


def test_each_stage_of_a_delivery_is_said_and_none_is_called_idle(
    cluster: Cluster, origin: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    check = f"while [ ! -e {gate} ]; do sleep 0.05; done"
    number = create(cluster, origin, "sleep 1; touch a.txt", options=("--check", check))
    argv = [sys.executable, "-m", "cli", "directive", "watch", number, "--timeout", "60"]
    watching = subprocess.Popen(argv, env=cluster.environment, stdout=subprocess.PIPE, text=True)
    until(lambda: standing(cluster, number) == "checking", lambda: standing(cluster, number), 30)
    for words in (("directive", "show", number), ("directive", "list"), ("status",)):
        said = cluster.makima(*words)
        assert "checking" in said and "idle" not in said, said
    assert cluster.makima("directive", "list", "--status", "checking").split()[:2] == [number, "checking"]
    gate.touch()
    watched, _ = watching.communicate(timeout=60)
    stages = [line.partition("| [")[2].split()[0] for line in watched.splitlines() if "Merge and deliver | [" in line]
    assert stages == ["merging", "checking:", "the", "delivering:"]
    assert watched.splitlines()[-2].startswith("delivered on makima/")
    assert "idle" not in watched and not UUID.search(watched)
    assert standing(cluster, number) == "delivered"


@pytest.mark.usefixtures("drained")
def test_where_nothing_can_run_everything_names_the_command_that_helps(cluster: Cluster, origin: Path) -> None:
    number = create(cluster, origin, "touch b.txt")
    fix = "makima daemon drain daemon-1 --off"
    assert standing(cluster, number) == "waiting"
    assert fix in cluster.makima("inbox")
    assert fix in cluster.makima("why", number) and fix in cluster.makima("why", f"{number}/1")
    status, alone = cluster.run("status"), cluster.run()
    assert status.returncode == 0 and fix in status.stdout and fix in alone.stdout
    watched = cluster.run("directive", "watch", number, "--timeout", "6")
    assert watched.returncode == 124
    assert (
        watched.stdout.count(fix) == 1 and "waiting: step 'Step 1': every connected daemon is drained" in watched.stdout
    )


def test_following_the_advice_of_the_inbox_goes_on(cluster: Cluster, origin: Path, tmp_path: Path) -> None:
    script = f"test -e {tmp_path / 'there'} && touch c.txt"
    number = create(cluster, origin, script, "false", options=("--on-failure", "continue"))
    cluster.run("directive", "watch", number, "--timeout", "60")
    (tmp_path / "there").touch()
    shown = cluster.makima("why", number)
    assert "it is paused: it is" not in shown and "resume" not in shown
    first, *_ = [line.strip() for line in shown.splitlines() if line.startswith("  makima")]
    assert first == f"makima directive retry-step {number}/1"
    assert first in cluster.makima("inbox")
    cluster.makima("directive", "skip-step", f"{number}/2")
    cluster.makima(*first.split()[1:])
    assert "delivered" in cluster.makima("directive", "watch", number, "--timeout", "60").splitlines()[-2]


def test_a_script_that_failed_is_written_anew_as_the_advice_says(cluster: Cluster, origin: Path) -> None:
    number = create(cluster, origin, "exit 3", options=("--on-failure", "pause"))
    cluster.run("directive", "watch", number, "--timeout", "60")
    edit = f"makima directive edit-step {number}/1 --task-plan SCRIPT"
    assert edit in cluster.makima("inbox") and edit in cluster.makima("why", number)
    said = cluster.makima(*edit.replace("SCRIPT", "touch").split()[1:], "--task-plan", "touch c.txt")
    cluster.makima(*said.partition("; makima ")[2].split()[:3])
    assert "delivered" in cluster.makima("directive", "watch", number, "--timeout", "60").splitlines()[-2]


def test_a_question_is_answered_by_the_number_of_its_option(cluster: Cluster, origin: Path) -> None:
    number = create(cluster, origin, "makima ask 'Which port?' --option 8080 --option 'port 9090' > port.txt")
    asked = until(lambda: "Which port?" in (s := cluster.makima("inbox")) and s, "the question")
    assert [line.strip() for line in asked.splitlines()[-3:]] == [
        "1  8080", "2  port 9090", f"makima answer {number}/1 N",
    ]  # fmt: skip
    assert f"makima answer {number}/1 N" in cluster.makima("questions")
    assert "say 1 to 2" in cluster.makima("answer", f"{number}/1", "3", code=1)
    cluster.makima("answer", f"{number}/1", "2")
    cluster.makima("directive", "watch", number, "--timeout", "60")
    branch = json.loads(cluster.makima("directive", "show", number, "-o", "json"))["pr_branch"]
    shown = subprocess.run(
        ["git", "-C", str(origin), "show", f"{branch}:port.txt"], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "port 9090\n"


def test_people_read_numbers_where_ids_were_and_commands_take_them(cluster: Cluster, origin: Path) -> None:
    number = create(cluster, origin, "echo said; touch d.txt")
    cluster.makima("directive", "watch", number, "--timeout", "60")
    order = cluster.makima("order", "add", "Polish", "--directive", number, "--quiet").strip()
    assert order.isdigit() and "cancelled" in cluster.makima("order", "cancel", order)
    added = cluster.makima("directive", "add-step", "More", "--directive", number, "--task-plan", "sleep 30")
    assert added == f"{number}/2  More\n"
    for words in (
        ("directive", "list"), ("directive", "show", number), ("directive", "log", number), ("task", "list"),
        ("task", "show", f"{number}/delivery"), ("order", "list"), ("daemon", "list"), ("inbox",), ("why", number),
    ):  # fmt: skip
        said = cluster.makima(*words)
        assert not UUID.search(said), said
    assert "said" in cluster.makima("task", "log", f"{number}/1")
    cluster.makima("directive", "archive", number)


def test_what_follows_in_json_is_an_object_a_line(cluster: Cluster, origin: Path) -> None:
    number = create(cluster, origin, "echo one; echo two; touch e.txt")
    began, *events, ended = lines(cluster.makima("directive", "watch", number, "--timeout", "60", "-o", "json"))
    assert (began["type"], began["directive"]["number"]) == ("watch.began", int(number))
    assert (ended["type"], ended["exit_code"], ended["directive"]["standing"]) == ("watch.ended", 0, "delivered")
    assert {"step.changed", "task.changed", "directive.changed"} <= {event["type"] for event in events}
    batches = lines(cluster.makima("task", "log", "-f", f"{number}/1", "-o", "json"))
    assert [line for batch in batches for line in batch["events"]] == ["one", "two"]
    assert all(entry["process"] for entry in lines(cluster.makima("logs", "-o", "json")))
    made = ("--title", "x", "--repo", str(origin), "--plan", str(origin.parent / "plan.json"))
    first, *_, last = lines(cluster.makima("directive", "create", *made, "--watch", "-o", "json"))
    assert (first["type"], last["type"]) == ("watch.began", "watch.ended")


def test_an_archived_directive_stands_still_in_the_last_frame_and_stopped_is_no_error(
    cluster: Cluster, origin: Path
) -> None:
    number = create(cluster, origin, "sleep 30")
    until(lambda: standing(cluster, number) == "running", "that it runs")
    cluster.makima("directive", "archive", number)
    watched = cluster.run("directive", "watch", number, "--timeout", "20")
    assert (watched.returncode, watched.stderr) == (1, "")
    assert watched.stdout.splitlines()[-1] == "archived"


def test_the_database_is_as_this_version_has_it(cluster: Cluster) -> None:
    found = json.loads(cluster.makima("upgrade-check", "-o", "json"))
    assert (found["due"], found["definitions_change"], found["refused"]) == ([], False, None)
    assert found["schema"] == sorted((ROOT / "shared/store/migrations").glob("*.up.sql"))[-1].name.split(".")[0]
    assert "nothing to do" in cluster.makima("upgrade-check")


SHELLS = {
    "bash": "source <(makima completions bash)\n"
    'COMP_LINE="makima {line}"; COMP_POINT=${{#COMP_LINE}}; COMP_TYPE=9; COMP_KEY=9; COMP_WORDS=($COMP_LINE)\n'
    '_python_argcomplete makima; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": "makima completions fish | source; complete -C 'makima {line}'",
    "zsh": "compdef() {{ :; }}; source <(makima completions zsh)\n"
    "_describe() {{ print -l -- ${{(P)2}}; }}; words=(makima {words}); CURRENT=$#words\n"
    "BUFFER='makima {line}'; CURSOR=$#BUFFER\n"
    "_python_argcomplete makima",
}
"""What each shell runs to complete a line, as it does when a person presses Tab."""


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_verbs_options_values_and_live_numbers(
    cluster: Cluster, origin: Path, tmp_path: Path, shell: str
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    number = create(cluster, origin, "true")
    (tmp_path / "makima").write_text(f'#!/bin/sh\nexec {sys.executable} -m cli "$@"\n')
    (tmp_path / "makima").chmod(0o755)

    def offered(line: str, **environment: str) -> str:
        words = " ".join(line.split(" ")) if not line.endswith(" ") else f"{line.rstrip()} ''"
        script = SHELLS[shell].format(line=line, words=words)
        path = f"{tmp_path}:{cluster.environment['PATH']}"
        surroundings = {**cluster.environment, "PATH": path, **environment}
        quiet = ["--norc"] if shell == "bash" else ["-f"] if shell == "zsh" else ["--no-config"]
        done = subprocess.run(
            [shell, *quiet, "-c", script], env=surroundings, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == "", done.stderr
        return done.stdout

    assert "pause" in offered("directive pau")
    assert "--timeout" in offered("directive watch --t")
    assert "replan" in offered("directive create --on-failure re")
    assert number in offered("directive show ")
    assert number in offered("show ") and "watch" in offered("wat") and "--status" in offered("list --st")
    assert "daemon-1" in offered("daemon drain ")
    assert number not in offered("directive show ", MAKIMA_HOME="/nonexistent")
