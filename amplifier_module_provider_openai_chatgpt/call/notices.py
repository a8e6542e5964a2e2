"""Short notices for the person at the screen, through the host's display system: each of them once.

Events reach only programs and logs. A host without a display system shows nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import weakref
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Literal

from ..quota.values import newly_near
from ..quota.words import plan_name, reset_phrase, span
from ..settings import PROVIDER

if TYPE_CHECKING:
    from ..quota.values import Quota, Window
    from .steps import Retrying

Level = Literal["info", "warning", "error"]
Windows = set[tuple[str, str, float | None]]

# How long a call waits for an asynchronous display, in seconds.
DISPLAY_LIMIT = 1.0

logger = logging.getLogger(__name__)


class _Shown:
    """What one display has shown. Sub-agents share the display of their session."""

    def __init__(self) -> None:
        # When each was shown last, monotonic.
        self.texts: dict[str, float] = {}
        self.windows: Windows = set()


# By the identity of the display, because a display need not be hashable.
_shown: dict[int, _Shown] = {}


class Notices:
    """The notices of one coordinator. Nothing here raises, whatever the host's display does."""

    def __init__(self, coordinator: Any, *, patience: float = DISPLAY_LIMIT) -> None:
        self._display: Any = getattr(coordinator, "display_system", None)
        self._patience = patience

    async def limits(self, quota: Quota) -> None:
        """Show each window of which more than 90 % is used; a used-up one is in the error of the call."""
        if self._display is None:
            return
        for window in newly_near(quota, self._memory.windows):
            if window.used_percent < 100 or not quota.is_used_up():
                await self._show(limit_notice(window, quota.plan, time.time()), "warning")

    async def waiting(self, step: Retrying) -> None:
        """Show that the next attempt follows after a wait."""
        if step.delay > 0:
            await self._show(wait_notice(step), "info")

    async def once(self, message: str, *, again_after: float = math.inf) -> None:
        """Show a warning, unless the same one was shown less than ``again_after`` seconds ago."""
        if self._display is None:
            return
        now, shown = time.monotonic(), self._memory.texts
        if message not in shown or now - shown[message] >= again_after:
            shown[message] = now
            await self._show(message, "warning")

    @property
    def _memory(self) -> _Shown:
        key = id(self._display)
        if key not in _shown:
            _shown[key] = _Shown()
            try:
                weakref.finalize(self._display, _shown.pop, key, None).atexit = False
            except TypeError:
                logger.debug("This display cannot be watched: what it has shown is kept.")
        return _shown[key]

    async def _show(self, message: str, level: Level) -> None:
        if self._display is None:
            return
        try:
            shown = self._display.show_message(_plain(message), level, source=PROVIDER)
            if isawaitable(shown):
                async with asyncio.timeout(self._patience):
                    await shown
        except Exception:
            logger.debug("The host's display did not show a notice", exc_info=True)


def limit_notice(window: Window, plan: str | None, now: float) -> str:
    """Say how much of a window is used and when it resets; ``now`` is in Unix seconds."""
    subject = f"the ChatGPT usage limit for {window.limit}" if window.limit else "the ChatGPT usage limit"
    holder = f" on the {plan_name(plan)} plan" if plan else ""
    resets = f": it resets {reset_phrase(window.resets_at, now)}" if window.resets_at else ""
    # Never 100 % before it is used up.
    percent = 100 if window.used_percent >= 100 else int(window.used_percent)
    return f"{percent} % of {subject} is used{holder} ({window.name} window){resets}."


def wait_notice(step: Retrying) -> str:
    """Name the problem and the wait; the error's own advice is left out, because the retry follows it."""
    problem, _, _ = str(step.error).partition(": ")
    attempt = f"{step.attempt} of {step.max_retries}"
    return f"{problem.rstrip('.')}. Retrying in {span(step.delay)} ({attempt})."


def _plain(message: str) -> str:
    """Return one printable line without brackets, which displays read as markup."""
    line = " ".join(message.translate({ord("["): "(", ord("]"): ")"}).split())
    return "".join(character for character in line if character.isprintable())
