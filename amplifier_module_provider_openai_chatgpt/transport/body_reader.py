"""What has arrived of a response's body, in one piece.

httpx hands out each chunk of HTTP for itself, although one read of the network often brings many.
Taken together they cost a fraction in parsing and in events, and nothing comes later for it.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from ..tasks import ended

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx

# Bytes that may wait to be taken before reading pauses; then the server feels a slow listener.
MOST_WAITING = 64 * 1024
# How long the end of a body is waited for when nobody wants it any more, in seconds.
MOMENT = 0.01


class BodyReader:
    """Reads a body, and closes its response, in a task of its own. Belongs to one event loop."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._arrived: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()  # set while there is something to take, or nothing more will come
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def read_available(self) -> bytes:
        """Return all that is there, waiting only where that is nothing; ``b""`` at the end.

        Raises what the reading raised, once everything that came before was taken.
        """
        await self._news.wait()
        if not self._arrived:
            await self._reading
            return b""
        taken = b"".join(self._arrived)
        self._arrived.clear()
        self._size = 0
        self._room.set()
        if not self._reading.done():
            self._news.clear()
        return taken

    async def aclose(self) -> None:
        """Stop reading; what was not taken is lost, and an error with it.

        A body that has just ended is let finish, so that its connection serves the next call.
        """
        try:
            await asyncio.wait({self._reading}, timeout=MOMENT)
        finally:
            if not self._response.is_closed:  # else its connection is being put back at this moment
                self._reading.cancel()
            await ended(self._reading)

    async def _read(self) -> None:
        chunks = cast("AsyncGenerator[bytes, None]", self._response.aiter_bytes())
        try:
            async with aclosing(self._response), aclosing(chunks):
                async for chunk in chunks:
                    self._arrived.append(chunk)
                    self._size += len(chunk)
                    self._news.set()
                    # A decoder may hand out its last piece after the end, when there is nothing to hold back.
                    if self._size >= MOST_WAITING and not self._response.is_closed:
                        self._room.clear()
                        await self._room.wait()
        finally:
            self._news.set()
