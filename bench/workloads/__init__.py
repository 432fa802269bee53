"""The workloads by name. Each takes a scale: 1 is the real size, CI runs a tiny one to see that it works."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Figure


@dataclass(frozen=True)
class Workload:
    """One workload: its title for the table, and what runs it at a scale in (0, 1]."""

    title: str
    run: Callable[[float], Sequence[Figure]]


def workloads() -> dict[str, Workload]:
    """All of them, in order."""
    from bench.workloads import chain, doubled, fan, history, layers, link, machine, output, presence, request, worktree

    return {
        "W1": Workload("a chain of 100 steps: one hop", chain.run),
        "W2": Workload("1 -> 1000 -> 1 in one directive, 64 slots", fan.one_directive),
        "W3": Workload("100 directives of 1 -> 8 -> 1 at once", fan.many_directives),
        "W4": Workload("create and start a one-step directive over HTTP", request.run),
        "W5": Workload("layered DAGs, three dependencies a step", layers.run),
        "W6": Workload("W1 with 10,000 idle directives and 1,000,000 old tasks", history.run),
        "W7": Workload("50 tasks printing 200 lines a second each", output.run),
        "W8": Workload("the real daemon beside bare git", worktree.run),
        "W9": Workload("1,000 connected daemons, heartbeats on", presence.run),
        "W10": Workload("the cluster itself", machine.run),
        "W11": Workload("W3 with two of every service beside one", doubled.run),
        "W12": Workload("1,000 daemons on other machines, heartbeats on", link.run),
    }
