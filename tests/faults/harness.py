"""One row of the fault matrix and how it is run: a call, what it reports and what it leaves behind."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from amplifier_core.llm_errors import LLMError

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call.events import STREAM_ABORTED, STREAM_DELTA
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode, events as script
from amplifier_module_provider_openai_chatgpt.transport.http_sse import HttpSseTransport
from tests.conftest import MODEL
from tests.event_recorder import RESPONSES, EventRecorder, ask, assert_coherent, blocks, pooled

QUESTION = "How is the weather?"
TEXT = "It is 14 °C in Zürich. 🌧"
ITEMS = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Looking at the sky"}]},
    {
        "type": "message",
        "role": "assistant",
        "phase": "final_answer",
        "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
    },
]
USAGE = {
    "input_tokens": 70,
    "input_tokens_details": {"cached_tokens": 20},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 4},
    "total_tokens": 79,
}
ANSWER = script(
    [{**ITEMS[0], "encrypted_content": "gAAAAABsealed"}, ITEMS[1]],
    response_id="resp_1",
    model=MODEL,
    usage=USAGE,
)
GOOD = Reply(events=ANSWER)

Sentence = str | re.Pattern[str]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One fault and its result, with at most one retry.

    ``error`` None: the answer is complete in spite of it. ``attempts`` None: two where ``retryable``, else
    one. ``says`` is the exact sentence, or a pattern where it contains a time. ``before`` are the faults of
    earlier attempts. ``released``: an answer that stalls continues once its first text was shown.
    """

    name: str
    fault: Fault = field(default_factory=Fault)
    error: type[LLMError] | None = None
    says: Sentence = ""
    retryable: bool = False
    attempts: int | None = None
    status: int | None = None
    before: tuple[Fault, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    released: bool = False

    @property
    def expected_attempts(self) -> int:
        if self.attempts is not None:
            return self.attempts
        return len(self.before) + (2 if self.retryable and self.config.get("max_retries") != 0 else 1)

    @property
    def is_retried(self) -> bool:
        """True where one more attempt is made, which may succeed."""
        return self.retryable and self.expected_attempts == 2 and not self.before


def streamed(*events, **fault):
    """Return an answer of exactly these events."""
    return Fault(pieces=tuple(encode(event) for event in events), **fault)


def rows(table, *, long=()):
    """Return parameters for a test, each named after its row; ``long`` ones are left to ``.ci/run``."""
    table, later = list(table), {row.name for row in long}
    names = [row.name for row in table]
    assert len(set(names)) == len(names)
    marks = {True: [pytest.mark.long], False: []}
    return {"argvalues": [pytest.param(row, id=row.name, marks=marks[row.name in later]) for row in table]}


class Run:
    """One call to a simulator, everything it emitted, and its result."""

    def __init__(self, sim, config, react=None):
        self.sim = sim
        self.recorder = EventRecorder(react)
        self.log: list[tuple[str, dict[str, Any]]] = self.recorder.log
        settings = {"max_retries": 1, "min_retry_delay": 0, "login_on_mount": False, **config}
        self.provider = ChatGPTProvider(settings, self.recorder.coordinator)
        self.response: Any = None
        self.error: LLMError | None = None

    def pool(self) -> list[Any]:
        """Return the provider's connections."""
        transport = self.provider.transport
        assert isinstance(transport, HttpSseTransport)
        router = transport._routers.get(asyncio.get_running_loop())
        return pooled(router) if router else []

    async def call(self, request=None):
        """Complete one request, by default about the weather; any error but a kernel error is raised."""
        already = len(self.sim.requests_to(RESPONSES))
        try:
            self.response = await self.provider.complete(request or ask(QUESTION))
        except LLMError as error:
            self.error = error
        self.asked = self.sim.requests_to(RESPONSES)[already:]
        await self._assert_nothing_is_left()
        self._assert_events_are_whole()
        return self

    def names(self):
        """Return the events in order, without those of stream blocks."""
        return [event for event, _ in self.log if not event.startswith("llm:stream_block")]

    async def _assert_nothing_is_left(self):
        busy = [one for one in self.pool() if not one.is_idle() and not one.is_closed()]
        assert not busy
        await self.provider.close()
        if self.sim.connections_open:
            await asyncio.to_thread(self.sim.wait_until, lambda: self.sim.connections_open == 0)
        for _ in range(5):
            await asyncio.sleep(0)  # httpx's own generators may need a few more turns of the loop
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others

    def _assert_events_are_whole(self):
        assert_coherent(self.log)
        ended = self.recorder.response
        assert ended["status"] == ("error" if self.error else "ok")
        if self.error is not None:
            assert (ended["error_type"], ended["error"]) == (type(self.error).__name__, str(self.error))


async def run_to_its_error(sim, config, row):
    """Let every attempt meet the fault, and compare the result with the row."""
    run = await _run(sim, config, row, times=None)
    error = run.error
    if row.error is None:
        assert error is None
        assert run.response.text == TEXT
    else:
        assert error is not None, run.response
        assert type(error) is row.error, error
        said = str(error)
        assert row.says.fullmatch(said) if isinstance(row.says, re.Pattern) else said == row.says, said
        assert (error.retryable, error.status_code) == (row.retryable, row.status)
        assert error.provider == "openai-chatgpt"
        assert error.model in {MODEL, None}
        assert len(said) < 700
        assert said.isprintable()
    assert len(run.asked) == row.expected_attempts
    return run


async def run_retried(sim, config, row):
    """Let only the first attempt meet the fault, and check that the second one succeeds."""
    run = await _run(sim, config, row, times=1)
    assert run.error is None
    assert len(run.asked) == 2
    assert run.response.text == TEXT
    assert run.response.finish_reason == "stop"
    assert run.response.usage.total_tokens == 79
    assert blocks(run.log) == [("thinking", "Looking at the sky"), ("text", TEXT)]
    assert run.recorder.of("llm:response")[0]["usage"]["input_tokens"] == 70
    [retry] = run.recorder.of("provider:retry")
    hint = retry.pop("retry_after", None)
    said = retry.pop("error_message")
    assert row.says.fullmatch(said) if isinstance(row.says, re.Pattern) else said == row.says
    request_id = run.recorder.of("llm:request")[0]["request_id"]
    assert {name: retry[name] for name in retry if name not in {"timestamp", "session_id", "parent_id"}} == {
        "provider": "openai-chatgpt",
        "model": MODEL,
        "request_id": request_id,
        "attempt": 1,
        "max_retries": 1,
        "delay": hint or 0.0,
        "error_type": row.error.__name__,
    }
    for aborted in run.recorder.of(STREAM_ABORTED):
        assert aborted["error"] == {"type": row.error.__name__, "msg": said}
    return run


async def _run(sim, config, row, times):
    sim.reply_with(*[GOOD] * 3)
    for fault in row.before:
        sim.misbehave(RESPONSES, fault)
    sim.misbehave(RESPONSES, row.fault, times)

    def release(event, _):
        if event == STREAM_DELTA:
            sim.release()

    run = Run(sim, {**config, **row.config}, release if row.released else None)
    try:
        return await run.call()
    finally:
        sim.release()
        sim.behave(RESPONSES)
