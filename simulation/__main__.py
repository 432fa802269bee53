"""`python -m simulation --seeds 1000`: play histories and sum them up; `--seed N` replays one."""

from __future__ import annotations

import argparse
import multiprocessing.util
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from contextlib import contextmanager
from itertools import islice

import structlog

from simulation import summary
from simulation.history import Outcome, Stage, play
from simulation.planted import BUGS, Found, find
from simulation.stage import stage

_OURS = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
PIECE = 5
"""Histories that a process is given at once."""

_stage: Stage | None = None
_interrupted = threading.Event()
"""In a worker: it plays the history that it is at to its end, and no other."""


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
    parser.add_argument("--minutes", type=float, default=24 * 60.0, help="begin no other after so long")
    parser.add_argument("--planted", action="store_true", help="find the planted bugs instead, each within the seeds")
    parser.add_argument("--digests", action="store_true", help="print what each history's audit log comes to")
    parser.add_argument("--write-docs", action="store_true", help="write what came of it into docs/reliability.md")
    arguments = parser.parse_args()
    try:
        return _find_all(arguments) if arguments.planted else _play_all(arguments)
    except KeyboardInterrupt:
        return 130


def _play_all(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    if arguments.seed is not None:
        outcomes = [_replay(arguments.seed)]
    else:
        outcomes = sorted(_played(arguments), key=lambda o: o.seed)
    used = sum(resource.getrusage(who).ru_utime + resource.getrusage(who).ru_stime for who in _OURS)
    lines = summary.figures(outcomes, time.monotonic() - began, used, arguments.jobs)
    broken = summary.breaches(outcomes)
    print(*lines, *broken, sep="\n")
    if arguments.digests:
        print(*(f"seed {o.seed}: {o.seconds:.6f} s {o.digest}" for o in outcomes), sep="\n")
    if arguments.write_docs:
        summary.write("run", lines)
    return 1 if broken else 0


def _played(arguments: argparse.Namespace) -> Iterator[Outcome]:
    """Outcomes as they come; a breach is told at once."""
    begin = time.monotonic()
    ahead = iter(range(arguments.first, arguments.first + arguments.seeds, PIECE))
    last = arguments.first + arguments.seeds
    with _workers(arguments) as pool:
        pieces: set[Future[list[Outcome]]] = set()
        while True:
            in_time = time.monotonic() - begin < arguments.minutes * 60
            for at in islice(ahead, 2 * arguments.jobs - len(pieces) if in_time else 0):
                pieces.add(pool.submit(_play, range(at, min(at + PIECE, last))))
            if not pieces:
                return
            done, pieces = wait(pieces, return_when=FIRST_COMPLETED)
            for outcome in (outcome for piece in done for outcome in piece.result()):
                for line in summary.breaches([outcome]):
                    print(line, file=sys.stderr, flush=True)
                yield outcome


def _find_all(arguments: argparse.Namespace) -> int:
    with _workers(arguments) as pool:
        looking = [pool.submit(_find, number, arguments.seeds) for number in range(len(BUGS))]
        for found in as_completed(looking):
            print(found.result(), file=sys.stderr, flush=True)
    all_found = [found.result() for found in looking]
    lines = summary.table_of_bugs(all_found)
    print(*lines, sep="\n")
    if arguments.write_docs:
        summary.write("bugs", lines)
    return 0 if all(found.seed for found in all_found) else 1


@contextmanager
def _workers(arguments: argparse.Namespace) -> Iterator[ProcessPoolExecutor]:
    """Processes to play in; nothing that waits is begun once this is left."""
    pool = ProcessPoolExecutor(arguments.jobs, initializer=_open)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _open() -> None:
    """Of a worker: the stage of all histories that it plays, closed when it ends."""
    global _stage
    signal.signal(signal.SIGINT, lambda *_: _interrupted.set())
    opened = stage()
    _stage = opened.__enter__()
    multiprocessing.util.Finalize(None, opened.__exit__, (None, None, None), exitpriority=1)


def _play(seeds: range) -> list[Outcome]:
    assert _stage is not None
    return [play(_stage, seed) for seed in seeds if not _interrupted.is_set()]


def _find(number: int, most: int) -> Found:
    assert _stage is not None
    return find(_stage, BUGS[number], range(1, most + 1))


def _replay(seed: int) -> Outcome:
    with stage() as own:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(20))
        return play(own, seed)


if __name__ == "__main__":
    sys.exit(main())
