"""Signals that end a command: it cleans up its terminal first, and then ends as the signal asks."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")

# Ctrl-C needs no handler: asyncio cancels the work and Python raises KeyboardInterrupt.
_NUMBERS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


async def tidy(work: Coroutine[None, None, Result]) -> Result:
    """Run the work; a signal that would end the process cancels it first, so its clean-up runs.

    A signal that the process ignores, as with `nohup`, stays ignored.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        task.cancel()

    handled = [number for number in _NUMBERS if signal.getsignal(number) is signal.SIG_DFL]
    try:
        for number in handled:
            loop.add_signal_handler(number, stop, number)
    except NotImplementedError:  # Windows
        return await task
    try:
        return await task
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
        if received:
            os.kill(os.getpid(), received[0])
