"""Limits read from the headers of any answer, and from the usage endpoint. No I/O.

A window is named by its length, never by its slot: on some plans the first slot is the weekly one
(docs/backend.md, Limits).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from ..drift import note_header, note_limits, note_reached
from ..redaction import without_secrets
from .numbers import after, moment, number
from .values import Credits, Quota, Window
from .words import window_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_FAMILY = r"x-([a-z0-9-]{1,60}?)-(?:primary|secondary)-used-percent"
_LIMIT_HEADER = (
    r"x-[a-z0-9-]{1,60}-"
    r"(?:primary|secondary|credits|promo|limit-name|active-limit|plan-type|rate-limit-reached)"
)
_LARGEST_COUNT = 1_000_000_000


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
