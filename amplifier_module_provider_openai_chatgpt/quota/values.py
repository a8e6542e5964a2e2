"""Limit windows and credits, and which windows are nearly used up. No I/O.

Times are in Unix seconds, in this whole package.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

NEAR_THE_LIMIT = 90.0

# Two answers may report the same reset some seconds apart.
_SAME_RESET = 600


class Window(NamedTuple):
    """One limit window. ``limit`` names a separate limit (of a model); empty for the general limit.

    ``resets_at`` is in Unix seconds.
    """

    name: str
    used_percent: float
    minutes: int | None
    resets_at: float | None
    limit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object; the reset time is ISO 8601 in UTC."""
        return {
            "name": self.name,
            "limit": self.limit or None,
            "used_percent": self.used_percent,
            "minutes": self.minutes,
            "resets_at": _iso(self.resets_at),
        }


class Credits(NamedTuple):
    """Credits bought in addition to the plan. ``balance`` is the server's text."""

    has_credits: bool
    unlimited: bool
    balance: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"has_credits": self.has_credits, "unlimited": self.unlimited, "balance": self.balance}


class Quota(NamedTuple):
    """The limits reported in one answer. The windows of the active limit come first.

    Only the usage endpoint reports ``spend_cap_reached`` and ``reset_credits``, the number of saved
    credits that reset a window early; None: not reported.
    """

    plan: str | None = None
    windows: tuple[Window, ...] = ()
    credits: Credits | None = None
    active_limit: str | None = None
    limit_name: str | None = None
    reached_type: str | None = None
    spend_cap_reached: bool | None = None
    reset_credits: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what any answer reports as a JSON object, for ``llm:response["rate_limits"]``."""
        return {
            "plan": self.plan,
            "active_limit": self.active_limit,
            "limit_name": self.limit_name,
            "windows": [window.to_dict() for window in self.windows],
            "credits": self.credits.to_dict() if self.credits else None,
            "reached_type": self.reached_type,
        }

    def usage(self) -> dict[str, Any]:
        """Return what the usage endpoint reports as a JSON object, for ``usage --json``."""
        own = {"spend_cap_reached": self.spend_cap_reached, "reset_credits": self.reset_credits}
        return self.to_dict() | own

    def exhausted(self) -> Window | None:
        """Return the used-up window of the active limit that resets last, or None."""
        active = self.windows[0].limit if self.windows else ""
        used_up = [window for window in self.windows if window.used_percent >= 100 and window.limit == active]
        return max(used_up, key=lambda window: window.resets_at or 0.0, default=None)

    def is_used_up(self) -> bool:
        """True if a limit is reported as reached, or a window is used up and there are no credits."""
        continues = self.credits is not None and (self.credits.has_credits or self.credits.unlimited)
        return bool(self.reached_type) or (self.exhausted() is not None and not continues)


def throttles(quota: Quota, already: set[tuple[str, str, float | None]]) -> list[dict[str, Any]]:
    """Return a ``provider:throttle`` payload for each window that `newly_near` returns."""
    return [_throttle(window) for window in newly_near(quota, already)]


def newly_near(quota: Quota, already: set[tuple[str, str, float | None]]) -> list[Window]:
    """Return each window that is nearly used up, once.

    ``already`` contains those returned before, by name and reset time; they are added to it.
    """
    news = []
    for window in quota.windows:
        if window.used_percent >= NEAR_THE_LIMIT and not _is_known(window, already):
            already.add((window.limit, window.name, window.resets_at))
            news.append(window)
    return news


def _throttle(window: Window) -> dict[str, Any]:
    remaining = max(0.0, 100.0 - window.used_percent)
    return {
        "reason": "usage_limit_near" if remaining else "usage_limit_reached",
        "dimension": f"{window.limit} {window.name}".strip(),
        "remaining": remaining,
        "limit": 100.0,
        "ratio": remaining / 100.0,
        "reset_timestamp": _iso(window.resets_at),
        "delay": 0.0,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _is_known(window: Window, already: Iterable[tuple[str, str, float | None]]) -> bool:
    return any(
        (limit, name) == (window.limit, window.name) and _same_reset(reset, window.resets_at)
        for limit, name, reset in already
    )


def _same_reset(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _SAME_RESET
