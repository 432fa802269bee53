"""Bars on logarithmic axes, a panel each figure, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

OURS, LIMIT, OTHERS = "#1b6ca8", "#27864a", "#aab4bd"
WIDTH, LABELS, ROW, HEAD = 960, 240, 20, 34


@dataclass(frozen=True)
class Bar:
    """A value, and between which values it was seen."""

    name: str
    value: float
    least: float
    most: float


@dataclass(frozen=True)
class Panel:
    """Bars of one unit."""

    title: str
    bars: Sequence[Bar]


def draw(panels: Sequence[Panel]) -> str:
    """The panels, one below another. The first bar of each is ours, the second the limit."""
    height = sum(HEAD + ROW * len(panel.bars) for panel in panels) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    top = 0
    for panel in panels:
        parts += _panel(panel, top)
        top += HEAD + ROW * len(panel.bars)
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> list[str]:
    parts = [f'<text x="10" y="{top + 24}" font-weight="bold">{escape(panel.title)}</text>']
    if not panel.bars:
        return parts
    low = math.log10(min(bar.least for bar in panel.bars)) - 0.3
    high = math.log10(max(bar.most for bar in panel.bars)) + 0.05

    def x(value: float) -> float:
        return LABELS + (math.log10(value) - low) / (high - low) * (WIDTH - LABELS - 80)

    for at, bar in enumerate(panel.bars):
        y = top + HEAD + at * ROW
        colour = (OURS, LIMIT)[at] if at < 2 else OTHERS
        middle = y + ROW / 2 - 2
        parts += [
            f'<text x="{LABELS - 8}" y="{y + 12}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect x="{LABELS}" y="{y}" width="{x(bar.value) - LABELS:.1f}" height="{ROW - 5}" fill="{colour}"/>',
            f'<path d="M{x(bar.least):.1f} {middle}H{x(bar.most):.1f}" stroke="#222"/>',
            f'<text x="{x(bar.most) + 6:.1f}" y="{y + 12}">{_text(bar.value)}</text>',
        ]
    return parts


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
