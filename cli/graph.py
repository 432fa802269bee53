"""The steps of a directive as a graph: in their order, as text for a terminal, as Mermaid, and as SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING
from uuid import UUID

from cli.text import clean

if TYPE_CHECKING:
    from shared.api.steps import StepShown as Step

COLOURS = {
    "pending": "#9aa4b2", "ready": "#38bdf8", "running": "#f59e0b", "completed": "#22c55e", "failed": "#ef4444",
    "skipped": "#cbd5e1",
}  # fmt: skip
MARKS = {"pending": "○", "ready": "◔", "running": "●", "completed": "✔", "failed": "✘", "skipped": "↷"}
LONGEST_LABEL = 26


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps, each after all it depends on: by phase (order_index), then by depth, then as they were planned."""
    depth = depths(steps)
    return sorted(steps, key=lambda s: (s.order_index, depth[s.id]))


def depths(steps: Sequence[Step]) -> dict[UUID, int]:
    """How many steps lie before each one on its longest way through the graph."""
    needs = {s.id: [n for n in s.depends_on] for s in steps}
    depth: dict[UUID, int] = {}
    waiting = list(needs)
    while waiting:
        left = []
        for step in waiting:
            known = [n for n in needs[step] if n in needs]
            if all(n in depth for n in known):
                depth[step] = max((depth[n] + 1 for n in known), default=0)
            else:
                left.append(step)
        if len(left) == len(waiting):  # can't be: plans have no cycles
            depth |= dict.fromkeys(left, 0)
            break
        waiting = left
    return depth


def layers(steps: Sequence[Step]) -> list[list[Step]]:
    """What could run together, phase after phase: a step's layer lies after those of all it depends on."""
    depth = depths(steps)
    placed: dict[UUID, int] = {}
    floor = 0
    for phase in sorted({s.order_index for s in steps}):
        members = sorted((s for s in steps if s.order_index == phase), key=lambda s: depth[s.id])
        for step in members:
            before = [placed[n] + 1 for n in step.depends_on if n in placed]
            placed[step.id] = max([floor, *before])
        floor = max(placed.values()) + 1
    rows: list[list[Step]] = [[] for _ in range(floor)]
    for step in in_order(steps):
        rows[placed[step.id]].append(step)
    return _untangled(rows)


def as_text(steps: Sequence[Step]) -> list[str]:
    """A line a step, indented by its layer, with what it comes after."""
    names = {s.id: clean(s.name) for s in steps}
    lines = []
    for number, layer in enumerate(layers(steps)):
        for place, step in enumerate(layer):
            branch = "" if number == 0 else "   " * (number - 1) + ("└─ " if place == len(layer) - 1 else "├─ ")
            needs = ", ".join(names[n] for n in step.depends_on if n in names)
            after = f"   ← {needs}" if needs else f"   ← all of phase {step.order_index - 1}" if number else ""
            lines.append(f"{branch}{MARKS[step.status]} {names[step.id]}{after}")
    return lines


def as_mermaid(steps: Sequence[Step]) -> str:
    """A Mermaid flowchart, a subgraph a phase."""
    number = {s.id: f"s{i}" for i, s in enumerate(in_order(steps))}
    phases = sorted({s.order_index for s in steps})
    lines = ["flowchart LR"]
    for phase in phases:
        if len(phases) > 1:
            lines.append(f"  subgraph phase{phases.index(phase)}[Phase {phase}]")
        for step in in_order(steps):
            if step.order_index == phase:
                label = "".join(c if c.isalnum() or c in " .,-_" else f"#{ord(c)};" for c in clean(step.name))
                lines.append(f'  {number[step.id]}["{label}"]:::{step.status}')
        if len(phases) > 1:
            lines.append("  end")
    lines += [f"  phase{i} --> phase{i + 1}" for i in range(len(phases) - 1)]
    lines += [
        f"  {number[need]} --> {number[s.id]}" for s in in_order(steps) for need in s.depends_on if need in number
    ]
    lines += [f"  classDef {status} fill:{colour},stroke:#334155,color:#0f172a" for status, colour in COLOURS.items()]
    return "\n".join(lines) + "\n"


def as_svg(title: str, steps: Sequence[Step]) -> str:
    """The graph from left to right, coloured by status, phases parted by a dotted line."""
    rows = layers(steps)
    width, height, gap_x, gap_y, top, left = 212, 44, 64, 22, 70, 24
    tallest = max((len(row) for row in rows), default=1)
    whole = tallest * (height + gap_y)
    at: dict[UUID, tuple[float, float]] = {}
    for x, row in enumerate(rows):
        start = top + (whole - len(row) * (height + gap_y)) / 2
        for y, step in enumerate(row):
            at[step.id] = (left + x * (width + gap_x), start + y * (height + gap_y))
    wide, high = left * 2 + max(len(rows), 1) * (width + gap_x) - gap_x, top + whole + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high:.0f}" width="{wide}" height="{high:.0f}" '
        'font-family="ui-sans-serif, system-ui, Helvetica, Arial, sans-serif" font-size="13">',
        f"<title>{escape(clean(title))}</title>",
        '<rect width="100%" height="100%" rx="12" fill="#f8fafc"/>',
        f'<text x="{left}" y="36" font-size="17" font-weight="600" fill="#0f172a">{escape(clean(title))}</text>',
    ]
    for x in range(1, len(rows)):
        if rows[x][0].order_index != rows[x - 1][0].order_index:
            line = left + x * (width + gap_x) - gap_x / 2
            parts.append(f'<path d="M{line} {top - 10}V{high - 16:.0f}" stroke="#cbd5e1" stroke-dasharray="2 5"/>')
    for step in in_order(steps):
        c, d = at[step.id][0], at[step.id][1] + height / 2
        for need in step.depends_on:
            if need in at:
                a, b = at[need][0] + width, at[need][1] + height / 2
                bend = gap_x / 2
                curve = f"M{a} {b:.0f}C{a + bend} {b:.0f} {c - bend} {d:.0f} {c} {d:.0f}"
                parts.append(f'<path d="{curve}" fill="none" stroke="#94a3b8" stroke-width="1.5"/>')
    for step in in_order(steps):
        corner_x, corner_y = at[step.id]
        colour = COLOURS[step.status]
        label = clean(step.name)
        short = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
        box = f'x="{corner_x}" y="{corner_y:.0f}" height="{height}"'
        parts += [
            f"<g><title>{escape(label)}: {step.status}</title>",
            f'<rect {box} width="{width}" rx="8" fill="#ffffff" stroke="#e2e8f0"/>',
            f'<rect {box} width="5" rx="2" fill="{colour}"/>',
            f'<text x="{corner_x + 16}" y="{corner_y + 19:.0f}" fill="#0f172a">{escape(short)}</text>',
            f'<text x="{corner_x + 16}" y="{corner_y + 35:.0f}" font-size="11" fill="#64748b">{step.status}</text>',
            "</g>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _untangled(rows: list[list[Step]]) -> list[list[Step]]:
    """Each layer ordered by where that stands which its steps depend on (barycentres: Sugiyama et al., 1981)."""
    place: dict[UUID, float] = {}
    ordered = []
    for row in rows:
        middle = {s.id: [place[n] for n in s.depends_on if n in place] for s in row}
        row = sorted(row, key=lambda s: sum(m) / len(m) if (m := middle[s.id]) else 1.0)
        place |= {s.id: (i + 0.5) / len(row) for i, s in enumerate(row)}
        ordered.append(row)
    return ordered
