"""What every command shares: what is wrong is said in one line, and where it can't be written nothing breaks."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cli import completing, run
from tests.conftest import ROOT


def makima(*words: str, stdout: int | None = subprocess.PIPE, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, on a home in which nothing runs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MAKIMA_", "LC_", "LANG", "PYTHONIO"))}
    variables = {**kept, "MAKIMA_HOME": "/nonexistent/home", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", "cli", *words],
        env=variables, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_it_says_its_version() -> None:
    said = makima("--version")
    assert (said.returncode, re.fullmatch(r"makima \d+\.\d+\.\d+\n", said.stdout) is not None) == (0, True)


@pytest.mark.parametrize(
    "words",
    [["status"], ["list"], ["directive", "list"], ["inbox"], ["watch"], ["show", "1"], ["task", "list"], ["why", "1"]],
)
def test_where_no_cluster_runs_every_command_says_so_in_the_same_words(words: list[str]) -> None:
    said = makima(*words)
    assert said.returncode == 1
    told = (said.stdout + said.stderr).removeprefix("makima: ").removeprefix("✘ ")
    assert told == "no cluster runs on /nonexistent/home; `makima up` starts one\n"


def test_an_address_that_was_named_is_named_when_nothing_answers_there() -> None:
    said = makima("list", MAKIMA_TOKEN="any", MAKIMA_API_URL="http://127.0.0.1:1")
    assert (
        said.stderr == "makima: no gateway answers at http://127.0.0.1:1 (Connection refused); `makima up` starts one\n"
    )


def test_help_lists_each_command_once() -> None:
    helped = makima("--help").stdout
    listed = [line.split()[0] for line in helped.splitlines() if re.match(r"    [a-z]", line)]
    assert {"list", "show", "watch"} <= set(listed) and len(listed) == len(set(listed))
    for name in ("list", "show", "watch"):
        short, long = makima(name, "--help").stdout, makima("directive", name, "--help").stdout
        assert short.partition("options:")[2] == long.partition("options:")[2].replace("makima directive", "makima")


def test_alone_it_says_what_runs_and_what_is_most_likely_next() -> None:
    said = makima()
    assert said.returncode == 0 and said.stderr == ""
    assert "no cluster runs on /nonexistent/home" in said.stdout
    assert [line.split("  ")[1] for line in said.stdout.splitlines() if line.startswith("  makima")] == [
        "makima run 'What you want'",
        "makima up",
        "makima doctor",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["staus"], "there is no command 'staus'; did you mean status? See makima --help"),
        (["xyzzy"], "there is no command 'xyzzy'; there is run, up, "),
        (["log", "1"], "there is no command 'log'; did you mean directive log or task log? See makima --help"),
        (["export"], "there is no command 'export'; did you mean directive export? See makima --help"),
        (["completions"], "the following arguments are required: SHELL; see makima completions --help"),
        (["directive", "archive"], "the following arguments are required: DIRECTIVE; see makima directive archive"),
        (["directive", "lst"], "there is no verb 'lst'; did you mean list? See makima directive --help"),
        (["directive", "list", "--stats", "idle"], "--stats is not taken here; did you mean --status? See"),
        (["directive", "create", "--title", "x", "--on-failure", "replam"], "did you mean replan?"),
        (["status", "--outputt"], "--outputt is not taken here"),
        (
            ["up", "--daemons", "-1"],
            "argument --daemons: '-1' is no number of daemons: 0 or more; see makima up --help",
        ),
        (["up", "--daemons", "two"], "argument --daemons: 'two' is no number of daemons: 0 or more"),
    ],
)
def test_what_was_probably_meant_is_named(words: list[str], says: str) -> None:
    said = makima(*words)
    assert said.returncode == 2 and said.stdout == ""
    assert says in said.stderr and said.stderr.count("\n") == 1


def test_options_are_not_guessed_from_their_beginnings() -> None:
    assert makima("directive", "list", "--stat", "idle").returncode == 2


@pytest.mark.parametrize("words", [["--version"], ["--help"], [], ["doctor"]])
def test_a_device_that_is_full_is_said_in_a_line(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        said = makima(*words, stdout=full.fileno())
    assert said.returncode == 1
    assert said.stderr == "makima: standard output can't be written: No space left on device\n"


@pytest.mark.parametrize("words", [["--version"], ["--help"], [], ["doctor"]])
def test_a_pipe_that_nobody_reads_ends_it_quietly(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    said = makima(*words, stdout=writing)
    os.close(writing)
    assert (said.returncode, said.stderr) == (141, "")


@pytest.mark.parametrize("alphabet", ["ascii", "latin-1"])
def test_marks_are_plainer_where_a_terminal_has_none(alphabet: str) -> None:
    said = makima("doctor", PYTHONIOENCODING=alphabet)
    assert "Traceback" not in said.stderr
    assert said.stdout.startswith("+ ") and "->" not in said.stdout.splitlines()[0]
    assert said.stdout.isascii() or alphabet == "latin-1"


def test_what_an_agent_asks_makes_no_further_words_to_choose_in_a_shell() -> None:
    asked = completing._quietly(lambda _: iter([("12/3", "Which?\nrm\x0b--all\x1b[31m \\n")]))
    assert asked("") == {"12/3": "Which? rm --all \\n"}


def test_what_the_editor_is_opened_with_fits_a_terminal() -> None:
    assert all(len(line) < 80 for line in run._ASKING.splitlines())
    assert run._ASKING.startswith("\n") and run.SCISSORS in run._ASKING


@pytest.mark.parametrize(
    "words",
    [
        ["directive", "show", "a\udcff"],
        ["order", "add", "a\udcff"],
    ],
)
def test_a_text_that_is_no_utf_8_is_refused_in_a_line(words: list[str]) -> None:
    said = makima(*words, MAKIMA_TOKEN="any", MAKIMA_API_URL="http://127.0.0.1:1")
    assert said.returncode == 1
    assert said.stderr.startswith("makima: a text holds '\\udcff', which is no letter"), said.stderr
    assert said.stderr.count("\n") == 1
