"""The session's wish to stop: watched while a call runs, because nothing but a flag announces it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from amplifier_core.llm_errors import AbortError

from ..settings import PROVIDER
from ..tasks import ended

if TYPE_CHECKING:
    from collections.abc import Coroutine

Result = TypeVar("Result")

CANCEL_POLL = 0.1


class Cancellation:
    """The session's wish to stop: ``immediate`` breaks off, ``graceful`` starts nothing new."""

    def __init__(self, coordinator: Any) -> None:
        self._token = getattr(coordinator, "cancellation", None)

    @property
    def is_requested(self) -> bool:
        """True once a stop was requested, graceful or immediate."""
        return getattr(self._token, "is_cancelled", False) is True

    @property
    def is_graceful(self) -> bool:
        """True when the running call may finish, but nothing is to follow it."""
        return getattr(self._token, "is_graceful", False) is True

    @property
    def is_immediate(self) -> bool:
        """True when the running call is to be broken off."""
        return getattr(self._token, "is_immediate", False) is True

    async def guard(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await ``work``; break it off and raise AbortError once an immediate stop is requested."""
        if self.is_immediate:
            work.close()
            raise _aborted()
        task, watch = asyncio.create_task(work), asyncio.create_task(self._immediate_stop())
        try:
            await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _aborted()
            return task.result()
        finally:
            task.cancel()
            watch.cancel()
            await ended(task, watch)

    async def _immediate_stop(self) -> None:
        """Return once an immediate stop is requested."""
        while not self.is_immediate:  # noqa: ASYNC110
            await asyncio.sleep(CANCEL_POLL)

    async def pause(self, seconds: float) -> None:
        """Sleep, but wake up for a graceful stop; ``guard`` handles an immediate one."""
        until = time.monotonic() + seconds
        while not self.is_graceful and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110 - it is a flag
            await asyncio.sleep(min(left, CANCEL_POLL))


def _aborted() -> AbortError:
    return AbortError("The call was cancelled.", provider=PROVIDER)
