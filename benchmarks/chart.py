"""Draws the main ratios and the growth of cost as one small SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rows import Curve, Report, Row

WIDTH, LEFT, BAR, MARGIN = 780, 190, 18, 16
COLOURS = {"ours": "#0a7f5a", "httpx-sse": "#8a8f98", "OpenAI SDK": "#c2c6cc", "floor": "#3b5ba5"}
LINES = ("#0a7f5a", "#3b5ba5", "#b4552d", "#7a4fa3", "#8a8f98", "#c59a1b")
PLOT = 220
STYLE = "text{font:12px system-ui,sans-serif;fill:#333}.head{font-weight:600;font-size:13px}.dim{fill:#777}"


def draw(report: Report, machine: str) -> str:
    """Return the SVG, without the parts that were not measured."""
    parts: list[str] = []
    height = MARGIN
    compared = [row for row in report.rows if row.yardstick == "floor"]
    for row in compared:
        bars = list(_bars(row, height))
        parts += bars
        height += 40 + (len(row.peers) + 1) * (BAR + 6)
    if report.curves:
        parts += _growth(report.curves, height)
        height += PLOT + 70
    if report.lives:
        parts += _lives(report.lives, height)
        height += PLOT + 70
    parts.append(_text(MARGIN, height, f"Measured on {machine}", "dim"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height + MARGIN}" width="{WIDTH}">'
    white = '<rect width="100%" height="100%" fill="#fff"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", white, *parts, "</svg>\n"])


def _bars(row: Row, top: int) -> Iterator[str]:
    """Draw one bar per client, in multiples of the floor, on a logarithmic scale."""
    values = dict(sorted({"ours": row.value, **row.peers}.items(), key=lambda bar: bar[1]))
    yield _text(MARGIN, top + 12, f"{row.metric}: multiples of the floor, logarithmic", "head")
    room = WIDTH - LEFT - 80
    most = math.log(max(values.values()) * 2)
    for number, (name, value) in enumerate(values.items()):
        y = top + 24 + number * (BAR + 6)
        length = round(room * math.log(value * 2) / most)
        label = "httpx + SSE + orjson (floor)" if name == "floor" else name
        yield _text(LEFT - 8, y + 13, label, "", "end")
        colour = COLOURS.get(name, COLOURS["OpenAI SDK"])
        yield f'<rect x="{LEFT}" y="{y}" width="{length}" height="{BAR}" rx="2" fill="{colour}"/>'
        yield _text(LEFT + length + 6, y + 13, f"{value:.2f} ×" if value < 10 else f"{value:.0f} ×")


def _growth(curves: list[Curve], top: int) -> list[str]:
    """Plot cost against work as multiples of the smallest measurement, on logarithmic axes."""
    widest = max(curve.sizes[-1] / curve.sizes[0] for curve in curves)
    highest = max(widest, *(curve.costs[-1] / curve.costs[0] for curve in curves))
    left, bottom, side = 60, top + 30 + PLOT, 380

    def place(work: float, cost: float) -> tuple[float, float]:
        x = left + side * math.log(work) / math.log(widest)
        return round(x, 1), round(bottom - PLOT * math.log(max(cost, 1)) / math.log(highest), 1)

    parts = [_text(MARGIN, top + 12, "CPU time as work grows (dashed: linear)", "head")]
    (x1, y1), (x2, y2) = place(1, 1), place(widest, widest)
    parts.append(f'<path d="M{x1} {y1}V{top + 30}M{x1} {y1}H{left + side}" stroke="#999" fill="none"/>')
    parts.append(f'<path d="M{x1} {y1}L{x2} {y2}" stroke="#999" stroke-dasharray="4 4"/>')
    for number, curve in enumerate(curves):
        points = [
            place(size / curve.sizes[0], cost / curve.costs[0])
            for size, cost in zip(curve.sizes, curve.costs, strict=True)
        ]
        path = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{LINES[number]}" stroke-width="2"/>')
        y = top + 44 + number * 20
        parts.append(f'<path d="M470 {y - 4}h18" stroke="{LINES[number]}" stroke-width="2"/>')
        unit = "" if curve.unit == curve.name else curve.unit
        legend = f"{curve.name}: {curve.sizes[0]:,} to {curve.sizes[-1]:,} {unit}"
        parts.append(_text(494, y, legend))
    parts.append(_text(left, bottom + 18, f"work, 1 to {widest:.0f} times", "dim"))
    parts.append(_text(left - 6, top + 40, f"× {highest:.0f}", "dim", "end"))
    return parts


def _lives(lives: list[Curve], top: int) -> list[str]:
    """Plot the CPU time of a turn against the length of the conversation; the time is logarithmic."""
    most_turns = max(life.sizes[-1] for life in lives)
    costs = [cost for life in lives for cost in life.costs]
    least, span = min(costs) / 2, math.log(2 * max(costs) / min(costs) * 2)
    left, bottom, side = 60, top + 30 + PLOT, 380
    parts = [_text(MARGIN, top + 12, "CPU time of one turn as a conversation grows: ms, logarithmic", "head")]
    parts.append(f'<path d="M{left} {bottom}V{top + 30}M{left} {bottom}H{left + side}" stroke="#999"/>')
    for number, life in enumerate(lives):
        points = [
            (left + side * turns / most_turns, bottom - PLOT * math.log(cost / least) / span)
            for turns, cost in zip(life.sizes, life.costs, strict=True)
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{LINES[number]}" stroke-width="2"/>')
        x, y = points[-1]
        parts.append(_text(x + 6, y + 4, f"{life.name}: {1000 * life.costs[-1]:.1f} ms"))
    parts.append(_text(left, bottom + 18, f"tool turns, 0 to {most_turns}", "dim"))
    return parts


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'
