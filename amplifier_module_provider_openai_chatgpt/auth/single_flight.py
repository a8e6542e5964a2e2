"""Blocking work that many ask for at the same time and that is done once, even if some of them leave."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    Key = TypeVar("Key", bound=Hashable)
else:
    Key = TypeVar("Key")
Given = TypeVar("Given")
Result = TypeVar("Result")


def started(work: Callable[[], Result], *, name: str, daemon: bool) -> Future[Result]:
    """Start work in a thread of that name; a ``daemon`` is not waited for when the interpreter exits."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it belongs to those who wait
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=daemon).start()
    return future


class InThread(Generic[Given, Result]):
    """Runs work in a thread that the interpreter waits for before it exits."""

    def __init__(self, work: Callable[[Given], Result], *, name: str = "token-renewal") -> None:
        self._work, self._name = work, name

    def __call__(self, given: Given) -> Result:
        """Do the work, and wait for its result."""
        return started(lambda: self._work(given), name=self._name, daemon=False).result()


async def in_thread(work: Callable[[], Result], *, name: str = "sign-in") -> Result:
    """Wait for blocking work in a thread that neither Ctrl-C nor the end of the program waits for."""
    return await asyncio.wrap_future(started(work, name=name, daemon=True))


class SingleFlight(Generic[Key, Result]):
    """Runs ``work(key)`` in a thread, once for all who ask for that key until it is done.

    Serves many tasks, event loops and threads at a time. Neither a cancelled task nor a closing event
    loop interrupts the work. The interpreter does not wait for it: what must end runs elsewhere.
    """

    def __init__(self, work: Callable[[Key], Result], *, name: str) -> None:
        """``name`` is the thread's."""
        self._work = work
        self._name = name
        # Under the mutex.
        self._running: dict[Key, Future[Result]] = {}
        self._mutex = threading.Lock()
        self._process = os.getpid()

    async def result(self, key: Key, patience: float | None = None) -> Result:
        """Return what the work returns, or raise what it raises.

        Raises TimeoutError after ``patience`` seconds; the work goes on.
        """
        async with asyncio.timeout(patience):
            return await asyncio.wrap_future(self._joined(key))

    def _joined(self, key: Key) -> Future[Result]:
        if self._process != os.getpid():
            # A fork took the state along, but not the threads that would end it.
            self._running, self._mutex, self._process = {}, threading.Lock(), os.getpid()
        with self._mutex:
            future = self._running.get(key)
            if future is None:
                future = Future()
                future.set_running_or_notify_cancel()
                threading.Thread(target=self._run, args=(key, future), name=self._name, daemon=True).start()
                self._running[key] = future
        return future

    def _run(self, key: Key, future: Future[Result]) -> None:
        try:
            result = self._work(key)
        except BaseException as error:  # noqa: BLE001 - it belongs to those who wait
            self._land(key)
            future.set_exception(error)
        else:
            self._land(key)
            future.set_result(result)

    def _land(self, key: Key) -> None:
        """Let those who ask from now on start the work again, before those who wait hear of the result."""
        with self._mutex:
            del self._running[key]
