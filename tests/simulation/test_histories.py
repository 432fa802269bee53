"""The simulator: histories keep every promise, a seed replays, and planted bugs are found."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from simulation import summary
from simulation.history import Stage
from simulation.planted import BUGS, Bug, find
from simulation.stage import stage
from tests.conftest import ROOT
from tests.sampled import sampled

WITHIN = 200
SOON = (
    "a report counts whatever attempt it is of",
    "leases never run out",
    "readiness doesn't look at dependencies",
)
"""Bugs that the first few histories show, and every run looks for."""


@pytest.fixture(scope="module")
def played() -> Iterator[Stage]:
    """A stage for this module."""
    with stage() as own:
        yield own
    logging.disable(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.parametrize("histories", sampled((15, 50), {15}))
def test_histories_keep_every_promise(histories: int) -> None:
    argv = [sys.executable, "-m", "simulation", "--seeds", str(histories)]
    played = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert played.returncode == 0, played.stdout + played.stderr
    commits = re.search(r"\| commits \| ([\d,]+) \|", played.stdout)
    assert commits is not None and int(commits[1].replace(",", "")) > 200 * histories, "hardly anything happened"


def test_a_seed_replays_the_same_history_whatever_was_played_before_it() -> None:
    assert _digest("--first", "11", "--seeds", "3", "--jobs", "1") == _digest("--seed", "13")


def _digest(*arguments: str) -> str:
    """What the last of the histories came to."""
    argv = [sys.executable, "-m", "simulation", *arguments, "--digests"]
    played = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    return played.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "bug", [pytest.param(b, id=b.name, marks=() if b.name in SOON else pytest.mark.long) for b in BUGS]
)
def test_a_planted_bug_is_found(played: Stage, bug: Bug) -> None:
    assert find(played, bug, range(1, WITHIN + 1)).seed is not None


def test_the_documentation_names_a_seed_for_every_planted_bug() -> None:
    page = summary.PAGE.read_text(encoding="utf-8")
    for bug in BUGS:
        assert re.search(rf"^\| {re.escape(bug.name)} \| \d+ \|", page, re.M), f"{bug.name}: just simulate --planted"
