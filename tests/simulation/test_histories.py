"""The simulator: histories keep every promise, a seed replays, and planted bugs are found."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from simulation.history import Stage, play
from simulation.planted import BUGS, Bug, find
from simulation.stage import postgres, stage
from tests.conftest import ROOT

FEW, MANY, WITHIN = 8, 50, 200
AT_ONCE = ("readiness doesn't look at dependencies", "reports are acknowledged though writing failed")


@pytest.fixture(scope="module")
def played() -> Iterator[Stage]:
    """A stage for this module."""
    with postgres() as home, stage(home) as own:
        yield own
    logging.disable(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "seed", [*range(1, FEW + 1), *(pytest.param(s, marks=pytest.mark.long) for s in range(FEW + 1, MANY + 1))]
)
def test_a_history_keeps_every_promise(played: Stage, seed: int) -> None:
    outcome = play(played, seed)
    assert outcome.breaches == [], f"just simulate --seed {seed}"


def test_a_seed_replays_the_same_history() -> None:
    argv = [sys.executable, "-m", "simulation", "--seeds", "2", "--jobs", "1", "--digests"]
    first, second = (
        subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()[-2:]
        for _ in "12"
    )
    assert first == second


@pytest.mark.parametrize(
    "bug", [pytest.param(b, id=b.name, marks=() if b.name in AT_ONCE else pytest.mark.long) for b in BUGS]
)
def test_a_planted_bug_is_found(played: Stage, bug: Bug) -> None:
    assert find(played, bug, range(1, WITHIN + 1)).seed is not None
