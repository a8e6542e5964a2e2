"""Reads the body of a response, and returns everything that has arrived in one piece.

httpx returns each HTTP chunk separately, although one network read often contains many. Together they
need far less parsing and far fewer events, and nothing is delayed.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from ..redaction import Sealed
from ..tasks import ended

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx

# Bytes that are buffered before reading pauses, so a slow listener slows the server down.
MAX_BUFFERED = 64 * 1024
# How long to wait for the end of a body that is being closed, in seconds.
CLOSE_GRACE = 0.01


class BodyReader:
    """Reads a body in its own task, which also closes the response. Belongs to one event loop."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._buffered: list[bytes] = []
        self._size = 0
        self._ready = asyncio.Event()  # set while there is data to return, and at the end
        self._has_room = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def read_available(self) -> bytes:
        """Return all buffered data; wait if there is none. ``b""`` at the end.

        Raises an error of the connection after all data before it was returned.
        """
        await self._ready.wait()
        if not self._buffered:
            with Sealed():
                await self._task
            return b""
        data = b"".join(self._buffered)
        self._buffered.clear()
        self._size = 0
        self._has_room.set()
        if not self._task.done():
            self._ready.clear()
        return data

    async def aclose(self) -> None:
        """Stop reading; discard buffered data and errors.

        A body that is about to end may end, so its connection can be reused.
        """
        try:
            if not self._task.done():
                await asyncio.wait({self._task}, timeout=CLOSE_GRACE)
        finally:
            if not self._response.is_closed:  # else its connection is being returned to the pool
                self._task.cancel()
            await ended(self._task)

    async def _read(self) -> None:
        chunks = cast("AsyncGenerator[bytes, None]", self._response.aiter_bytes())
        try:
            async with aclosing(self._response), aclosing(chunks):
                async for chunk in chunks:
                    self._buffered.append(chunk)
                    self._size += len(chunk)
                    self._ready.set()
                    # A decoder may return its last piece after the end of the response: no pause then.
                    if self._size >= MAX_BUFFERED and not self._response.is_closed:
                        self._has_room.clear()
                        await self._has_room.wait()
        finally:
            self._ready.set()
