"""Bar charts as SVG, which read well in both of a browser's colour schemes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, LABEL, BAR, GAP, TOP = 820, 300, 18, 6, 46
ROOM = 150
"""Beside the longest bar, for its figure."""

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:15px}"
    ".note{fill:#57606a}"
    ".peer{fill:#8c959f}.ours{fill:#2da44e}.limit{fill:#d0d7de}.whisker{stroke:#24292f;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#8d96a0}.limit{fill:#3d444d}"
    ".whisker{stroke:#e6edf3}}"
)


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: to the left of it.
        figure: its length.
        low: where its whisker begins.
        high: where that ends.
        kind: `ours`, `peer` or `limit`.
    """

    label: str
    figure: float
    low: float
    high: float
    kind: str = "peer"


def bar_chart(title: str, note: str, bars: Sequence[Bar]) -> str:
    """An SVG document; the bars from top to bottom as they come, from zero, to one scale."""
    height = TOP + len(bars) * (BAR + GAP) + GAP
    longest = max((bar.high for bar in bars), default=0.0) or 1.0
    scale = (WIDTH - LABEL - ROOM) / longest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="16">{escape(title)}</text>',
        f'<text class="note" x="0" y="34">{escape(note)}</text>',
    ]
    for index, bar in enumerate(bars):
        top = TOP + index * (BAR + GAP)
        middle, text = top + BAR / 2, top + BAR - 5
        end = LABEL + max(bar.figure * scale, 1)
        low, high = LABEL + bar.low * scale, LABEL + bar.high * scale
        parts += [
            f'<text x="{LABEL - 8}" y="{text}" text-anchor="end">{escape(bar.label)}</text>',
            f'<rect class="{bar.kind}" x="{LABEL}" y="{top}" width="{end - LABEL:.1f}" height="{BAR}"/>',
            f'<line class="whisker" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>',
            f'<text x="{max(high, end) + 6:.1f}" y="{text}">{short(bar.figure)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def short(figure: float) -> str:
    """A figure to about three digits: 0.42, 17.3, 861, 12.4k, 2.31M."""
    for limit, divisor, unit in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(figure) >= limit:
            figure /= divisor
            return f"{figure:.{2 if abs(figure) < 10 else 1 if abs(figure) < 100 else 0}f}{unit}"
    return f"{figure:.{2 if abs(figure) < 10 else 1 if abs(figure) < 100 else 0}f}"
