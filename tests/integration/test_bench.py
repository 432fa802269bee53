"""Every workload of the benchmarks runs: once, tiny, and never timed."""

import pytest

from bench.workloads import workloads


@pytest.mark.parametrize("name", list(workloads()))
def test_a_workload_yields_its_figures(name: str) -> None:
    figures = workloads()[name].run(0.02)
    assert figures
    assert all(figure.value >= 0 for figure in figures)
    assert any(figure.goal is not None for figure in figures)
