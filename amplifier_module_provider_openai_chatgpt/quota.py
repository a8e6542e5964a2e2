"""Limit windows and credits, read from response headers and from the usage endpoint. No I/O.

A window is named by its length, never by its slot: on some plans the first slot is the weekly one
(docs/backend.md, Limits).
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from .drift import note_header, note_limits, note_reached
from .redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import tzinfo

NEAR_THE_LIMIT = 90.0

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
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_FAMILY = r"x-([a-z0-9-]{1,60}?)-(?:primary|secondary)-used-percent"
_LIMIT_HEADER = (
    r"x-[a-z0-9-]{1,60}-"
    r"(?:primary|secondary|credits|promo|limit-name|active-limit|plan-type|rate-limit-reached)"
)
# Two answers may report the same reset some seconds apart.
_SAME_RESET = 600
_LARGEST_COUNT = 1_000_000_000
_LATEST = 253_370_764_800  # the year 9999


class Window(NamedTuple):
    """One limit window. ``limit`` names a separate limit (of a model); empty for the general limit.

    ``resets_at`` is in Unix seconds, like ``now`` in this whole file.
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


def read_headers(headers: Mapping[str, object], general: str, now: float) -> Quota | None:
    """Read the limit headers of any answer; None if there are none. Names may be in any case.

    ``general`` is the prefix of the plan's own limits: their headers begin with ``x-{general}-``.
    """
    found = limit_headers(headers)
    if not found or not general:
        return None
    families = dict.fromkeys([general, *(m[1] for name in found if (m := re.match(_FAMILY, name)))])
    active = _text(found.get(f"x-{general}-active-limit"))
    named = (active or general).lower().replace("_", "-")
    windows = {family: tuple(_header_windows(found, family, general, named, now)) for family in families}
    first = named if windows.get(named) else general
    ordered = sorted(windows, key=lambda family: family != first)
    return Quota(
        plan=_text(found.get(f"x-{general}-plan-type")),
        windows=tuple(window for family in ordered for window in windows[family]),
        credits=_credits(
            *(found.get(f"x-{general}-credits-{key}") for key in ("has-credits", "unlimited", "balance"))
        ),
        active_limit=active,
        limit_name=_text(found.get(f"x-{first}-limit-name")),
        reached_type=_reached(found.get(f"x-{general}-rate-limit-reached-type")),
    )


def limit_headers(headers: Mapping[str, object]) -> dict[str, str]:
    """Return only the headers about limits, with names in lower case and bounded values."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        key = str(name).lower()
        if not key.startswith("x-"):
            continue
        if re.match(_LIMIT_HEADER, key):
            found[key] = _cleaned(_first(value))
        else:
            note_header(key)
    return found


def _cleaned(text: str) -> str:
    """Remove secrets and bound the length; most values are short numbers, which are neither."""
    return text if len(text) < 20 and text.isdecimal() else without_secrets(text)[:200]


def read_usage(payload: object, now: float) -> Quota:
    """Read an answer of the usage endpoint; ignore fields that are missing or have the wrong type."""
    data = _object(payload)
    note_limits(data)
    named = [("", data.get("rate_limit")), ("code review", data.get("code_review_rate_limit"))]
    for entry in _list(data.get("additional_rate_limits")):
        extra = _object(entry)
        name = _text(extra.get("limit_name")) or _text(extra.get("metered_feature")) or "additional"
        named.append((name, extra.get("rate_limit")))
    credit = _object(data.get("credits"))
    reached = data.get("rate_limit_reached_type")
    return Quota(
        plan=_text(data.get("plan_type")),
        windows=tuple(
            window for name, limit in named for window in _usage_windows(_object(limit), name, now)
        ),
        credits=_credits(credit.get("has_credits"), credit.get("unlimited"), credit.get("balance")),
        reached_type=_reached(reached.get("type") if isinstance(reached, dict) else reached),
        spend_cap_reached=_flag(_object(data.get("spend_control")).get("reached")),
        reset_credits=_count(_object(data.get("rate_limit_reset_credits")).get("available_count")),
    )


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


def _header_windows(
    headers: Mapping[str, str], family: str, general: str, active: str, now: float
) -> Iterable[Window]:
    limit = _text(headers.get(f"x-{family}-limit-name")) or ("" if family == active else _text(family) or "")
    for slot in ("primary", "secondary"):
        start = f"x-{family}-{slot}-"
        window = _window(
            headers.get(start + "used-percent"),
            minutes=number(headers.get(start + "window-minutes")),
            reset_at=headers.get(start + "reset-at"),
            reset_after=headers.get(start + "reset-after-seconds"),
            limit="" if limit.lower() == general else limit,
            now=now,
        )
        if window:
            yield window


def _usage_windows(limit: Mapping[str, object], name: str, now: float) -> Iterable[Window]:
    for slot in ("primary_window", "secondary_window"):
        data = _object(limit.get(slot))
        seconds = number(data.get("limit_window_seconds"))
        window = _window(
            data.get("used_percent"),
            minutes=None if seconds is None else math.ceil(seconds / 60),
            reset_at=data.get("reset_at"),
            reset_after=data.get("reset_after_seconds"),
            limit=name,
            now=now,
        )
        if window:
            yield window


def _window(
    used: object, *, minutes: float | None, reset_at: object, reset_after: object, limit: str, now: float
) -> Window | None:
    percent = number(used)
    length = int(minutes) if minutes and 0 < minutes < 10_000_000 else None
    resets_at = moment(reset_at) or after(reset_after, now)
    if percent is None or (percent == 0 and not length and not resets_at):
        return None
    return Window(window_name(length) or "usage", percent, length, resets_at, limit)


def after(seconds: object, now: float) -> float | None:
    """Return the time that many seconds after ``now``; None for an implausible delay."""
    delay = number(seconds)
    return moment(now + delay) if delay is not None and delay >= 0 else None


def _credits(has_credits: object, unlimited: object, balance: object) -> Credits | None:
    has, without_end = _flag(has_credits), _flag(unlimited)
    if has is None or without_end is None:
        return None
    return Credits(has, without_end, _text(balance))


def _reached(value: object) -> str | None:
    reached = _text(value)
    note_reached(reached)
    return reached


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else _TRUTH.get((_text(value) or "").lower())


def _count(value: object) -> int | None:
    """Read a whole number of at least 0, also from text."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < _LARGEST_COUNT and found == int(found) else None


def _first(value: object) -> str:
    """Return a header's value as text; in events it may be a string, list, number or boolean."""
    if isinstance(value, list | tuple):
        value = value[0] if value else ""
    return (
        value if isinstance(value, str) else str(value) if number(value) is not None else str(value is True)
    )


def _text(value: object) -> str | None:
    if not isinstance(value, str) and number(value) is None:
        return None
    text = _cleaned(str(value))
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.strip() or None


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
