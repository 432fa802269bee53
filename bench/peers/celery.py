"""Celery: steps are tasks of two workers, kept in Redis, which waits for the disk at every write.

A task is acknowledged once it has ended, so that a killed worker loses none; what depends on another is chained, and a
fan is a chord, counted in the result backend.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from celery import Celery, chain, group

from bench.peers.work import Stamps, serve, stamp

REDIS = os.environ["BENCH_REDIS"]
app = Celery("bench", broker=f"redis+socket://{REDIS}", backend=f"redis+socket://{REDIS}")
app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, broker_connection_retry_on_startup=True)


@app.task(name="step")
def step(name: str) -> None:
    """A step."""
    stamp(name)


class Peer:
    """Chains and chords."""

    def chain(self, steps: int) -> None:
        """A chain."""
        chain(*(step.si(f"step {n}") for n in range(steps))).apply_async()

    def fans(self, number: int, width: int) -> None:
        """A chord each."""
        for _ in range(number):
            middle = group(step.si("middle") for _ in range(width))
            chain(step.si("first"), middle, step.si("last")).apply_async()

    def one(self) -> None:
        """A task."""
        step.apply_async(("only",))


def main() -> None:
    """Serve, with two workers."""
    stamps = Stamps(Path(sys.argv[1]) / "stamps")
    options = ("--concurrency", "2", "--loglevel", "ERROR", "--without-gossip", "--without-mingle")
    argv = (sys.executable, "-m", "celery", "-A", "bench.peers.celery", "worker", *options)
    worker = subprocess.Popen(argv, stdout=sys.stderr)
    try:
        while not app.control.ping(timeout=0.5):
            time.sleep(0.1)
        serve(Peer(), stamps)
    finally:
        worker.terminate()
        worker.wait(30)


if __name__ == "__main__":
    main()
