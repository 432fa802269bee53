"""`python -m simulation --seeds 1000`: play histories and sum them up; `--seed N` replays one."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import structlog

from simulation.history import Outcome, Stage, play
from simulation.planted import BUGS, Found, find
from simulation.stage import postgres, stage

_opened: AbstractContextManager[Stage] | None = None
_stage: Stage | None = None


def main() -> int:
    """Play; 0 when every promise was kept."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(
            sys.executable, [sys.executable, "-m", "simulation", *sys.argv[1:]], {**os.environ, "PYTHONHASHSEED": "0"}
        )
    parser = argparse.ArgumentParser(prog="simulate")
    parser.add_argument("--seeds", type=int, default=50, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="replay this one, with its logs")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--planted", action="store_true", help="find the planted bugs instead, each within the seeds")
    parser.add_argument("--digests", action="store_true", help="print what each history's audit log comes to")
    arguments = parser.parse_args()
    began = time.monotonic()
    with postgres() as home:
        if arguments.seed is not None:
            outcomes = [_replay(home, arguments.seed)]
        elif arguments.planted:
            with ProcessPoolExecutor(arguments.jobs, initializer=_open, initargs=(home,)) as pool:
                return _report_found(pool.map(_find, range(len(BUGS)), [arguments.seeds] * len(BUGS)))
        else:
            seeds = range(arguments.first, arguments.first + arguments.seeds)
            with ProcessPoolExecutor(arguments.jobs, initializer=_open, initargs=(home,)) as pool:
                outcomes = list(pool.map(_play, seeds, chunksize=5))
    _report(outcomes, time.monotonic() - began)
    if arguments.digests:
        print(*(f"seed {o.seed}: {o.seconds:.6f} s {o.digest}" for o in outcomes), sep="\n")
    return 1 if any(o.breaches for o in outcomes) else 0


def _open(home: Path) -> None:
    global _opened, _stage
    _opened = stage(home)
    _stage = _opened.__enter__()


def _play(seed: int) -> Outcome:
    assert _stage is not None
    return play(_stage, seed)


def _find(number: int, most: int) -> Found:
    assert _stage is not None
    return find(_stage, BUGS[number], range(1, most + 1))


def _report_found(all_found: Iterable[Found]) -> int:
    missed = 0
    for found in all_found:
        missed += found.seed is None
        print(f"| {found.bug} | {found.seed or 'none'} | {found.promise} |", flush=True)
    return 1 if missed else 0


def _replay(home: Path, seed: int) -> Outcome:
    with stage(home) as own:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(20))
        return play(own, seed)


def _report(outcomes: Iterable[Outcome], seconds: float) -> None:
    outcomes = list(outcomes)
    tallies = [o.tally for o in outcomes]
    total = {
        name: sum(getattr(t, name) for t in tallies)
        for name in (
            "kills",
            "drops",
            "doubles",
            "late",
            "losses",
            "refusals",
            "outages",
            "cuts",
            "wipes",
            "commits",
            "lock_waits",
            "deadlocks",
        )
    }
    hours = sum(o.seconds for o in outcomes) / 3600
    print(f"{len(outcomes)} histories, {hours:.1f} simulated hours, {seconds:.0f} s")
    print(", ".join(f"{value} {name}" for name, value in total.items()))
    kills = sum((Counter(t.by_name) for t in tallies), Counter())
    print("killed: " + ", ".join(f"{name} {count}" for name, count in sorted(kills.items())))
    for outcome in outcomes:
        for breach in outcome.breaches:
            print(f"seed {outcome.seed}: {breach.promise}: {breach.detail[:600]}")


if __name__ == "__main__":
    sys.exit(main())
