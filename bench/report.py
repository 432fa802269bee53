"""Results as people read them: a table on the terminal, and the tables of docs/benchmarks.md between its marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.figures import ROOT, Figure, Machine, Result

DOCUMENT = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: written by `just bench --write-docs` -->", "<!-- end of figures -->"


def show(result: Result) -> None:
    """Print one workload's figures."""
    table = Table(title=f"{result.workload}: {result.title} ({result.seconds:.0f} s)", title_justify="left")
    for column in ("figure", "value", "goal", ""):
        table.add_column(column, justify="left" if column in ("figure", "") else "right")
    for figure in result.figures:
        table.add_row(figure.name, _value(figure), _goal(figure), _verdict(figure))
    Console().print(table)


def write_document(results: Sequence[Result]) -> None:
    """Replace the figures of docs/benchmarks.md. Raises ValueError when they have no place there."""
    replace(DOCUMENT, BEGIN, END, markdown(results))


def replace(document: Path, begin: str, end: str, text: str) -> None:
    """Replace what stands between two marks of a document. Raises ValueError when they are missing."""
    whole = document.read_text(encoding="utf-8")
    before, found, rest = whole.partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{document} has no place for figures: {begin} and {end}")
    document.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def markdown(results: Sequence[Result]) -> str:
    """The machine, and a row a figure."""
    lines = [described(results[-1].machine), ""] if results else []
    lines += ["| | workload | figure | value | goal | |", "|---|---|---|---:|---:|---|"]
    for result in results:
        for at, figure in enumerate(result.figures):
            head = (f"**{result.workload}**", result.title) if at == 0 else ("", "")
            lines.append(
                "| " + " | ".join((*head, figure.name, _value(figure), _goal(figure), _verdict(figure))) + " |"
            )
    stamps = sorted({f"`{r.commit}`, {r.at:%Y-%m-%d}, load {r.machine.load_before} before it" for r in results})
    return "\n".join([*lines, "", "Measured on: " + "; ".join(stamps) + ".", ""])


def described(machine: Machine) -> str:
    """A sentence on the machine."""
    return (
        f"{machine.cores} cores ({machine.processor}), {machine.memory_gib:g} GiB, {machine.system}, "
        f"Python {machine.python}; a durable write of 8 KiB takes {machine.fsync_p50_ms:.2f} ms p50, "
        f"{machine.fsync_p99_ms:.2f} ms p99."
    )


def number(value: float) -> str:
    """A value as figures are shown.

    >>> number(1234.5), number(3.0), number(0.333)
    ('1,234', '3', '0.33')
    """
    return f"{value:,.{0 if abs(value) >= 100 or value == int(value) else 2}f}"


def _value(figure: Figure) -> str:
    return f"{number(figure.value)} {figure.unit}"


def _goal(figure: Figure) -> str:
    if figure.goal is None:
        return ""
    return f"{'≥' if figure.at_least else '≤'} {figure.goal:,g} {figure.unit}"


def _verdict(figure: Figure) -> str:
    return {None: "", True: "met", False: "missed"}[figure.met]
