"""`just bench --peers`: W1 to W4 by makima, by its peers and by the bare path, in turns on one machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec
from rich.console import Console
from rich.table import Table

from bench import figures, report
from bench.bars import Bar, Panel, draw
from bench.cluster import BenchFailed
from bench.figures import ROOT, Machine, percentile
from bench.systems import Running, System, systems

RESULT = ROOT / "bench" / "results" / "beside" / "peers.json"
PICTURE = ROOT / "docs" / "peers.svg"
BEGIN, END = "<!-- peers: written by `just bench --peers --write-docs` -->", "<!-- end of peers -->"
WORKLOADS = ("W1", "W2", "W3", "W4")
CHAIN, WIDTH, FANS, STARTS, WARM_UP = 100, 1000, 100, 60, 10


class Measured(msgspec.Struct, frozen=True):
    """One figure of one system: a value a round."""

    values: list[float]

    @property
    def middle(self) -> float:
        """The median of the rounds."""
        return median(self.values)

    def text(self) -> str:
        """The median, and between which values the rounds were.

        >>> Measured([3.2, 2.0, 1234.0]).text()
        '3.2 (2-1,234)'
        """
        ends = f" ({_number(min(self.values))}-{_number(max(self.values))})" if len(self.values) > 1 else ""
        return _number(self.middle) + ends


class Row(msgspec.Struct, kw_only=True):
    """One system's figures, by their names; or why there are none."""

    system: str
    settings: str
    kept_in: str
    figures: dict[str, Measured] = {}
    trouble: str | None = None


class Beside(msgspec.Struct, kw_only=True):
    """What `bench/results/beside/peers.json` holds."""

    machine: Machine
    commit: str
    at: str
    rounds: int
    scale: float
    rows: list[Row]


UNITS = {
    "hop p50": "ms",
    "hop p99": "ms",
    "fan": "steps/s",
    "fans": "steps/s",
    "start p50": "ms",
    "start p99": "ms",
    "CPU a step": "us",
}


def run(names: Sequence[str], rounds: int, scale: float, write_docs: bool) -> int:
    """Measure, print, keep; 1 when a system could not be measured."""
    workloads = [name for name in WORKLOADS if not names or name in names]
    found = measure(workloads, rounds, scale)
    show(found)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    if scale == 1.0 and workloads == list(WORKLOADS):
        RESULT.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    if write_docs:
        write_document(msgspec.json.decode(RESULT.read_bytes(), type=Beside))
    return int(any(row.trouble for row in found.rows))


def measure(workloads: Sequence[str], rounds: int, scale: float) -> Beside:
    """Every system in every round, one after another, so that the machine's moods reach all of them alike."""
    machine = figures.machine(Path(figures.RESULTS))
    known = systems()
    rows = {s.name: Row(system=s.name, settings=s.settings, kept_in=s.kept_in) for s in known}
    for number in range(rounds):
        for system in known:
            row = rows[system.name]
            if row.trouble is None:
                began = time.monotonic()
                take_turn(system, row, workloads, scale)
                said = row.trouble or f"{time.monotonic() - began:.0f} s"
                print(f"round {number + 1} of {rounds}: {system.name}: {said}", file=sys.stderr, flush=True)
    return Beside(
        machine=machine,
        commit=figures.commit(),
        at=f"{figures.now():%Y-%m-%d}",
        rounds=rounds,
        scale=scale,
        rows=list(rows.values()),
    )


def take_turn(system: System, row: Row, workloads: Sequence[str], scale: float) -> None:
    """Start a system, give it the workloads, and add what was measured to its row, or why nothing was."""
    try:
        with system.start() as running:
            row.kept_in = running.server or row.kept_in
            for name in workloads:
                for figure, value in TURNS[name](running, scale * (system.part if name == "W1" else 1.0)).items():
                    row.figures.setdefault(figure, Measured([])).values.append(value)
    except BenchFailed as error:
        row.trouble = str(error)


def _hops(running: Running, scale: float) -> dict[str, float]:
    running.chain(max(round(CHAIN * scale / 5), 2))
    hops = running.chain(max(round(CHAIN * scale), 3))
    return {"hop p50": percentile(hops, 50), "hop p99": percentile(hops, 99)}


def _fan(running: Running, scale: float) -> dict[str, float]:
    running.fans(1, max(round(WIDTH * scale / 10), 2))
    width = max(round(WIDTH * scale), 2)
    before = running.cpu_seconds()
    rate = running.fans(1, width)
    return {"fan": rate, "CPU a step": (running.cpu_seconds() - before) / (width + 2) * 1e6}


def _fans(running: Running, scale: float) -> dict[str, float]:
    return {"fans": running.fans(max(round(FANS * scale), 2), 8)}


def _starts(running: Running, scale: float) -> dict[str, float]:
    took = running.starts(WARM_UP + max(round(STARTS * scale), 3))[WARM_UP:]
    return {"start p50": percentile(took, 50), "start p99": percentile(took, 99)}


TURNS: dict[str, Callable[[Running, float], dict[str, float]]] = {
    "W1": _hops,
    "W2": _fan,
    "W3": _fans,
    "W4": _starts,
}


def show(found: Beside) -> None:
    """Print the table."""
    table = Table(title=f"beside others, medians of {found.rounds} rounds (least-most)", title_justify="left")
    for column in ("system", *(f"{name}, {unit}" for name, unit in UNITS.items()), "kept in"):
        table.add_column(column)
    for row in found.rows:
        table.add_row(row.system, *_cells(row), row.trouble or row.kept_in)
    Console(width=200).print(table)


def write_document(found: Beside) -> None:
    """Put the table and the picture into docs/benchmarks.md."""
    PICTURE.write_text(picture(found), encoding="utf-8")
    report.replace(report.DOCUMENT, BEGIN, END, markdown(found))


def markdown(found: Beside) -> str:
    """The table, as Markdown."""
    lines = [
        f"{report.described(found.machine)} Medians of {found.rounds} rounds, in which each had a turn, and the least "
        f"and the most of them; `{found.commit}`, {found.at}, load {found.machine.load_before} before it.",
        "",
        "| system | W1: a hop, p50 ms | p99 ms | W2: steps/s | W3: steps/s | W4: request to start, p50 ms | p99 ms "
        "| CPU a step in W2, us | kept in |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += ["| " + " | ".join((row.system, *_cells(row), row.kept_in)) + " |" for row in found.rows]
    lines += ["", *(f"- **{row.system}**: {row.trouble or row.settings}." for row in found.rows)]
    return "\n".join([*lines, "", "![makima, its peers and the bare path, a panel each workload](peers.svg)", ""])


def picture(found: Beside) -> str:
    """A panel each workload, a bar each system."""
    titles = {
        "hop p50": "W1: a hop, ms (less is better)",
        "fan": "W2: 1 → 1000 → 1, steps a second (more is better)",
        "fans": "W3: 100 of (1 → 8 → 1), steps a second (more is better)",
        "start p50": "W4: request to start, ms (less is better)",
    }
    return draw([Panel(title, _bars(found, name)) for name, title in titles.items()])


def _bars(found: Beside, name: str) -> list[Bar]:
    rows = [(row.system, row.figures[name]) for row in found.rows if name in row.figures and row.trouble is None]
    return [Bar(system, one.middle, min(one.values), max(one.values)) for system, one in rows]


def _cells(row: Row) -> list[str]:
    return [row.figures[name].text() if name in row.figures else "" for name in UNITS]


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 2 else f"{value:.2f}"
