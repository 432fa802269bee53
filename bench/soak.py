"""`python -m bench.soak --minutes N`: W3 in a loop, and the memory of every process sampled, drawn and judged.

The picture goes to docs/soak.svg, the table to docs/reliability.md with --write-docs. Exit code 1 when a process grew.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from xml.sax.saxutils import escape

import psutil

from bench.cluster import BenchFailed, Cluster, cluster
from bench.figures import ROOT
from bench.report import replace
from bench.workloads.fan import SLOTS, round_of

PICTURE = ROOT / "docs" / "soak.svg"
DOCUMENT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- soak: written by `just soak --write-docs` -->", "<!-- end of soak -->"
DIRECTIVES, WIDTH = 100, 8
SAMPLE_SECONDS = 2.0
WARM = 1 / 3
"""The first part of the samples doesn't count: allocators and caches fill up."""
MAX_GROWTH_MIB = 8.0
"""What a process may be larger at its end than it was when warm."""
COLOURS = ("#1b6ca8", "#c0392b", "#27864a", "#8e44ad", "#b9770e", "#117a65", "#5d6d7e", "#d35480")
W, H, LEFT, BELOW, RIGHT = 960, 420, 60, 40, 190


@dataclass
class Samples:
    """Resident memory in MiB a process, at so many seconds from the start."""

    seconds: list[float] = field(default_factory=list)
    mib: dict[str, list[float]] = field(default_factory=dict)

    def add(self, at: float, sizes: Mapping[str, float]) -> None:
        """One look at all."""
        self.seconds.append(at)
        for name, size in sizes.items():
            self.mib.setdefault(name, []).append(size)

    def growth(self, name: str) -> float:
        """By how much a process is larger in the last tenth of the time than it was when it was warm."""
        sizes = self.mib[name]
        tenth = max(len(sizes) // 10, 1)
        warm = round(len(sizes) * WARM)
        return _mean(sizes[-tenth:]) - _mean(sizes[warm : warm + tenth])


def main() -> int:
    """Soak; 1 when a process grew, or the workload came to a stop."""
    parser = argparse.ArgumentParser(prog="just soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--write-docs", action="store_true", help="put the figures into docs/reliability.md")
    arguments = parser.parse_args()
    samples, steps = Samples(), 0
    began = time.monotonic()
    try:
        with cluster() as running:
            driver, api = running.driver(SLOTS), running.api()
            stop = threading.Event()
            sampling = threading.Thread(target=_sample, args=(running, samples, stop))
            sampling.start()
            try:
                while time.monotonic() - began < arguments.minutes * 60:
                    round_of([api], driver, DIRECTIVES, WIDTH)
                    steps += DIRECTIVES * (WIDTH + 2)
            finally:
                stop.set()
                sampling.join()
    except BenchFailed as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    minutes = (time.monotonic() - began) / 60
    PICTURE.write_text(picture(samples), encoding="utf-8")
    text = table(samples, minutes, steps)
    print(text)
    if arguments.write_docs:
        replace(DOCUMENT, BEGIN, END, text)
    return int(any(samples.growth(name) > MAX_GROWTH_MIB for name in samples.mib))


def table(samples: Samples, minutes: float, steps: int) -> str:
    """The figures, as Markdown."""
    lines = [
        f"{minutes:.0f} minutes of W3 in a loop, {steps:,} steps ({steps / minutes / 60:,.0f} a second):",
        "",
        "| process | MiB when warm | at the end | grown by |",
        "|---|---:|---:|---:|",
    ]
    for name, sizes in samples.mib.items():
        end, growth = _mean(sizes[-max(len(sizes) // 10, 1) :]), samples.growth(name)
        lines.append(f"| {name} | {end - growth:.1f} | {end:.1f} | {growth:+.1f} |")
    return "\n".join([*lines, ""])


def picture(samples: Samples) -> str:
    """The curves, as SVG."""
    across = max(samples.seconds[-1], 1.0)
    top = max(max(sizes) for sizes in samples.mib.values()) * 1.05
    wide, high = W - LEFT - RIGHT, H - BELOW - 20

    def x(at: float) -> float:
        return LEFT + at / across * wide

    def y(mib: float) -> float:
        return 20 + high - mib / top * high

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" font-family="sans-serif" font-size="12">',
        f'<rect width="{W}" height="{H}" fill="white"/>',
    ]
    for line in range(5):
        mib = top * line / 4
        parts.append(f'<path d="M{LEFT} {y(mib):.1f}H{LEFT + wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(mib) + 4:.1f}" text-anchor="end">{mib:.0f}</text>')
        at = across * line / 4
        parts.append(f'<text x="{x(at):.1f}" y="{H - 18}" text-anchor="middle">{at / 60:.1f}</text>')
    parts.append(f'<text x="{LEFT + wide / 2}" y="{H - 2}" text-anchor="middle">minutes</text>')
    parts.append(f'<text x="{LEFT}" y="12">resident memory, MiB</text>')
    labels = _apart([y(sizes[-1]) for sizes in samples.mib.values()])
    for colour, (name, sizes), label in zip(_colours(len(samples.mib)), samples.mib.items(), labels, strict=True):
        points = " ".join(f"{x(at):.1f},{y(mib):.1f}" for at, mib in zip(samples.seconds, sizes, strict=False))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        said = escape(f"{name} {sizes[-1]:.0f}")
        parts.append(f'<text x="{LEFT + wide + 8}" y="{label + 4:.1f}" fill="{colour}">{said}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _sample(running: Cluster, samples: Samples, stop: threading.Event) -> None:
    began = time.monotonic()
    while not stop.wait(SAMPLE_SECONDS):
        sizes = {name: _mib(process) for name, process in running.processes().items()}
        samples.add(time.monotonic() - began, sizes)


def _mib(process: psutil.Process) -> float:
    """What a process with its children holds; pages that they share are counted once."""
    children = process.children(recursive=True)
    if not children:
        return float(process.memory_info().rss) / 2**20
    total = 0
    for one in (process, *children):
        try:
            total += one.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 2**20


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _colours(number: int) -> list[str]:
    return [COLOURS[n % len(COLOURS)] for n in range(number)]


def _apart(places: Sequence[float], least: float = 14.0) -> list[float]:
    """Heights near these, none on another."""
    moved = list(places)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for before, this in pairwise(order):
        moved[this] = max(moved[this], moved[before] + least)
    over = max(moved) - (H - BELOW)
    return [place - max(over, 0.0) for place in moved]


if __name__ == "__main__":
    sys.exit(main())
