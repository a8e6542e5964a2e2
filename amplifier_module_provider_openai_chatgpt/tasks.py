"""Ending tasks: cancelled once, and then left alone until they have cleaned up."""

from __future__ import annotations

import asyncio
from typing import Any


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Wait for tasks that are about to end, also while cancelled oneself; that is raised afterwards.

    A task is not to be cancelled a second time: it may be just giving its connection back, and httpcore,
    cancelled there, keeps the connection in its pool for ever.
    """
    all_of_them = asyncio.gather(*tasks, return_exceptions=True)
    cancelled: asyncio.CancelledError | None = None
    while not all_of_them.done():
        try:
            await asyncio.shield(all_of_them)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
