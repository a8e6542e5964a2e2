"""One ``complete()`` from call to response: attempts, fallbacks, retries, continuations.

One *attempt* is one request. It is retried after a transient failure, corrected if the refusal says what
the backend does not accept, and followed by a continuation if the answer was cut at the output limit.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

from amplifier_core.llm_errors import LLMError

from ..errors.kernel import may_be_retried, retry_limit
from ..errors.refusal import Refusal, read_event_refusal
from ..errors.transport import Fault, TransportFault, ended_early
from ..protocol.blocks import BlockDelta
from ..quota.values import throttles
from ..response.accumulator import ResponseAccumulator
from ..response.outcome import BrokenOff, Failed, Finished, Incomplete, Resumable
from .fallbacks import Fallbacks
from .steps import Answered, Continuing, Discarded, QuotaRead, Received, Retrying

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from ..protocol.call import Call
    from ..protocol.events import Event
    from ..quota.values import Quota
    from ..response.outcome import Outcome
    from ..settings import Settings
    from .cancellation import Cancellation
    from .context import CallContext
    from .fallbacks import Rebuild
    from .steps import TurnStep

Failure: TypeAlias = Refusal | LLMError
Ending: TypeAlias = Finished | Resumable | Incomplete | Failure

# How long to wait for the closing event after a stop sequence, in seconds.
STOP_LINGER = 2.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What follows a failure: a retry after a wait, the corrected call immediately, or the end."""

    error: LLMError
    retry: Retrying | None = None
    is_over: bool = False


class Turn:
    """One ``complete()``. Used once.

    A failed attempt is handled in this order: its limits are reported; a fallback corrects the call, once
    per cause, and sends it immediately; a transient failure is retried, within one budget for the whole
    turn; if a continuation fails, the answer before it is returned; any other failure is raised.
    """

    def __init__(
        self,
        call: Call,
        context: CallContext,
        cancellation: Cancellation,
        rebuild: Rebuild | None = None,
    ) -> None:
        """``rebuild(slug)`` builds the call without that model; None if the caller named the model."""
        self._call = call
        self._slug = call.slug
        self._context = context
        self._settings = context.settings
        self._cancellation = cancellation
        self._accumulator = ResponseAccumulator(stop=call.stop, tool_names=call.tool_names)
        self._fallbacks = Fallbacks(context, rebuild)
        self._ending: Ending
        self._retries = 0
        self._continuations = 0
        self._shown = False

    async def run(self) -> AsyncGenerator[TurnStep]:
        """Yield the steps of the turn, an ``Answered`` last. Raises kernel errors."""
        while True:
            async with aclosing(self._attempt()) as steps:
                async for step in steps:
                    self._shown = self._shown or isinstance(step, BlockDelta)
                    yield step
            match self._ending:
                case Resumable() as cut if self._may_continue():
                    yield self._continue(cut)
                case Finished() | Resumable() | Incomplete():
                    break
                case Refusal() | LLMError() as failure:
                    for step in self._quota_read(failure.quota if isinstance(failure, Refusal) else None):
                        yield step
                    recovery = await self._recover(failure)
                    yield Discarded(recovery.error)
                    if recovery.retry:
                        yield recovery.retry
                    is_over = await self._wait(recovery, failure)
                    for step in self._restart():
                        yield step
                    if is_over:
                        break
                case _:
                    assert_never(self._ending)
        self._context.tokens.learn(self._call, self._accumulator.attempt_usage)
        yield Answered(self._accumulator.response(self._call))

    async def _attempt(self) -> AsyncGenerator[TurnStep]:
        """Send one request; ``_ending`` says how it ended."""
        accumulator = self._accumulator
        try:
            async with self._context.transport.open(self._call) as stream:
                self._context.catalogue.notice_etag(stream.models_etag)
                for step in self._quota_read(stream.quota):
                    yield step
                async with aclosing(stream.reads()) as reads:
                    async for events in reads:
                        yield Received(events)
                        for step in accumulator.feed(events):
                            yield step
                        if accumulator.is_over:
                            break
                    if accumulator.lacks_usage:
                        await self._read_usage(reads)
                outcome = accumulator.outcome()
                if not accumulator.lacks_usage:
                    await stream.drain()
        except (Refusal, LLMError) as failure:
            # A refusal is data from here on; its frames hold what the backend has sent.
            self._ending = failure.with_traceback(None) if isinstance(failure, Refusal) else failure
            return
        self._ending = ending = self._classify(outcome)
        if not isinstance(ending, Refusal):
            for step in ending.steps:
                yield step

    async def _read_usage(self, reads: AsyncGenerator[list[Event]]) -> None:
        """Read the usage of an answer that ended at a stop sequence, for at most ``STOP_LINGER`` seconds."""
        with suppress(TimeoutError, Refusal):
            async with asyncio.timeout(STOP_LINGER):
                async for events in reads:
                    self._accumulator.hear_out(events)
                    if not self._accumulator.lacks_usage:
                        return

    def _classify(self, outcome: Outcome) -> Finished | Resumable | Incomplete | Refusal:
        match outcome:
            case Failed(event):
                return read_event_refusal(event, names=self._settings.service.response, now=time.time())
            case BrokenOff(partial):
                return ended_early(partial)
            case Incomplete(reason="content_filter", empty=True):
                return TransportFault(Fault.WITHHELD)
            case Incomplete(reason=reason, empty=True) if reason != "max_output_tokens":
                return ended_early("")
            case Finished() | Resumable() | Incomplete():
                self._fallbacks.learn(self._call)
                return outcome
            case _:
                assert_never(outcome)

    def _may_continue(self) -> bool:
        return self._continuations < self._settings.max_continuations and not self._cancellation.is_requested

    def _continue(self, cut: Resumable) -> Continuing:
        self._continuations += 1
        self._call = self._call.continued(cut.items)
        self._fallbacks.pin_model()
        step = Continuing(
            self._accumulator.response_id, cut.reason, self._continuations, self._settings.max_continuations
        )
        self._accumulator.keep()
        return step

    async def _recover(self, failure: Failure) -> Recovery:
        """Decide what follows a failure, and prepare it. Raises the kernel error if nothing can follow."""
        refusal = failure if isinstance(failure, Refusal) else None
        corrected = await self._fallbacks.corrected(self._call, refusal) if refusal else None
        error = await self._explain(failure)
        if corrected is not None:
            self._call = corrected
            self._accumulator.drop()
            return Recovery(error)
        delay = self._delay_before_retry(error, refusal)
        if delay is not None:
            self._retries += 1
            self._accumulator.drop()
            return Recovery(error, Retrying(self._retries, self._most_retries(refusal), delay, error))
        self._give_up(error, refusal)
        return Recovery(error, is_over=True)

    async def _explain(self, failure: Failure) -> LLMError:
        if isinstance(failure, LLMError):
            return failure
        refusal = self._fallbacks.to_report(failure)
        return await self._context.explain(refusal, self._call.slug if refusal is failure else self._slug)

    async def _wait(self, recovery: Recovery, failure: Failure) -> bool:
        """Wait before a retry. True if the turn is over, also if it was stopped during the wait."""
        if recovery.retry:
            await self._cancellation.pause(recovery.retry.delay)
            if self._cancellation.is_graceful:
                self._give_up(recovery.error, failure)
                return True
        return recovery.is_over

    def _give_up(self, error: LLMError, failure: Failure | None) -> None:
        """Keep the answer before a failed continuation, or raise the error."""
        if self._accumulator.cut_off():
            logger.warning("Continuing the answer failed (%s); it remains cut off.", type(error).__name__)
        elif isinstance(failure, Refusal):
            raise error from failure
        else:
            raise error

    def _restart(self) -> list[TurnStep]:
        """Show the completed attempts again, if listeners had to discard anything."""
        shown, self._shown = self._shown, False
        steps: list[TurnStep] = [*self._accumulator.replay()] if shown else []
        self._shown = any(isinstance(step, BlockDelta) for step in steps)
        return steps

    def _quota_read(self, quota: Quota | None) -> Iterator[TurnStep]:
        if quota is not None:
            yield QuotaRead(quota, throttles(quota, self._context.throttled))

    def _most_retries(self, refusal: Refusal | None) -> int:
        return retry_limit(refusal, self._settings.service, self._settings.max_retries)

    def _delay_before_retry(self, error: LLMError, refusal: Refusal | None) -> float | None:
        is_over = self._retries >= self._most_retries(refusal) or self._cancellation.is_requested
        if is_over or not may_be_retried(error, refusal):
            return None
        spread = random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        return retry_delay(error.retry_after, self._retries, self._settings, spread=spread)


def retry_delay(hint: float | None, attempt: int, settings: Settings, *, spread: float) -> float | None:
    """Return the seconds to wait after ``attempt`` (from 0), or None if the wait would be too long.

    The wait doubles from ``min_retry_delay`` up to ``max_retry_delay``, times ``spread``. The server's
    ``hint`` is in seconds and the minimum; if it is longer than ``max_retry_delay``, there is no retry.
    """
    hint = float(hint or 0.0)
    if hint > settings.max_retry_delay:
        return None

    most = settings.max_retry_delay
    backoff: float = min(settings.min_retry_delay * 2.0 ** min(attempt, 60), most) * spread
    return max(hint, min(backoff, most))
