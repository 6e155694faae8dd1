"""The graph of a soak: its figures over time, one above the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from xml.sax.saxutils import escape

from peers.plots import STYLE, short

from .verdict import buckets

WIDTH: Final = 820
PANEL, GAP, TOP, LEFT, RIGHT, BOTTOM = 96, 30, 60, 56, 12, 24
POINTS: Final = 200
"""Of a line; each is the median of a stretch."""
_COLOURS: Final = ("#2da44e", "#0969da", "#bf8700")
_TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 240, 480)
"""Minutes between two marks on the axis of time."""


@dataclass(frozen=True)
class Panel:
    """Lines that share an axis.

    Attributes:
        title: with the unit.
        lines: label and key of the sample, for each.
        divisor: of the values.
    """

    title: str
    lines: tuple[tuple[str, str], ...]
    divisor: float = 1.0


PANELS: Final = (
    Panel("memory, MiB", (("PSS", "pss"), ("RSS", "rss")), float(1 << 20)),
    Panel("threads and descriptors", (("threads", "threads"), ("descriptors", "descriptors"))),
    Panel("round trip of an echo, ms", (("p50", "p50"), ("p99", "p99"))),
    Panel("open sockets", (("open", "open"),)),
)


def graph(title: str, note: str, samples: Sequence[dict[str, Any]]) -> str:
    """An SVG document; values from zero up, time from left to right in minutes.

    Args:
        title: above everything.
        note: below the title.
        samples: `at` in seconds, and the keys of `PANELS`, where None means that there is no value.
    """
    height = TOP + len(PANELS) * (PANEL + GAP) + BOTTOM
    seconds = max((sample["at"] for sample in samples), default=1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{STYLE}.line{{fill:none;stroke-width:1.5}}.grid{{stroke:#8c959f;stroke-width:.5}}</style>",
        f'<text class="title" x="0" y="16">{escape(title)}</text>',
        f'<text class="note" x="0" y="34">{escape(note)}</text>',
    ]

    def across(at: float) -> float:
        return LEFT + at / seconds * (WIDTH - LEFT - RIGHT)

    for number, panel in enumerate(PANELS):
        parts += _panel(panel, TOP + number * (PANEL + GAP) + GAP / 2, seconds, across, samples)
    every = next((tick for tick in _TICKS if seconds / 60 / tick <= 10), _TICKS[-1])
    for minute in range(0, int(seconds / 60) + 1, every):
        label = f"{minute}" if minute else "0 min"
        place = f'x="{across(60 * minute):.1f}" y="{height - 8}" text-anchor="middle"'
        parts.append(f'<text class="note" {place}>{label}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    panel: Panel,
    top: float,
    seconds: float,
    across: Callable[[float], float],
    samples: Sequence[dict[str, Any]],
) -> list[str]:
    lines = []
    for label, key in panel.lines:
        points = [
            (sample["at"], sample[key] / panel.divisor) for sample in samples if sample[key] is not None
        ]
        lines.append((label, buckets(points, max(1.0, seconds / POINTS))))
    highest = max((value for _, points in lines for _, value in points), default=0.0) * 1.05 or 1.0
    bottom = top + PANEL
    parts = [
        f'<text x="{LEFT}" y="{top - 6}">{escape(panel.title)}</text>',
        f'<text class="note" x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{short(highest)}</text>',
        f'<text class="note" x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>',
        f'<line class="grid" x1="{LEFT}" y1="{bottom}" x2="{WIDTH - RIGHT}" y2="{bottom}"/>',
    ]
    for number, (label, points) in enumerate(lines):
        colour = _COLOURS[number]
        drawn = " ".join(f"{across(at):.1f},{bottom - value / highest * PANEL:.1f}" for at, value in points)
        parts += [
            f'<polyline class="line" stroke="{colour}" points="{drawn}"/>',
            f'<text x="{WIDTH - RIGHT - 95 * (len(lines) - number - 1)}" y="{top - 6}" text-anchor="end" '
            f'style="fill:{colour}">{escape(label)}</text>',
        ]
    return parts
