"""Every workload of the benchmarks runs: once, tiny, and never timed. So do makima and the bare path beside others."""

import sys

import pytest

from bench import against, beside
from bench.against import Pair, Tree
from bench.beside import Beside, Measured, Row
from bench.figures import ROOT, Machine
from bench.systems import System, systems
from bench.workloads import workloads
from tests.sampled import sampled

EACH_RUN = ("W3", "W10")
"""Many directives at once, and the cluster as such."""


@pytest.mark.parametrize("name", sampled(workloads(), EACH_RUN))
def test_a_workload_yields_its_figures(name: str) -> None:
    figures = workloads()[name].run(0.02)
    assert figures
    assert all(figure.value >= 0 for figure in figures)
    assert any(figure.goal is not None for figure in figures)


@pytest.mark.parametrize("system", sampled(systems()[:2], systems()[1:2]), ids=lambda system: system.name)
def test_a_system_of_our_own_runs_what_is_asked_of_the_others(system: System) -> None:
    row = Row(system=system.name, settings=system.settings, kept_in=system.kept_in)
    beside.take_turn(system, row, beside.WORKLOADS, 0.02)
    assert row.trouble is None
    assert set(row.figures) == set(beside.UNITS)
    assert all(value >= 0 for figure in row.figures.values() for value in figure.values)


def test_what_could_not_be_measured_is_said_in_the_table() -> None:
    machine = Machine(
        cores=2, memory_gib=8, processor="x", system="Linux", python="3", load_before=0, fsync_p50_ms=1, fsync_p99_ms=2
    )
    ours = Row(system="ours", settings="alone", kept_in="Postgres", figures={"fan": Measured([3.0, 1.0, 2000.0])})
    theirs = Row(system="theirs", settings="two", kept_in="Redis", trouble="redis-server is missing")
    found = Beside(machine=machine, commit="abc", at="today", rounds=3, scale=1.0, rows=[ours, theirs])
    text = beside.markdown(found)
    assert "| ours |  |  | 3 (1-2,000) |" in text.replace("1.00", "1")
    assert "- **theirs**: redis-server is missing." in text
    assert "theirs" not in beside.picture(found)


@pytest.mark.long
def test_a_tree_is_compared_with_another_figure_by_figure() -> None:
    tree = Tree(ROOT, sys.executable)
    (ratio,) = (p for p in against.compare("W4", tree, tree, 1, 0.02) if p.name == "request to SpawnTask p50")
    assert ratio.ours == ratio.theirs, "one tree ran twice, and the second run counts for both"
    assert ratio.ratios() == [1.0]


def test_a_ratio_is_of_one_round() -> None:
    pair = Pair("W1", "hop p50", "ms", theirs=[2.0, 4.0, 0.0], ours=[1.0, 8.0, 3.0])
    assert pair.ratios() == [0.5, 2.0]


def test_a_commit_that_is_none_is_said_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert against.run("no-such-commit", ["W4"], 1, 0.02) == 1
    assert capsys.readouterr().err == "bench: there is no commit no-such-commit\n"
