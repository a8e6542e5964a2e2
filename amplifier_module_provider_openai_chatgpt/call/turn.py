"""One ``complete()`` from call to response: attempts, waits, continuations, cancellation.

The backend is asked once per *leg*. A leg is attempted again after a passing failure, sent once more
in another form where the backend's refusal names what it minds, and followed by another leg when the
answer was cut at the output limit.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from amplifier_core.llm_errors import AbortError, LLMError

from ..errors import kernel as errors
from ..quota import read_headers, throttles
from ..response.accumulator import ResponseAccumulator
from ..settings import PROVIDER
from ..tasks import ended
from .fallbacks import Fallbacks

if TYPE_CHECKING:
    from collections.abc import Coroutine, MutableMapping

    from ..models.catalogue import Catalogue
    from ..protocol.call import Call
    from ..quota import Quota
    from ..response.response import ChatGPTResponse
    from ..settings import Settings
    from ..transport.http_sse import Client
    from .events import Exchange
    from .fallbacks import RequestShape

Result = TypeVar("Result")

CANCEL_POLL = 0.1

logger = logging.getLogger(__name__)


class Cancellation:
    """The session's wish to stop: ``immediate`` breaks off, ``graceful`` starts nothing new."""

    def __init__(self, coordinator: Any) -> None:
        self._token = getattr(coordinator, "cancellation", None)

    @property
    def is_asked(self) -> bool:
        """True once anybody asked to stop, however gently."""
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
        """Await ``work``; break it off and raise AbortError once the session is told to stop now."""
        if self.is_immediate:
            work.close()
            raise _aborted()
        task, watch = asyncio.create_task(work), asyncio.create_task(self._stop_asked())
        try:
            await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise _aborted()
            return task.result()
        finally:
            task.cancel()
            watch.cancel()
            await ended(task, watch)

    async def _stop_asked(self) -> None:
        """End once the session is told to stop now; nothing but the flag tells."""
        while not self.is_immediate:  # noqa: ASYNC110
            await asyncio.sleep(CANCEL_POLL)

    async def pause(self, seconds: float) -> None:
        """Sleep, but no longer than until a graceful stop is asked for; ``guard`` sees to the other."""
        until = time.monotonic() + seconds
        while not self.is_graceful and (left := until - time.monotonic()) > 0:  # noqa: ASYNC110 - it is a flag
            await asyncio.sleep(min(left, CANCEL_POLL))


class Turn:
    """The work of one ``complete()``; made anew for each."""

    def __init__(
        self,
        call: Call,
        *,
        client: Client,
        exchange: Exchange,
        catalogue: Catalogue,
        settings: Settings,
        cancellation: Cancellation,
        shapes: MutableMapping[str, RequestShape],
        throttled: set[Any],
    ) -> None:
        self._call = call
        self._answer = ResponseAccumulator(call)
        self._client = client
        self._exchange = exchange
        self._catalogue = catalogue
        self._settings = settings
        self._cancellation = cancellation
        self._fallbacks = Fallbacks(catalogue, shapes)
        self._throttled = throttled

    async def run(self) -> ChatGPTResponse:
        """Return the whole answer, or raise a kernel error that says what a person can do."""
        await self._leg()
        for number in range(1, self._settings.max_continuations + 1):
            if not self._is_to_go_on():
                break
            reason = self._answer.incomplete or "end_turn"
            self._call = self._call.continued(self._answer.leg_items())
            await self._exchange.continuation(
                self._answer.response_id, reason, number, self._settings.max_continuations
            )
            self._answer.begin_leg(self._call)
            if not await self._further_leg():
                break
        if self._answer.incomplete == "content_filter" and not (self._answer.text or self._answer.has_calls):
            raise errors.filtered_answer(self._call.model)
        return self._answer.response()

    def _is_to_go_on(self) -> bool:
        """Tell whether the backend, and not the loop, has the next word."""
        answer = self._answer
        if answer.has_calls or self._cancellation.is_asked or not answer.leg_items():
            return False
        return answer.wants_to_go_on if not answer.incomplete else answer.incomplete == "max_output_tokens"

    async def _further_leg(self) -> bool:
        """Run a continuation; if it fails for good, the text that was complete before is still the answer."""
        try:
            await self._leg()
        except LLMError as error:
            if not self._answer.kept_text:
                raise
            logger.warning("Continuing the answer failed (%s); it stays cut off.", type(error).__name__)
            await self._start_over(error)
            self._answer.incomplete = "max_output_tokens"
            return False
        return True

    async def _leg(self) -> None:
        attempt = 0
        while True:
            try:
                return await self._attempt()
            except LLMError as error:
                await self._note_refusal(error)
                corrected = await self._fallbacks.corrected(self._call, error)
                if corrected is not None:
                    self._call = corrected
                    await self._start_over(error)
                    continue
                delay = self._delay_before_retry(error, attempt)
                if delay is None:
                    raise
                attempt += 1
                await self._start_over(error, attempt, delay)
                if self._cancellation.is_graceful:
                    raise

    async def _attempt(self) -> None:
        answer, exchange = self._answer, self._exchange
        async with self._client.open(self._call) as stream:
            self._fallbacks.learn(self._call)
            await self._note_headers(stream.headers)
            async with aclosing(stream.reads()) as reads:
                async for events in reads:
                    exchange.received(events)
                    await exchange.stream(answer.feed(events))
                    if answer.finished:
                        break
            if not answer.stopped:
                await stream.drain()
        if answer.failure is not None:
            refusal = errors.read_event_refusal(answer.failure, now=time.time())
            raise self._client.explain(refusal, self._call.model)
        if not answer.finished:
            raise errors.stream_ended_early(self._call.model, partial=answer.text)
        if answer.open_blocks and not answer.incomplete and not answer.stopped:
            raise errors.stream_ended_early(self._call.model, partial=answer.text)
        await exchange.stream(answer.close_leg())

    async def _note_headers(self, headers: Any) -> None:
        self._catalogue.notice_etag(headers.get("x-models-etag"))
        await self._note_quota(read_headers(headers, now=time.time()))

    async def _note_refusal(self, error: LLMError) -> None:
        refusal = errors.refusal_of(error)
        if refusal is not None:
            await self._note_quota(refusal.quota)

    async def _note_quota(self, quota: Quota | None) -> None:
        if quota is None:
            return
        self._exchange.rate_limits = quota.to_dict()
        for warning in throttles(quota, self._throttled):
            await self._exchange.throttle(warning)

    async def _start_over(self, error: LLMError, attempt: int = 0, delay: float = 0.0) -> None:
        """Void what the failed attempt showed, wait, and show again what earlier legs completed."""
        voided = await self._exchange.abort(error)
        self._answer.drop_leg(self._call)
        if attempt:
            await self._exchange.retry(attempt, self._settings.max_retries, delay, error)
            await self._cancellation.pause(delay)
        if voided:
            await self._exchange.stream(self._answer.replay())

    def _delay_before_retry(self, error: LLMError, attempt: int) -> float | None:
        if attempt >= self._settings.max_retries or self._cancellation.is_asked:
            return None
        return retry_delay(error, attempt, self._settings, spread=random.uniform(0.75, 1.25))  # noqa: S311


def _aborted() -> AbortError:
    return AbortError("The call was cancelled.", provider=PROVIDER)


def retry_delay(error: LLMError, attempt: int, settings: Settings, *, spread: float) -> float | None:
    """Seconds to wait before the attempt after ``attempt`` (from 0), or None: do not repeat.

    The wait doubles from ``min_retry_delay`` up to ``max_retry_delay``, times ``spread``; a server's
    own hint is waited for in full, and when it is longer than ``max_retry_delay`` not at all.
    """
    if not errors.may_be_repeated(error):
        return None
    hint = float(error.retry_after or 0.0)
    if hint > settings.max_retry_delay:
        return None
    backoff: float = (
        min(settings.min_retry_delay * 2.0 ** min(attempt, 60), settings.max_retry_delay) * spread
    )
    return max(hint, min(backoff, settings.max_retry_delay))
