"""makima and its peers behind one interface: W1 to W4, and the processor time that all of a system's processes took."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from bench.cluster import Api, BenchFailed, Cluster, cluster, cpu_of
from bench.figures import ROOT
from bench.servers import Server, postgres, redis
from bench.workloads import chain, fan, request

PYTHON = ROOT / ".venv" / "peers" / "bin" / "python"
ANSWER_SECONDS = 240.0


class Running(Protocol):
    """A system that is up."""

    def chain(self, steps: int) -> list[float]:
        """W1: milliseconds of each hop."""

    def fans(self, number: int, width: int) -> float:
        """W2 and W3: steps a second."""

    def starts(self, times: int) -> list[float]:
        """W4: milliseconds from each request to its step."""

    def cpu_seconds(self) -> float:
        """What all of its processes have taken so far, whoever asks included."""

    @property
    def server(self) -> str:
        """The name and version of the server that keeps its work; empty for none."""


@dataclass(frozen=True)
class System:
    """One that is measured: how to start it, what it is, and with which settings."""

    name: str
    settings: str
    kept_in: str
    start: Callable[[], AbstractContextManager[Running]]
    part: float = 1.0
    """How much of a chain it is given, where a hop takes a second."""


def systems() -> list[System]:
    """All, in the order of the table."""
    dbos, celery = peer_version("dbos"), peer_version("celery")
    return [
        System("makima", "all services, one bench daemon of 64 slots, HTTP", "Postgres", _ours),
        System(
            "the bare path", "four processes, one statement a phase, no HTTP", "Postgres", _peer("sketch", postgres)
        ),
        System(f"DBOS {dbos}", "steps in process, no hop between processes", "Postgres", _peer("dbos", postgres)),
        System(
            f"DBOS {dbos} by its queue",
            "asked to look every 10 ms",
            "Postgres",
            _peer("dbos", postgres, "queue"),
            part=0.3,
        ),
        System(
            f"procrastinate {peer_version('procrastinate')}",
            "two workers of 64 slots; a step defers the next",
            "Postgres",
            _peer("procrastinate", postgres),
        ),
        System(f"Celery {celery}", "two workers, acks late; Redis appendfsync always", "Redis", _peer("celery", redis)),
        System(f"dask.distributed {peer_version('distributed')}", "two workers", "memory", _peer("dask", nullcontext)),
    ]


def peer_version(library: str) -> str:
    """The version of a peer's library as it is locked."""
    for line in (ROOT / "bench" / "peers" / "requirements.txt").read_text().splitlines():
        if line.startswith(f"{library}=="):
            return line.removeprefix(f"{library}==").removesuffix(" \\")
    raise BenchFailed(f"bench/peers/requirements.txt holds no {library}")


class _Ours:
    def __init__(self, running: Cluster) -> None:
        self._running = running
        with running.sql() as connection:
            self.server = f"Postgres {connection.info.parameter_status('server_version')}"
        self._driver = running.driver(fan.SLOTS)
        self._apis = [running.api() for _ in range(fan.PEOPLE)]

    def chain(self, steps: int) -> list[float]:
        return chain.run_one(self._apis[0], self._driver, "chain", steps)

    def fans(self, number: int, width: int) -> float:
        """As for the peers, creating what is run counts."""
        apis = self._apis[:number]
        began = time.monotonic_ns()
        with ThreadPoolExecutor(len(apis)) as people:
            shares = [number // len(apis) + (n < number % len(apis)) for n in range(len(apis))]
            list(people.map(_create, apis, shares, [width] * len(apis)))
        seen = self._driver.collect(number * (width + 3))
        ended = max(s.acknowledged for s in seen if s.name != "deliver")
        return number * (width + 2) / ((ended - began) / 1e9)

    def starts(self, times: int) -> list[float]:
        return [request.run_one(self._apis[0], self._driver, f"request {n}") for n in range(times)]

    def cpu_seconds(self) -> float:
        own = time.process_time()
        return sum(self._running.cpu_seconds().values()) + cpu_of(psutil.Process(self._driver.process.pid)) + own


def _create(api: Api, number: int, width: int) -> None:
    for n in range(number):
        api.create(f"fan {n}", fan.plan(width), start=True)


@contextmanager
def _ours() -> Iterator[Running]:
    with cluster() as running:
        yield _Ours(running)


class _Peer:
    def __init__(self, process: subprocess.Popen[str], server: Server | None) -> None:
        self._process = process
        self.server = server.version if server else ""
        self._measured = [psutil.Process(process.pid), *([server.process] if server else [])]

    def chain(self, steps: int) -> list[float]:
        return self._ask("chain", steps)

    def fans(self, number: int, width: int) -> float:
        return self._ask("fans", number, width)[0]

    def starts(self, times: int) -> list[float]:
        return self._ask("starts", times)

    def cpu_seconds(self) -> float:
        return sum(cpu_of(one) for one in self._measured)

    def _ask(self, *what: object) -> list[float]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer: list[float] = self.answer()
        return answer

    def answer(self) -> list[float]:
        """Its next line. Raises BenchFailed when there is none."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], ANSWER_SECONDS)[0]:
            raise BenchFailed(f"no answer within {ANSWER_SECONDS:.0f} s")
        if not (line := self._process.stdout.readline()):
            raise BenchFailed(f"it ended with code {self._process.wait()}")
        answer: list[float] = json.loads(line)
        return answer


def _peer(
    module: str, server: Callable[[], AbstractContextManager[Server | None]], *arguments: str
) -> Callable[[], AbstractContextManager[Running]]:
    @contextmanager
    def start() -> Iterator[Running]:
        python = sys.executable if module == "sketch" else PYTHON
        with server() as found, tempfile.TemporaryDirectory(prefix="makima-bench-") as folder:
            environment = {**os.environ, **(found.environment if found else {}), "PYTHONPATH": str(ROOT)}
            argv = (python, "-m", f"bench.peers.{module}", folder, *arguments)
            with Path(folder, "errors").open("w+") as errors:
                process = subprocess.Popen(
                    argv, env=environment, cwd=ROOT, text=True,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                )  # fmt: skip
                try:
                    running = _Peer(process, found)
                    running.answer()
                    yield running
                except BenchFailed as error:
                    errors.seek(0)
                    said = errors.read().strip().splitlines()
                    raise BenchFailed(f"{error}: {said[-1] if said else 'it said nothing'}") from None
                finally:
                    _end(process)

    return start


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
