"""How full each limit window was, as the command line saw it, and the forecast that follows from it.

A small private file next to the token file: times, percentages and reset times, nothing of a conversation.
``OPENAI_CHATGPT_USAGE_HISTORY=off`` keeps it from being read and written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import from_json, to_json

from .. import files
from ..models.cache import cache_file
from ..quota.numbers import moment, number
from ..quota.values import Window
from ..quota.words import window_name

if TYPE_CHECKING:
    from pathlib import Path

    from ..provider import ChatGPTProvider

SWITCH = "OPENAI_CHATGPT_USAGE_HISTORY"
_OFF = {"off", "false", "no", "0"}
_VERSION = 1
_LARGEST_FILE = 512 * 1024
MOST_WINDOWS = 20
MOST_SAMPLES = 200
_WEEK = 7 * 86400.0
# Two answers may report the same reset some seconds apart.
_SAME_RESET = 600
# The pace is that of the last seventh of a window: a day of the weekly one. Less than a quarter of that
# says too little.
_RECENT, _ENOUGH = 7, 28


class Sample(NamedTuple):
    """How much of a window was used at a moment; times are in Unix seconds."""

    at: float
    used_percent: float
    resets_at: float | None


class Record(NamedTuple):
    """The samples of one window, oldest first."""

    limit: str
    minutes: int | None
    samples: tuple[Sample, ...]


class History(NamedTuple):
    """The records of one account."""

    records: tuple[Record, ...] = ()

    def samples(self, window: Window) -> tuple[Sample, ...]:
        """Return the samples of a window."""
        same = (r.samples for r in self.records if (r.limit, r.minutes) == (window.limit, window.minutes))
        return next(same, ())

    def windows(self, at: float) -> tuple[Window, ...]:
        """Return the windows as they were at the last sample, if that is not older than ``at``."""
        last = [(record, record.samples[-1]) for record in self.records if record.samples]
        return tuple(
            Window(window_name(r.minutes) or "usage", s.used_percent, r.minutes, s.resets_at, r.limit)
            for r, s in last
            if s.at >= at
        )


def is_on() -> bool:
    """Return whether the history is kept."""
    return os.environ.get(SWITCH, "").strip().lower() not in _OFF


def history_file(provider: ChatGPTProvider) -> Path:
    """Return the path of the history: next to the tokens, named by a hash of the account id."""
    settings = provider.settings
    path = cache_file(settings.token_file_path, provider.account_id(), settings.base_url)
    return path.with_name(path.name.replace("-models-", "-usage-"))


def read(provider: ChatGPTProvider) -> History:
    """Return what is stored; an empty history if nothing is, if it is damaged or switched off."""
    if not is_on():
        return History()
    try:
        with history_file(provider).open("rb") as file:
            return _parse(from_json(file.read(_LARGEST_FILE), allow_inf_nan=False))
    except (OSError, ValueError):
        return History()


def record(provider: ChatGPTProvider, windows: Iterable[Window], now: float) -> None:
    """Add what an answer reported. A file that cannot be written does not fail a command."""
    found = list(windows)
    if not found or not is_on():
        return
    history = extended(read(provider), found, now)
    with suppress(OSError):
        files.replace(history_file(provider), to_json({"version": _VERSION, "records": history.records}))


def extended(history: History, windows: Sequence[Window], now: float) -> History:
    """Return a history with the newest windows first, without what is older than a window is long."""
    fresh = [
        Record(w.limit, w.minutes, _thinned(history.samples(w), Sample(now, w.used_percent, w.resets_at), w))
        for w in windows
    ]
    named = {(record.limit, record.minutes) for record in fresh}
    kept = [r for r in history.records if (r.limit, r.minutes) not in named and _is_recent(r, now)]
    return History(tuple([*fresh, *kept][:MOST_WINDOWS]))


def used_up_at(window: Window, samples: Iterable[Sample], now: float) -> float | None:
    """Return when a window is used up at the present pace; None if not before it resets, or if unknown."""
    length = _length(window)
    if not window.minutes or not window.resets_at or window.used_percent >= 100 or window.resets_at <= now:
        return None
    start = _start(window, samples, now, length)
    pace = (window.used_percent - start.used_percent) / (now - start.at) if start else 0.0
    if pace <= 0:
        return None
    moment = now + (100 - window.used_percent) / pace
    return moment if moment < window.resets_at else None


def read_windows(found: object) -> tuple[Window, ...]:
    """Read the windows of ``llm:response["rate_limits"]``."""
    entries = found.get("windows") if isinstance(found, Mapping) else None
    return tuple(
        Window(entry["name"], entry["used_percent"], entry["minutes"], _seconds(entry), entry["limit"] or "")
        for entry in entries or ()
    )


def _seconds(entry: Mapping[str, str | None]) -> float | None:
    resets_at = entry["resets_at"]
    return datetime.fromisoformat(resets_at).timestamp() if resets_at else None


def _start(window: Window, samples: Iterable[Sample], now: float, length: float) -> Sample | None:
    """Return the sample from which the pace is measured; a window begins empty."""
    resets_at = window.resets_at or now
    begin = Sample(resets_at - length, 0.0, resets_at)
    candidates = [begin, *(s for s in samples if _belongs(s, window) and s.at > begin.at)]
    known = [sample for sample in candidates if now - sample.at >= length / _ENOUGH]
    recent = (sample for sample in known if now - sample.at <= length / _RECENT)
    return next(recent, known[-1] if known else None)


def _belongs(sample: Sample, window: Window) -> bool:
    """Return whether a sample is of the same period: before a reset there was more, or another reset time."""
    if sample.used_percent > window.used_percent:
        return False
    return abs((sample.resets_at or 0.0) - (window.resets_at or 0.0)) <= _SAME_RESET


def _thinned(samples: Sequence[Sample], new: Sample, window: Window) -> tuple[Sample, ...]:
    """Add a sample; it replaces the last one if that is too close to the one before."""
    length = _length(window)
    kept = [sample for sample in samples if new.at - length <= sample.at <= new.at]
    if len(kept) > 1 and new.at - kept[-2].at < length / MOST_SAMPLES:
        kept.pop()
    return (*kept, new)[-MOST_SAMPLES:]


def _length(window: Window) -> float:
    return window.minutes * 60.0 if window.minutes else _WEEK


def _is_recent(record: Record, now: float) -> bool:
    length = record.minutes * 60.0 if record.minutes else _WEEK
    return bool(record.samples) and now - record.samples[-1].at <= length


def _parse(document: object) -> History:
    """Read a stored history. Raises ValueError if it is damaged or has another version."""
    if not isinstance(document, dict) or document.get("version") != _VERSION:
        raise ValueError("another version")
    try:
        return History(tuple(_parse_record(*entry) for entry in document["records"][:MOST_WINDOWS]))
    except (KeyError, TypeError) as error:
        raise ValueError("damaged") from error


def _parse_record(limit: object, minutes: object, samples: object) -> Record:
    if not isinstance(limit, str) or not isinstance(samples, list):
        raise ValueError("damaged")  # noqa: TRY004 - damaged, not a wrong argument
    read = [_parse_sample(*sample) for sample in samples[-MOST_SAMPLES:]]
    return Record(limit, minutes if isinstance(minutes, int) else None, tuple(read))


def _parse_sample(at: object, used: object, resets_at: object) -> Sample:
    when, percent = moment(at), number(used)
    if when is None or percent is None:
        raise ValueError("damaged")
    return Sample(when, percent, moment(resets_at))
