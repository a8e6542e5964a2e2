"""The events of a call: one ``llm:request``, exactly one ``llm:response``, and everything in between.

Emitting never breaks a call: payloads are made safe for the kernel's JSON first, and exceptions from the
hook registry are only logged.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, assert_never

from amplifier_core.events import (
    ALL_EVENTS,
    LLM_REQUEST,
    LLM_RESPONSE,
    PROVIDER_RETRY,
    PROVIDER_THROTTLE,
)
from amplifier_core.llm_errors import AbortError, LLMError

from ..drift import drift
from ..protocol.blocks import BlockDelta, BlockEnd, BlockStart
from ..redaction import for_events, redact
from ..settings import PROVIDER, REPLACED
from .notices import Notices
from .raw_events import RawEvents
from .steps import Answered, Continuing, Discarded, QuotaRead, Received, Retrying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from amplifier_core.message_models import Usage

    from ..protocol.call import Call
    from ..response.response import ChatGPTResponse
    from .steps import TurnStep

STREAM_START = "llm:stream_block_start"
STREAM_DELTA = "llm:stream_block_delta"
STREAM_END = "llm:stream_block_end"
STREAM_ABORTED = "llm:stream_aborted"
TOOL_SEQUENCE_REPAIRED = "provider:tool_sequence_repaired"
CONTINUATION = "provider:incomplete_continuation"

EVENTS = (
    LLM_REQUEST,
    LLM_RESPONSE,
    STREAM_START,
    STREAM_DELTA,
    STREAM_END,
    STREAM_ABORTED,
    PROVIDER_RETRY,
    PROVIDER_THROTTLE,
    TOOL_SEQUENCE_REPAIRED,
    CONTINUATION,
)

# Log hooks record what the kernel knows without being asked, and some record twice what is announced as well.
ANNOUNCED = tuple(event for event in EVENTS if event not in ALL_EVENTS)

# How long a cancelled call waits for its listeners, in seconds.
LISTENER_GRACE = 0.1

logger = logging.getLogger(__name__)


class Emitter:
    """Emits to the hooks of one coordinator, which may have none; ``notices`` are for its screen."""

    def __init__(self, coordinator: Any) -> None:
        self._hooks: Any = getattr(coordinator, "hooks", None)
        self.notices = Notices(coordinator)

    def has_listener(self, event: str) -> bool:
        """True if the event has a listener, or if that is unknown. Far cheaper than emitting."""
        if self._hooks is None:
            return False
        try:
            handlers = self._hooks.list_handlers(event)
        except Exception:  # noqa: BLE001 - a host's registry may raise anything
            return True
        if asyncio.iscoroutine(handlers):
            handlers.close()
        return bool(handlers.get(event)) if isinstance(handlers, dict) else True

    async def emit(self, event: str, payload: Mapping[str, object]) -> None:
        """Emit an event. Never raises, whatever the payload contains and however the registry fails."""
        if not self.has_listener(event):
            return
        try:
            await _emit_completely(self._hooks.emit(event, for_events(payload)))
        except Exception:
            logger.debug("Emitting %s failed", event, exc_info=True)

    @asynccontextmanager
    async def exchange(
        self, model: str, message_count: int, *, raw: bool, streaming: bool
    ) -> AsyncIterator[Exchange]:
        """Wrap one call: whatever happens inside, its request gets exactly one response.

        Raises only kernel errors and CancelledError; any other exception is wrapped.
        """
        exchange = Exchange(self, model, message_count, raw=raw, streaming=streaming)
        try:
            yield exchange
        except (LLMError, asyncio.CancelledError) as error:
            await exchange.fail(error)
            raise
        except Exception as error:
            wrapped = LLMError(_unexpected_failure(error), provider=PROVIDER, model=exchange.model)
            await exchange.fail(wrapped)
            raise wrapped from error
        else:
            await exchange.succeed()


class Exchange:
    """The events of one ``complete()``, all under one request id."""

    def __init__(
        self, emitter: Emitter, model: str, message_count: int, *, raw: bool, streaming: bool
    ) -> None:
        self.request_id = str(uuid.uuid4())
        self.model = model
        self._response: ChatGPTResponse | None = None
        self._rate_limits: dict[str, object] | None = None
        self._emitter = emitter
        self._message_count = message_count
        self._raw = raw
        self._streaming = streaming
        self._raw_events: RawEvents | None = None
        self._requested = False
        self._in_background = False
        self._shown = False
        self._sequences: dict[int, int] = {}
        self._open: dict[int, BlockStart] = {}
        self._started_at = time.perf_counter()

    async def request(self, call: Call | None = None) -> None:
        """Emit ``llm:request``, once; ``call`` is None if it could not be built."""
        if self._requested:
            return
        self._requested = True
        payload: dict[str, object] = {"message_count": self._message_count}
        if call is not None:
            self.model = call.slug
            self._streaming = self._streaming and call.streaming
            self._in_background = not call.streaming
            payload |= {
                "has_instructions": call.has_instructions,
                "reasoning_enabled": call.reasoning_enabled,
                "reasoning_effort": call.effort,
                "service_tier": call.service_tier,
                "streaming": self._streaming,
            }
            if self._raw:
                sent = call.payload()
                self._raw_events = RawEvents(sent)
                payload["raw"] = redact(sent)
        await self._emit(LLM_REQUEST, payload)

    async def repaired(self, call: Call) -> None:
        """Emit which tool calls had no result, and which results had no call."""
        if not call.repairs:
            return
        repairs = [{"tool_call_id": r.tool_call_id, "tool_name": r.tool_name} for r in call.repairs]
        await self._emit(TOOL_SEQUENCE_REPAIRED, {"repair_count": len(repairs), "repairs": repairs})

    async def stream(self, step: TurnStep) -> None:
        """Emit the events of the next step of the turn, and keep what ``llm:response`` will contain."""
        match step:
            case BlockStart() | BlockDelta() | BlockEnd():
                await self._emit_block(step)
            case Received(events):
                if self._raw_events is not None:
                    self._raw_events.add(events)
            case QuotaRead():
                await self._emit_quota(step)
            case Discarded(error):
                self._end_raw_attempt()
                await self._abort(error)
            case Retrying():
                await self._emit_retry(step)
            case Continuing():
                self._end_raw_attempt()
                await self._emit_continuation(step)
            case Answered(response):
                self._response = response
            case _:
                assert_never(step)

    def answer(self) -> ChatGPTResponse:
        """Return the response of a completed turn."""
        if self._response is None:
            raise AssertionError("a turn ends in an answer or in an error")
        return self._response

    async def _emit_block(self, step: BlockStart | BlockDelta | BlockEnd) -> None:
        if not self._streaming:
            return
        match step:
            case BlockStart():
                self._open[step.index] = step
                await self._emit(
                    STREAM_START, _block_fields(step) | ({"name": step.name} if step.name else {})
                )
            case BlockDelta():
                sequence = self._sequences.get(step.index, 0)
                self._sequences[step.index] = sequence + 1
                self._shown = True
                if self._emitter.has_listener(STREAM_DELTA):
                    await self._emit(
                        STREAM_DELTA, _block_fields(step) | {"sequence": sequence, "text": step.text}
                    )
            case BlockEnd():
                self._open.pop(step.index, None)
                await self._emit(STREAM_END, _block_fields(step))
            case _:
                assert_never(step)

    async def _abort(self, error: BaseException) -> None:
        """End open blocks, and emit ``llm:stream_aborted`` if the attempt had shown any text."""
        for start in list(self._open.values()):
            await self._emit_block(BlockEnd(start.index, start.kind))
        shown, self._shown = self._shown, False
        self._sequences.clear()
        if shown:
            detail = {"type": type(error).__name__, "msg": str(error)}
            await self._emit(STREAM_ABORTED, {"error": detail})

    async def _emit_quota(self, step: QuotaRead) -> None:
        self._rate_limits = step.quota.to_dict()
        for warning in step.warnings:
            await self._emit(PROVIDER_THROTTLE, warning)
        await self._emitter.notices.limits(step.quota)

    async def _emit_retry(self, step: Retrying) -> None:
        payload: dict[str, object] = {
            "attempt": step.attempt,
            "max_retries": step.max_retries,
            "delay": step.delay,
            "error_type": type(step.error).__name__,
            "error_message": str(step.error),
        }
        if step.error.retry_after is not None:
            payload["retry_after"] = step.error.retry_after
        await self._emit(PROVIDER_RETRY, payload)
        if not self._in_background:
            await self._emitter.notices.waiting(step)

    async def _emit_continuation(self, step: Continuing) -> None:
        payload = {
            "response_id": step.response_id,
            "reason": step.reason,
            "continuation_number": step.number,
            "max_attempts": step.max_continuations,
        }
        await self._emit(CONTINUATION, payload)

    async def succeed(self) -> None:
        """Emit ``llm:response`` for a completed turn."""
        usage = self._response.usage if self._response else None
        payload: dict[str, object] = {"status": "ok"}
        if usage is not None:
            payload["usage"] = _usage_fields(usage)
        if self._response is not None:
            payload["finish_reason"] = self._response.finish_reason
        await self._respond(payload | self._raw_fields())

    async def fail(self, error: BaseException) -> None:
        """Discard what was shown, then emit ``llm:response`` for an error or a cancellation.

        It is emitted even if the task is cancelled again while a slow listener runs.
        """
        try:
            await self.request()
            await self._abort(error)
        finally:
            await self._respond(self._failure_fields(error))

    def _failure_fields(self, error: BaseException) -> dict[str, object]:
        cancelled = isinstance(error, AbortError | asyncio.CancelledError)
        return {
            "status": "cancelled" if cancelled else "error",
            "error": str(error) or "The call was cancelled.",
            "error_type": type(error).__name__,
            **self._raw_fields(),
        }

    def _end_raw_attempt(self) -> None:
        if self._raw_events is not None:
            self._raw_events.end_attempt()

    def _raw_fields(self) -> dict[str, object]:
        events = self._raw_events.to_list() if self._raw_events is not None else []
        return {"raw": {"events": redact(events)}} if events else {}

    async def _respond(self, payload: dict[str, object]) -> None:
        payload["duration_ms"] = (time.perf_counter() - self._started_at) * 1000
        if self._rate_limits:
            payload["rate_limits"] = self._rate_limits
        if drift:
            payload["drift"] = drift.names()
        await self._emit(LLM_RESPONSE, payload)

    async def _emit(self, event: str, payload: Mapping[str, object]) -> None:
        identity = {"provider": PROVIDER, "model": self.model, "request_id": self.request_id}
        await self._emitter.emit(event, {**identity, **payload})


async def _emit_completely(emission: Awaitable[object]) -> None:
    """Await an emission even when cancelled, so listeners get complete events in order.

    The wait is bounded: a listener that hangs must not delay a cancelled call.
    """
    task = asyncio.ensure_future(emission)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=LISTENER_GRACE)
        task.cancel()
        raise


def _unexpected_failure(error: Exception) -> str:
    if isinstance(error, ImportError):
        return REPLACED
    return f"The provider failed unexpectedly ({type(error).__name__}): please report this."


def _block_fields(step: BlockStart | BlockDelta | BlockEnd) -> dict[str, object]:
    return {"block_index": step.index, "block_type": step.kind}


def _usage_fields(usage: Usage) -> dict[str, object]:
    """Return the token counts of the response, for the event."""
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "reasoning_tokens": usage.reasoning_tokens or 0,
        "cost_usd": None,
    }
    optional = {
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }
    return counts | {key: count for key, count in optional.items() if count}
