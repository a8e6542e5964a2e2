"""Waiting for tasks to clean up after they were cancelled."""

from __future__ import annotations

import asyncio
from typing import Any


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Wait until tasks have ended, even if the caller is cancelled; CancelledError is raised afterwards.

    The tasks are never cancelled a second time: one may be returning its connection, and if httpcore is
    cancelled while it does that, the connection stays in its pool forever.
    """
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in tasks:
        if not task.cancelled():
            task.exception()  # retrieved: its owner no longer needs it
    if cancelled is not None:
        raise cancelled
