"""Reads numbers and times that a server sends, also as text; what is not one is None."""

from __future__ import annotations

import math

_LATEST = 253_370_764_800  # the year 9999


def moment(value: object) -> float | None:
    """Read Unix seconds, as a number or text; None for anything else."""
    seconds = number(value)
    return seconds if seconds is not None and 0 < seconds < _LATEST else None


def number(value: object) -> float | None:
    """Read a finite number, also from text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = float(value)
    except (ValueError, OverflowError):
        return None
    return parsed if math.isfinite(parsed) else None


def after(seconds: object, now: float) -> float | None:
    """Return the time that many seconds after ``now``; None for an implausible delay."""
    delay = number(seconds)
    return moment(now + delay) if delay is not None and delay >= 0 else None
