"""Waiting for tasks to clean up after they were cancelled."""

from __future__ import annotations

import asyncio
from typing import Any


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Wait until tasks have ended, even if the caller is cancelled; CancelledError is raised afterwards.

    The tasks are never cancelled a second time: one may be returning its connection, and if httpcore is
    cancelled while it does that, the connection stays in its pool forever.
    """
    gathered = asyncio.gather(*tasks, return_exceptions=True)
    cancelled: asyncio.CancelledError | None = None
    while not gathered.done():
        try:
            await asyncio.shield(gathered)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
