"""Stop requests of the session, polled while a call runs: the kernel only sets a flag."""

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
    """Stop requests of a session: ``immediate`` aborts the call, ``graceful`` starts nothing new."""

    def __init__(self, coordinator: object) -> None:
        self._token = getattr(coordinator, "cancellation", None)

    @property
    def is_requested(self) -> bool:
        """True after any stop request, graceful or immediate."""
        return getattr(self._token, "is_cancelled", False) is True

    @property
    def is_graceful(self) -> bool:
        """True if the running attempt may finish but no other may follow."""
        return getattr(self._token, "is_graceful", False) is True

    @property
    def is_immediate(self) -> bool:
        """True if the running call must be aborted."""
        return getattr(self._token, "is_immediate", False) is True

    async def guard(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Await ``work``; cancel it and raise AbortError once an immediate stop is requested."""
        if self.is_immediate:
            work.close()
            raise _aborted()
        task, stop = asyncio.create_task(work), asyncio.create_task(self._immediate_stop())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _aborted()
            return task.result()
        finally:
            task.cancel()
            stop.cancel()
            await ended(task, stop)

    async def _immediate_stop(self) -> None:
        """Return as soon as an immediate stop is requested."""
        while not self.is_immediate:  # noqa: ASYNC110
            await asyncio.sleep(CANCEL_POLL)

    async def pause(self, seconds: float) -> None:
        """Sleep, at most until a graceful stop; ``guard`` handles an immediate one."""
        deadline = time.monotonic() + seconds
        while not self.is_graceful and (left := deadline - time.monotonic()) > 0:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(min(left, CANCEL_POLL))


def _aborted() -> AbortError:
    return AbortError("The call was cancelled.", provider=PROVIDER)
