"""One ``complete()`` from call to response: attempts, corrections, continuations, cancellation.

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
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from amplifier_core.llm_errors import AbortError, LLMError

from .settings import PROVIDER
from .wire import errors
from .wire.answer import Answer
from .wire.quota import read_headers, throttles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .catalogue import Catalogue
    from .events import Exchange
    from .settings import Settings
    from .wire.client import Client
    from .wire.request import Call
    from .wire.response import ChatGPTResponse

CANCEL_POLL = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lane:
    """How a model wants to be asked, as learnt from its refusals."""

    lite: bool = False
    version: str | None = None


class Cancellation:
    """The session's wish to stop: ``immediate`` breaks off, ``graceful`` starts nothing new."""

    def __init__(self, coordinator: Any) -> None:
        self._token = getattr(coordinator, "cancellation", None)

    @property
    def is_asked(self) -> bool:
        """True once anybody asked to stop, however gently."""
        return getattr(self._token, "is_cancelled", False) is True

    @property
    def is_immediate(self) -> bool:
        """True when the running call is to be broken off."""
        return getattr(self._token, "is_immediate", False) is True

    async def guard(self, work: Awaitable[ChatGPTResponse]) -> ChatGPTResponse:
        """Await ``work``; break it off and raise AbortError once the session is told to stop now."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=CANCEL_POLL)
                if not task.done() and self.is_immediate:
                    raise AbortError("The call was cancelled.", provider=PROVIDER)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


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
        lanes: dict[str, Lane],
        throttled: set[Any],
    ) -> None:
        self._call = call
        self._answer = Answer(call)
        self._client = client
        self._exchange = exchange
        self._catalogue = catalogue
        self._settings = settings
        self._cancellation = cancellation
        self._lanes = lanes
        self._throttled = throttled
        self._corrections: set[str] = set()

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
        if not self._answer.text and self._answer.incomplete == "content_filter":
            raise errors.filtered_answer(self._call.model)
        return self._answer.response()

    def _is_to_go_on(self) -> bool:
        """Tell whether the backend, and not the loop, has the next word."""
        answer = self._answer
        if answer.has_calls or self._cancellation.is_asked:
            return False
        if answer.incomplete == "max_output_tokens":
            return bool(answer.leg_items())
        return answer.wants_to_go_on

    async def _further_leg(self) -> bool:
        """Run a continuation; if it fails for good, what was complete before is still the answer."""
        try:
            await self._leg()
        except AbortError:
            raise
        except LLMError as error:
            logger.warning("Continuing the answer failed (%s); it stays cut off.", type(error).__name__)
            await self._start_over(error)
            self._answer.incomplete = "max_output_tokens"
            return False
        return True

    async def _leg(self) -> None:
        attempt = 0
        while True:
            try:
                await self._attempt()
            except LLMError as error:
                corrected = await self._corrected(error)
                if corrected is not None:
                    self._call = corrected
                    await self._start_over(error)
                    continue
                delay = self._delay_before_retry(error, attempt)
                if delay is None:
                    raise
                attempt += 1
                await self._start_over(error, attempt, delay)
            else:
                return

    async def _attempt(self) -> None:
        answer, exchange = self._answer, self._exchange
        async with self._client.open(self._call) as stream:
            self._learn()
            await self._note_headers(stream.headers)
            async with aclosing(stream.reads()) as reads:
                async for events in reads:
                    exchange.received(events)
                    await exchange.stream(answer.feed(events))
                    if answer.finished:
                        await stream.run_out(reads)
                        break
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
        quota = read_headers(headers, now=time.time())
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
            await asyncio.sleep(delay)
        if voided:
            await self._exchange.stream(self._answer.replay())

    def _delay_before_retry(self, error: LLMError, attempt: int) -> float | None:
        if attempt >= self._settings.max_retries or self._cancellation.is_asked:
            return None
        return retry_delay(error, attempt, self._settings, spread=random.uniform(0.75, 1.25))  # noqa: S311

    async def _corrected(self, error: LLMError) -> Call | None:
        """Return the call in the form that the refusal asks for, each form once per turn."""
        refusal = errors.refusal_of(error)
        if refusal is None:
            return None
        call = self._call
        model = self._catalogue.find(call.model)
        forms: list[tuple[str, bool, Callable[[], Call]]] = [
            (
                "reasoning",
                errors.is_stale_reasoning(refusal) and call.replays_reasoning,
                call.without_reasoning,
            ),
            ("tier", errors.is_tier_refusal(refusal) and bool(call.service_tier), call.without_tier),
            ("lite", errors.is_lane_refusal(refusal) and model.lite and not call.lite, call.as_lite),
        ]
        for name, applies, form in forms:
            if applies and name not in self._corrections:
                self._corrections.add(name)
                return form()
        return await self._with_version(refusal)

    async def _with_version(self, refusal: errors.Refusal) -> Call | None:
        gated = errors.is_version_gate(refusal) or errors.is_lane_refusal(refusal)
        if not gated or "version" in self._corrections or self._call.version:
            return None
        self._corrections.add("version")
        if not self._catalogue.knows(self._call.model):
            await self._catalogue.list()
        version = self._catalogue.find(self._call.model).minimal_client_version
        return self._call.with_version(version) if version else None

    def _learn(self) -> None:
        """Remember the form in which this model accepted a call."""
        lane = Lane(lite=self._call.lite, version=self._call.version)
        if lane != self._lanes.get(self._call.model, Lane()):
            self._lanes[self._call.model] = lane


def in_lane(call: Call, lane: Lane | None) -> Call:
    """Return the call in the form that its model is known to want."""
    return call if lane is None else replace(call, lite=lane.lite, version=lane.version)


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
    backoff: float = min(settings.min_retry_delay * 2**attempt, settings.max_retry_delay) * spread
    return max(hint, min(backoff, settings.max_retry_delay))
