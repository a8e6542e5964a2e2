"""The events of a call: one ``llm:request``, exactly one ``llm:response``, and everything in between.

Emitting never breaks a call: payloads are made safe for the kernel's JSON first, and a hook registry
that fails is treated as one without listeners.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, assert_never

from amplifier_core.events import LLM_REQUEST, LLM_RESPONSE, PROVIDER_RETRY, PROVIDER_THROTTLE
from amplifier_core.llm_errors import AbortError, LLMError

from ..protocol.blocks import BlockDelta, BlockEnd, BlockStart
from ..redaction import for_events, redact
from ..settings import PROVIDER, REPLACED
from .steps import Answered, Continuing, Discarded, QuotaRead, Received, Retrying

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from amplifier_core.message_models import Usage

    from ..protocol.call import Call
    from ..protocol.events import Event
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

# How long a cancelled call still waits for its listeners, in seconds.
LAST_WORDS = 0.1

logger = logging.getLogger(__name__)


class Emitter:
    """Emits to the hooks of one coordinator, if it has any."""

    def __init__(self, coordinator: Any) -> None:
        self._hooks: Any = getattr(coordinator, "hooks", None)

    def is_heard(self, event: str) -> bool:
        """Return whether the event has a listener; when in doubt, yes. Far cheaper than emitting."""
        if self._hooks is None:
            return False
        try:
            handlers = self._hooks.list_handlers(event)
        except Exception:  # noqa: BLE001 - a foreign registry may answer in any way
            return True
        if asyncio.iscoroutine(handlers):
            handlers.close()
        return bool(handlers.get(event)) if isinstance(handlers, dict) else True

    async def emit(self, event: str, payload: Mapping[str, Any]) -> None:
        """Emit, whatever the payload holds and however the registry fails."""
        if not self.is_heard(event):
            return
        try:
            await _undivided(self._hooks.emit(event, for_events(payload)))
        except Exception:
            logger.debug("Emitting %s failed", event, exc_info=True)

    @asynccontextmanager
    async def exchange(
        self, model: str, message_count: int, *, raw: bool, streaming: bool
    ) -> AsyncIterator[Exchange]:
        """Surround one call: whatever happens inside, its request gets exactly one response.

        Only kernel errors and CancelledError leave; an error of our own making is wrapped.
        """
        exchange = Exchange(self, model, message_count, raw=raw, streaming=streaming)
        try:
            yield exchange
        except (LLMError, asyncio.CancelledError) as error:
            await exchange.fail(error)
            raise
        except Exception as error:
            fault = LLMError(_fault_sentence(error), provider=PROVIDER, model=exchange.model)
            await exchange.fail(fault)
            raise fault from error
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
        self._rate_limits: dict[str, Any] | None = None
        self._emitter = emitter
        self._message_count = message_count
        self._raw = raw
        self._streaming = streaming
        self._raw_events: list[Event] = []
        self._requested = False
        self._shown = False
        self._sequences: dict[int, int] = {}
        self._open: dict[int, BlockStart] = {}
        self._began = time.perf_counter()

    async def request(self, call: Call | None = None) -> None:
        """Emit ``llm:request``, once; without a call when building one failed."""
        if self._requested:
            return
        self._requested = True
        payload: dict[str, Any] = {"message_count": self._message_count}
        if call is not None:
            self.model = call.slug
            self._streaming = self._streaming and call.streaming
            payload |= {
                "has_instructions": call.has_instructions,
                "reasoning_enabled": call.reasoning_enabled,
                "reasoning_effort": call.effort,
                "service_tier": call.service_tier,
                "streaming": self._streaming,
            }
            if self._raw:
                payload["raw"] = redact(call.payload())
        await self._emit(LLM_REQUEST, payload)

    async def repaired(self, call: Call) -> None:
        """Report which tool calls and results were missing their counterpart."""
        if not call.repairs:
            return
        repairs = [{"tool_call_id": one.tool_call_id, "tool_name": one.tool_name} for one in call.repairs]
        await self._emit(TOOL_SEQUENCE_REPAIRED, {"repair_count": len(repairs), "repairs": repairs})

    async def stream(self, step: TurnStep) -> None:
        """Take the next step of the turn: emit what it means to listeners, keep what belongs to the end."""
        match step:
            case BlockStart() | BlockDelta() | BlockEnd():
                await self._block(step)
            case Received(events):
                self._raw_events.extend(events if self._raw else ())
            case QuotaRead():
                await self._quota(step)
            case Discarded(error):
                await self._abort(error)
            case Retrying():
                await self._retry(step)
            case Continuing():
                await self._continuation(step)
            case Answered(response):
                self._response = response
            case _:
                assert_never(step)

    def answer(self) -> ChatGPTResponse:
        """Return the response of a turn that ran to its end."""
        if self._response is None:
            raise AssertionError("a turn ends in an answer or in an error")
        return self._response

    async def _block(self, step: BlockStart | BlockDelta | BlockEnd) -> None:
        if not self._streaming:
            return
        match step:
            case BlockStart():
                self._open[step.index] = step
                await self._emit(STREAM_START, _place(step) | ({"name": step.name} if step.name else {}))
            case BlockDelta():
                sequence = self._sequences.get(step.index, 0)
                self._sequences[step.index] = sequence + 1
                self._shown = True
                if self._emitter.is_heard(STREAM_DELTA):
                    await self._emit(STREAM_DELTA, _place(step) | {"sequence": sequence, "text": step.text})
            case BlockEnd():
                self._open.pop(step.index, None)
                await self._emit(STREAM_END, _place(step))
            case _:
                assert_never(step)

    async def _abort(self, error: BaseException) -> None:
        """Close open blocks and declare the text of the present attempt discarded, if any was shown."""
        for start in list(self._open.values()):
            await self._block(BlockEnd(start.index, start.kind))
        shown, self._shown = self._shown, False
        self._sequences.clear()
        if shown:
            detail = {"type": type(error).__name__, "msg": str(error)}
            await self._emit(STREAM_ABORTED, {"error": detail})

    async def _quota(self, step: QuotaRead) -> None:
        self._rate_limits = step.quota.to_dict()
        for warning in step.warnings:
            await self._emit(PROVIDER_THROTTLE, warning)

    async def _retry(self, step: Retrying) -> None:
        payload: dict[str, Any] = {
            "attempt": step.attempt,
            "max_retries": step.max_retries,
            "delay": step.delay,
            "error_type": type(step.error).__name__,
            "error_message": str(step.error),
        }
        if step.error.retry_after is not None:
            payload["retry_after"] = step.error.retry_after
        await self._emit(PROVIDER_RETRY, payload)

    async def _continuation(self, step: Continuing) -> None:
        payload = {
            "response_id": step.response_id,
            "reason": step.reason,
            "continuation_number": step.number,
            "max_attempts": step.max_continuations,
        }
        await self._emit(CONTINUATION, payload)

    async def succeed(self) -> None:
        """Emit ``llm:response`` for the answer."""
        usage = self._response.usage if self._response else None
        payload: dict[str, Any] = {"status": "ok"}
        if usage is not None:
            payload["usage"] = _usage(usage)
        if self._response is not None:
            payload["finish_reason"] = self._response.finish_reason
        if self._raw:
            payload["raw"] = {"events": redact(self._raw_events)}
        await self._respond(payload)

    async def fail(self, error: BaseException) -> None:
        """Emit ``llm:response`` for an error or a cancellation, after discarding what was shown.

        The response goes out even if the task is cancelled again while a slow listener is busy.
        """
        try:
            await self.request()
            await self._abort(error)
        finally:
            await self._respond(self._outcome(error))

    def _outcome(self, error: BaseException) -> dict[str, Any]:
        cancelled = isinstance(error, AbortError | asyncio.CancelledError)
        payload: dict[str, Any] = {
            "status": "cancelled" if cancelled else "error",
            "error": str(error) or "The call was cancelled.",
            "error_type": type(error).__name__,
        }
        if self._raw and self._raw_events:
            payload["raw"] = {"events": redact(self._raw_events)}
        return payload

    async def _respond(self, payload: dict[str, Any]) -> None:
        payload["duration_ms"] = (time.perf_counter() - self._began) * 1000
        if self._rate_limits:
            payload["rate_limits"] = self._rate_limits
        await self._emit(LLM_RESPONSE, payload)

    async def _emit(self, event: str, payload: Mapping[str, Any]) -> None:
        identity = {"provider": PROVIDER, "model": self.model, "request_id": self.request_id}
        await self._emitter.emit(event, {**identity, **payload})


async def _undivided(emission: Awaitable[object]) -> None:
    """Await an emission to its end even when cancelled: listeners get whole events, in order.

    Not for ever: a listener that hangs must not delay a call that is to stop.
    """
    task = asyncio.ensure_future(emission)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=LAST_WORDS)
        task.cancel()
        raise


def _fault_sentence(error: Exception) -> str:
    if isinstance(error, ImportError):
        return REPLACED
    return f"The provider failed unexpectedly ({type(error).__name__}): please report this."


def _place(step: BlockStart | BlockDelta | BlockEnd) -> dict[str, Any]:
    return {"block_index": step.index, "block_type": step.kind}


def _usage(usage: Usage) -> dict[str, Any]:
    """Copy the counts of the response: event and response never differ."""
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
