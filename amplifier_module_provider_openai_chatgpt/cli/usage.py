"""The command ``usage``: what it fetches, its screen, its one line, its forecast, and the watch."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import AuthenticationError, LLMError

from ..quota.values import NEAR_THE_LIMIT, Quota
from ..quota.words import plan_name, reset_phrase
from . import usage_history
from .console import error_text, printable
from .usage_history import History, used_up_at

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import tzinfo

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..provider import ChatGPTProvider
    from ..quota.values import Window

# Columns of a terminal, and of a bar.
_NARROW, _WIDE, _WIDEST = 56, 80, 100
_BAR, _SHORT_BAR, _GRAPH = 18, 12, 16
_LEVELS = "▁▂▃▄▅▆▇█"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
# A status bar may ask every second; ChatGPT is asked once in so many seconds.
FRESH = 60.0
_SHORT_NAMES = {"daily": "day", "weekly": "week"}


async def fetch_quota(provider: ChatGPTProvider) -> Quota:
    """Fetch how much of the plan's limits is used, and note it in the history. Raises kernel errors."""
    try:
        quota = await provider.usage()
    finally:
        await provider.close()
    usage_history.record(provider, quota.windows, time.time())
    return quota


async def short_quota(provider: ChatGPTProvider) -> Quota:
    """Return the windows for one line: those of the last minute if there are any, else fetched ones."""
    known = usage_history.read(provider).windows(time.time() - FRESH)
    return Quota(windows=known) if known else await fetch_quota(provider)


async def watch(
    provider: ChatGPTProvider,
    show: Callable[[Quota], object],
    report: Callable[[str], object],
    seconds: float,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Fetch and show the quota again and again; ``report`` gets the sentence of a transient failure.

    Raises AuthenticationError when you need to sign in.
    """
    while True:
        try:
            show(await fetch_quota(provider))
        except AuthenticationError:
            raise
        except LLMError as error:
            report(error_text(error))
        await sleep(seconds)


def usage_json(quota: Quota, history: History, now: float) -> dict[str, Any]:
    """Return what the usage endpoint reports, and the forecast for each window (ISO 8601, UTC)."""
    found = quota.usage()
    for entry, window in zip(found["windows"], quota.windows, strict=True):
        moment = used_up_at(window, history.samples(window), now)
        entry["used_up_at"] = datetime.fromtimestamp(moment, UTC).isoformat() if moment else None
    return found


def short_line(quota: Quota, now: float, tz: tzinfo | None = None) -> str:
    """Return one line for prompts and status bars: ``5h 12% week 93% until Thu 14:00``."""
    return "  ".join(_short_window(window, now, tz) for window in quota.windows) or "no limits"


def _short_window(window: Window, now: float, tz: tzinfo | None) -> str:
    name = _SHORT_NAMES.get(window.name, window.name.replace("-hour", "h").replace("-day", "d"))
    used = f"{' '.join(filter(None, (printable(window.limit), name)))} {_share(window):.0f}%"
    is_near = window.used_percent >= NEAR_THE_LIMIT and window.resets_at
    return f"{used} until {_weekday(window.resets_at or 0.0, now, tz)}" if is_near else used


def _weekday(moment: float, now: float, tz: tzinfo | None) -> str:
    """Format a time of the coming days: 14:00, Thu 14:00, 14 Dec 14:00."""
    local = datetime.fromtimestamp(moment, UTC).astimezone(tz)
    if moment - now < 86400 and local.date() == datetime.fromtimestamp(now, UTC).astimezone(tz).date():
        return f"{local:%H:%M}"
    if moment - now < 6 * 86400:
        return f"{_DAYS[local.weekday()]} {local:%H:%M}"
    return reset_phrase(moment, now, tz).partition(",")[0].removeprefix("on ").replace(" at ", " ")


def forecasts(quota: Quota, history: History, now: float, tz: tzinfo | None = None) -> list[str]:
    """Return a sentence for each window that is used up before it resets if you go on like this."""
    moments = ((w, used_up_at(w, history.samples(w), now)) for w in quota.windows)
    return [
        f"At this pace the {' '.join(filter(None, (w.limit, w.name)))} window is used up "
        f"{_at(_weekday(moment, now, tz))}."
        for w, moment in moments
        if moment
    ]


def _at(when: str) -> str:
    return f"on {when}" if " " in when else f"at {when}"


def show_usage(quota: Quota, history: History, page: str, out: Console) -> None:
    """Print a bar and the reset time for each window, forecasts, credits, spend cap, saved resets, a page."""
    now = time.time()
    out.print(f"{plan_name(quota.plan)} plan" if quota.plan else "Unknown plan", markup=False)
    if quota.windows:
        _print_windows(quota, history, now, out)
    else:
        out.print("ChatGPT reports no limits.")
    for sentence in forecasts(quota, history, now):
        out.print(sentence, style="yellow", markup=False)
    if quota.credits and (quota.credits.has_credits or quota.credits.unlimited):
        left = "unlimited" if quota.credits.unlimited else quota.credits.balance or "some"
        out.print(f"Credits: {left}", markup=False)
    if quota.spend_cap_reached:
        out.print("Spend cap reached: requests are refused until it resets or is raised.", style="red")
    if quota.reset_credits:
        out.print(f"Saved limit resets: {quota.reset_credits} (never used automatically)")
    out.print(page, style="dim", soft_wrap=True)


def _print_windows(quota: Quota, history: History, now: float, out: Console) -> None:
    """Print a row for each window; in a narrow terminal, the reset time is on a line of its own."""
    from rich.padding import Padding
    from rich.text import Text

    if out.width >= _NARROW:
        out.print(_windows_table(quota, history, now, out.width))
        return
    for window in quota.windows:
        *row, resets = _window_row(window, now, narrow=True)
        out.print(Text("  ").join(row))
        out.print(Padding(Text(resets.plain.replace("\n", " ")), (0, 0, 0, 2)))


def _windows_table(quota: Quota, history: History, now: float, width: int) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for window in quota.windows:
        row = _window_row(window, now, narrow=width < _WIDE)
        graph = _graph(window, history, now) if width >= _WIDEST else ""
        table.add_row(*row, graph) if graph else table.add_row(*row)
    return table


def _window_row(window: Window, now: float, *, narrow: bool) -> tuple[Text, Text, Text, Text]:
    from rich.text import Text

    length = _SHORT_BAR if narrow else _BAR
    share = _share(window)
    filled = round(share / 100 * length)
    colour = "red" if share >= 90 else "yellow" if share >= 70 else "green"
    resets = f"resets {reset_phrase(window.resets_at, now)}" if window.resets_at else ""
    return (
        Text(" ".join(filter(None, (window.limit, window.name)))),
        Text.assemble(("█" * filled, colour), ("░" * (length - filled), "dim"), no_wrap=True),
        Text(f"{share:3.0f} % used", no_wrap=True),
        Text(resets.replace(", in ", ",\nin ") if narrow else resets),
    )


def _share(window: Window) -> float:
    return min(100.0, max(0.0, window.used_percent))


def _graph(window: Window, history: History, now: float) -> str:
    """Draw how a window filled up since the first sample, one character for an equal part of the time."""
    samples = [s for s in history.samples(window) if s.used_percent <= window.used_percent]
    if len(samples) < 3:
        return ""
    begin = samples[0].at
    step = max(1.0, (now - begin) / (_GRAPH - 1))
    values = [
        max((s.used_percent for s in samples if s.at <= begin + step * column), default=0.0)
        for column in range(_GRAPH)
    ]
    return "".join(_LEVELS[min(7, max(0, int(value / 100 * 8)))] for value in values)
