"""Limits in words: names of plans and windows, durations and times."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

_PLANS = {
    "free": "Free",
    "free_workspace": "Free",
    "guest": "Guest",
    "go": "Go",
    "plus": "Plus",
    # Codex's labels for the three sizes of Pro.
    "prolite": "Pro",
    "pro": "Pro (More)",
    "promax": "Pro (Max)",
    "team": "Team",
    "business": "Business",
    "self_serve_business_prolite": "Business Pro Lite",
    "self_serve_business_usage_based": "Business",
    "ent26": "Enterprise",
    "enterprise": "Enterprise",
    "enterprise_cbp_automation": "Enterprise (Automation)",
    "enterprise_cbp_usage_based": "Enterprise",
    "hc": "Enterprise",
    "edu": "Edu",
    "education": "Edu",
    "edu_plus": "Edu Plus",
    "edu_pro": "Edu Pro",
}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NAMED_SPANS = {(1, "day"): "daily", (7, "day"): "weekly"}


def plan_name(plan: str | None) -> str:
    """Return the display name of a plan; an unknown plan is returned unchanged."""
    return _PLANS.get((plan or "").strip().lower(), (plan or "").strip())


def window_name(minutes: int | None) -> str:
    """Name a window by its length, ± 1 %: 5-hour, daily, weekly, 30-day."""
    if not minutes or minutes < 0:
        return ""
    for length, unit in ((1440, "day"), (60, "hour")):
        count = round(minutes / length)
        if count and abs(minutes - count * length) <= minutes / 100:
            return _NAMED_SPANS.get((count, unit), f"{count}-{unit}")
    return f"{minutes}-minute"


def span(seconds: float) -> str:
    """Format a duration in its two largest units: 45 s, 13 min, 2 h 13 min, 3 days 4 h."""
    whole = max(0, math.ceil(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 1440:
        hours, rest = divmod(minutes, 60)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    days, rest = divmod(minutes // 60, 24)
    return f"{days} day{'s' if days > 1 else ''}" + (f" {rest} h" if rest else "")


def reset_phrase(resets_at: float, now: float, tz: tzinfo | None = None) -> str:
    """Format a time and how long it is until then, in ``tz`` or local time; with a date if not today."""
    if resets_at <= now:
        return "any moment now"
    local = datetime.fromtimestamp(resets_at, UTC).astimezone(tz)
    today = datetime.fromtimestamp(now, UTC).astimezone(tz).date()
    clock = f"at {local:%H:%M}"
    if local.date() != today:
        year = f" {local.year}" if local.year != today.year else ""
        clock = f"on {local.day} {_MONTHS[local.month - 1]}{year} {clock}"
    return f"{clock}, in {span(resets_at - now)}"
