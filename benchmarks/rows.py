"""The rows of the result: what was measured, in which unit, and whether the goal is met."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """``value`` is a multiple of ``yardstick`` if ``unit`` is ×, else in ``unit``.

    ``peers`` are in the same unit. ``goal`` is the maximum, or the minimum if ``at_least``; None if the
    row is only for information.
    """

    metric: str
    value: float
    yardstick: str = ""
    unit: str = "×"
    peers: Mapping[str, float] = field(default_factory=dict)
    goal: float | None = None
    at_least: bool = False
    absolute: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def cells(self, others: Iterable[str]) -> tuple[str, ...]:
        """Return the row as texts, with a column for each of the ``others``."""
        peers = [self._shown(self.peers.get(name)) for name in others]
        measure = f"× {self.yardstick}" if self.unit == "×" else f"{self.unit} {self.yardstick}".strip()
        sign = "≥" if self.at_least else "≤"
        goal = "" if self.goal is None else f"{sign} {self._shown(self.goal)}"
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return (self.metric, self._shown(self.value), *peers, measure, goal, met)

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe form; ``absolute`` holds seconds of CPU time, which mean little on other machines."""
        shown = {"metric": self.metric, "value": self.value, "unit": self.unit, "peers": dict(self.peers)}
        judged = {"yardstick": self.yardstick, "goal": self.goal, "at_least": self.at_least, "met": self.met}
        return {**shown, **judged, "absolute": dict(self.absolute)}

    def _shown(self, value: float | None) -> str:
        if value is None:
            return ""
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
        return f"{value:.{digits}f}".removesuffix(".00").removesuffix(".0")


@dataclass(frozen=True)
class Curve:
    """How cost grows with work: ``costs`` are seconds of CPU time at ``sizes``."""

    name: str
    unit: str
    sizes: tuple[int, ...]
    costs: tuple[float, ...]

    @property
    def factor(self) -> float:
        """Growth of cost divided by growth of work in the last step: 1 is linear, less is better."""
        return (self.costs[-1] / self.costs[-2]) / (self.sizes[-1] / self.sizes[-2])

    def row(self, goal: float) -> Row:
        """Return the last step of the curve as a row."""
        step = f"{self.sizes[-2]:,} → {self.sizes[-1]:,} {self.unit}"
        metric = f"CPU growth, {step}" if self.unit == self.name else f"CPU growth, {self.name}: {step}"
        return Row(metric, self.factor, "linear growth", goal=goal, absolute=self.points())

    def points(self) -> dict[str, float]:
        return {f"{size}": cost for size, cost in zip(self.sizes, self.costs, strict=True)}


@dataclass
class Report:
    """The results of one run; ``lives`` are conversations, one of each client."""

    rows: list[Row] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    lives: list[Curve] = field(default_factory=list)


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table with aligned columns."""
    others = list(dict.fromkeys(name for row in rows for name in row.peers))
    headings = ("metric", "ours", *others, "measured in", "goal", "met")
    lines = [headings, *(row.cells(others) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    )
