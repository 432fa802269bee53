"""What a workload yields: figures with their goals, the machine they were taken on, and how both are written."""

from __future__ import annotations

import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured value. With a goal it is met when the value is at most it, or at least it where `at_least`."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What the figures were taken on."""

    cores: int
    memory_gib: float
    processor: str
    system: str
    python: str
    load_before: float
    fsync_p50_ms: float
    fsync_p99_ms: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A workload's outcome, as `bench/results/NAME.json` holds it."""

    workload: str
    title: str
    figures: list[Figure]
    machine: Machine
    commit: str
    at: datetime
    seconds: float
    scale: float = 1.0


def percentile(values: Sequence[float], of_100: float) -> float:
    """The nearest-rank percentile.

    >>> percentile([3.0, 1.0, 2.0], 50)
    2.0
    """
    ordered = sorted(values)
    return ordered[max(math.ceil(of_100 / 100 * len(ordered)), 1) - 1]


def spread(name: str, values: Sequence[float], unit: str, p50: float | None, p99: float | None) -> list[Figure]:
    """The p50 and p99 of values, each with its goal."""
    return [
        Figure(name=f"{name} p50", value=percentile(values, 50), unit=unit, goal=p50),
        Figure(name=f"{name} p99", value=percentile(values, 99), unit=unit, goal=p99),
    ]


def machine(folder: Path) -> Machine:
    """This machine, with how long a durable write of 8 KiB takes where the database will lie."""
    syncs = _syncs(folder)
    return Machine(
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        processor=_processor(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        load_before=round(os.getloadavg()[0], 2),
        fsync_p50_ms=round(statistics.median(syncs), 3),
        fsync_p99_ms=round(percentile(syncs, 99), 3),
    )


def commit() -> str:
    """The commit that was measured, with a + where the tree differs from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"


def now() -> datetime:
    """The time, for a result."""
    return datetime.now(UTC).replace(microsecond=0)


def cpu_a_step(before: Mapping[str, float], after: Mapping[str, float], steps: int) -> list[Figure]:
    """What each process took a step, of processor seconds before and after so many."""
    return [
        Figure(name=f"CPU of {name} a step", value=(seconds - before.get(name, 0.0)) / steps * 1e6, unit="us")
        for name, seconds in after.items()
    ]


def write(result: Result, folder: Path = RESULTS) -> Path:
    """Write a result where the next one of the same workload replaces it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{result.workload}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    return path


def read_all() -> list[Result]:
    """The results that were written, in the workloads' order."""
    found = [msgspec.json.decode(p.read_bytes(), type=Result) for p in RESULTS.glob("*.json")]
    return sorted(found, key=lambda r: (len(r.workload), r.workload))


def _syncs(folder: Path, times: int = 200) -> list[float]:
    path, taken = folder / "sync", []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter() - began) * 1000)
    path.unlink()
    return taken


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
