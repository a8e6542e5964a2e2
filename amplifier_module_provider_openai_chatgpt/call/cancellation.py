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
        task = asyncio.create_task(work)
        watch = _Watch(self, task)
        try:
            await asyncio.wait((task,))
            if watch.has_stopped:
                raise _aborted()
            return task.result()
        finally:
            watch.end()
            if not watch.has_stopped:  # a task is cancelled once, see ``tasks``
                task.cancel()
            await ended(task)

    async def pause(self, seconds: float) -> None:
        """Sleep, at most until a graceful stop; ``guard`` handles an immediate one."""
        deadline = time.monotonic() + seconds
        while not self.is_graceful and (left := deadline - time.monotonic()) > 0:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(min(left, CANCEL_POLL))


class _Watch:
    """Cancels a task once an immediate stop is requested; a timer costs less than a task that sleeps."""

    def __init__(self, cancellation: Cancellation, task: asyncio.Task[Any]) -> None:
        self.has_stopped = False
        self._cancellation, self._task = cancellation, task
        self._loop = task.get_loop()
        self._timer = self._loop.call_later(CANCEL_POLL, self._look)

    def _look(self) -> None:
        if self._cancellation.is_immediate:
            self.has_stopped = self._task.cancel()
        else:
            self._timer = self._loop.call_later(CANCEL_POLL, self._look)

    def end(self) -> None:
        """Look no more."""
        self._timer.cancel()


def _aborted() -> AbortError:
    return AbortError("The call was cancelled.", provider=PROVIDER)
