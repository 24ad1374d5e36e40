"""Plots as SVG, to stand inside a page: no file beside it, no script, the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from hwlab.compare import number

WIDTH, LABEL, ROW, TOP = 760, 250, 30, 26
QUANTILES = ("p1", "p25", "p50", "p75", "p99")


def scale(low: float, high: float) -> tuple[float, float]:
    """The decades that hold these values."""
    first = math.floor(math.log10(max(low, 1e-9)))
    last = math.ceil(math.log10(max(high, 1e-9)))
    return first, max(last, first + 1)


def at(value: float, decades: tuple[float, float]) -> float:
    share = (math.log10(max(value, 1e-9)) - decades[0]) / (decades[1] - decades[0])
    return LABEL + min(max(share, 0.0), 1.0) * (WIDTH - LABEL - 20)


def spreads(title: str, unit: str, rows: Sequence[tuple[str, dict[str, float]]]) -> str:
    """One line per row on a logarithmic scale: whiskers from p1 to p99, a box from p25 to p75, the median."""
    low = min(row[1]["p1"] for row in rows)
    high = max(row[1]["p99"] for row in rows)
    decades = scale(low, high)
    height = TOP + ROW * len(rows) + 24
    parts = [grid(decades, height, unit)]
    for i, (label, row) in enumerate(rows):
        y = TOP + ROW * i + ROW / 2
        p1, p25, p50, p75, p99 = (at(row[name], decades) for name in QUANTILES)
        words = ", ".join(f"{name} {number(row[name])}" for name in (*QUANTILES, "min", "max"))
        parts += [
            f"<g><title>{escape(f'{label}: {words} {unit}')}</title>",
            f'<text class="label" x="{LABEL - 12}" y="{y + 4:.0f}" text-anchor="end">{escape(label)}</text>',
            f'<line class="whisker" x1="{p1:.1f}" x2="{p99:.1f}" y1="{y}" y2="{y}"/>',
            f'<rect class="box" x="{p25:.1f}" y="{y - 7}" width="{max(p75 - p25, 2):.1f}" height="14" rx="3"/>',
            f'<line class="median" x1="{p50:.1f}" x2="{p50:.1f}" y1="{y - 9}" y2="{y + 9}"/></g>',
        ]
    return figure(title, height, parts)


def bars(title: str, unit: str, rows: Sequence[tuple[str, float, float | None]]) -> str:
    """A bar per row from zero; a mark where an earlier run was."""
    most = max(max(value, was or 0.0) for _, value, was in rows) or 1.0
    height = TOP + ROW * len(rows) + 6
    parts: list[str] = []
    room = WIDTH - LABEL - 130
    for i, (label, value, was) in enumerate(rows):
        y = TOP + ROW * i + ROW / 2
        width = max(value / most * room, 1.0)
        beside = LABEL + max(width, (was or 0.0) / most * room) + 8
        words = f"{label}: {number(value)} {unit}" + (f", {number(was)} then" if was is not None else "")
        parts += [
            f"<g><title>{escape(words)}</title>",
            f'<text class="label" x="{LABEL - 12}" y="{y + 4:.0f}" text-anchor="end">{escape(label)}</text>',
            f'<rect class="bar" x="{LABEL}" y="{y - 8}" width="{width:.1f}" height="16" rx="3"/>',
            f'<text class="value" x="{beside:.1f}" y="{y + 4:.0f}">{number(value)} {escape(unit)}</text>',
        ]
        if was is not None:
            x = LABEL + was / most * room
            parts.append(f'<line class="then" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 11}" y2="{y + 11}"/>')
        parts.append("</g>")
    return figure(title, height, parts)


def grid(decades: tuple[float, float], height: float, unit: str) -> str:
    parts = []
    for decade in range(int(decades[0]), int(decades[1]) + 1):
        x = at(10.0**decade, decades)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height - 20}"/>')
        anchor = "end" if decade == decades[1] else "middle"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{height - 5}" text-anchor="{anchor}">'
            f"{escape(f'{number(10.0**decade)} {unit}')}</text>"
        )
    return "".join(parts)


def figure(title: str, height: float, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">'
        f'<text class="title" x="0" y="14">{escape(title)}</text>{body}</svg></figure>'
    )
