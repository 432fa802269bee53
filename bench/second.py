"""Another of every service on a running cluster. The broker stays alone: its sockets are bound once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.cluster import BenchFailed, free_port

NAMES = ("planner", "executor", "monitor", "completer", "gateway")


@dataclass(frozen=True)
class Second:
    """The second instances, and the port of their gateway."""

    processes: tuple[subprocess.Popen[bytes], ...]
    port: int


@contextmanager
def second_instances(environment: Mapping[str, str], log: Path) -> Iterator[Second]:
    """Second instances in a cluster's environment, ready, for as long as the block takes. Raises BenchFailed."""
    port = free_port()
    named = {**environment, "MAKIMA_PORT": str(port)}
    with log.open("ab") as said, ExitStack() as ending:
        starting = []
        for name in NAMES:
            reading, writing = os.pipe()
            process = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"],
                env={**named, "MAKIMA_READY_FD": str(writing)},
                pass_fds=(writing,),
                stdout=said,
                stderr=said,
            )
            os.close(writing)
            ending.callback(_end, process)
            starting.append((process, ending.enter_context(os.fdopen(reading, "rb", buffering=0))))
        for name, (_, ready) in zip(NAMES, starting, strict=True):
            if not ready.read(1):
                raise BenchFailed(f"the second {name} didn't start: {log} says why")
        yield Second(tuple(process for process, _ in starting), port)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait()
