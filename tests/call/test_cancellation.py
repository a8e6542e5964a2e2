"""Calls stopped at any moment, by the session or by cancelling the task, and what they leave behind."""

import asyncio
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from amplifier_core.llm_errors import AbortError, ProviderUnavailableError, StreamError
from amplifier_core.message_models import ToolSpec

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call.cancellation import Cancellation
from amplifier_module_provider_openai_chatgpt.call.events import STREAM_ABORTED, STREAM_DELTA
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from tests.conftest import write_tokens
from tests.event_recorder import (
    RESPONSES,
    EventRecorder,
    ask,
    assert_coherent,
    busy_connections,
    eventually,
    stalled,
)

TOKEN = "/oauth/token"
ALL_BUT_THE_LAST = Fault(stall_after_event=-1)
TOOLS = [
    ToolSpec(name=name, description="Tells the time.", parameters={"type": "object", "properties": {"a": {}}})
    for name in ("get_time", "show_time", "time_left")
]


class FullPort:
    """A port whose queue of connections is full: clients wait until ``open`` is called."""

    def __init__(self, target):
        self._target = urlsplit(target)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._fillers = [self._fill() for _ in range(2)]
        self._tasks = set()
        self._server = None
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/backend-api"

    def _fill(self):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(self._socket.getsockname())
        return filler

    async def open(self):
        """Relay connections to the target from now on."""
        for filler in self._fillers:
            filler.close()
        self._server = await asyncio.start_server(self._relay, sock=self._socket)

    async def close(self):
        for filler in self._fillers:
            filler.close()
        (self._server or self._socket).close()
        await asyncio.gather(*self._tasks)

    async def _relay(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        target_reader, target_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        await asyncio.gather(_pump(reader, target_writer), _pump(target_reader, writer))


async def _pump(reader, writer):
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.fixture
async def recorder():
    return EventRecorder()


@pytest.fixture
async def start_call(config):
    """Start a call whose events are recorded."""
    providers = []

    def call(recorder, text="Say hello.", **settings):
        providers.append(ChatGPTProvider({**config, **settings}, recorder.coordinator))
        return asyncio.create_task(providers[-1].complete(ask(text)))

    yield call
    for provider in providers:
        await provider.close()


@dataclass
class Kind:
    """One kind of call, most of which never end on their own, and when it is stopped.

    ``faults`` gets a random generator. The call is stopped after a random number of events and characters
    below ``stop_after``; or some iterations of the loop after the event that ``stop_after`` names; or, with
    None, after the simulator has stalled.
    """

    faults: Callable[[Random], list[tuple[str, Fault]]] = lambda _: [(RESPONSES, ALL_BUT_THE_LAST)]
    replies: list[Reply] = field(default_factory=list)
    stop_after: int | str | None = None
    request: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    token: str = "valid"
    has_full_port: bool = False


def _stalls(path, **fault):
    return lambda _: [(path, Fault(**fault))]


LONG = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "word " * 3000}]}
KINDS = {
    "a short answer": Kind(stop_after=7),
    "a long stream": Kind(replies=[Reply(items=[LONG])], stop_after=15_000),
    "no head yet": Kind(faults=_stalls(RESPONSES, stall_before_headers=True)),
    "silence in the stream": Kind(
        faults=lambda rng: [(RESPONSES, Fault(stall_after_event=rng.randint(1, 12)))]
    ),
    "tool calls": Kind(
        faults=lambda rng: [(RESPONSES, Fault(stall_after_event=rng.randint(1, 25)))],
        request={"text": "What time is it?", "tools": TOOLS},
        settings={"reasoning_effort": "high"},
    ),
    "a wait between attempts": Kind(
        faults=lambda _: [(RESPONSES, Fault(status=503, headers={"retry-after": "50"}))],
        stop_after="provider:retry",
    ),
    "connecting": Kind(stop_after="llm:request", has_full_port=True, settings={"connect_timeout": 60}),
    "a renewal of the token": Kind(faults=_stalls(TOKEN, stall_before_headers=True), token="expired"),
    "reauthentication after a refused token": Kind(
        faults=lambda rng: [
            (RESPONSES, Fault(status=401)),
            (rng.choice([TOKEN, RESPONSES]), Fault(stall_before_headers=True)),
        ],
    ),
    "a continuation": Kind(
        replies=[Reply(end="incomplete")],
        faults=lambda rng: [
            (RESPONSES, Fault()),
            (RESPONSES, Fault(stall_after_event=rng.randint(1, 12))),
        ],
    ),
}
WAYS = {"session": AbortError, "task": asyncio.CancelledError}


class Stage:
    """One call of a kind, stopped at a random moment."""

    def __init__(self, sim, config, kind, way, rng):
        self.sim, self.kind, self.way, self.rng = sim, kind, way, rng
        self.full_port = FullPort(sim.base_url) if kind.has_full_port else None
        self.recorder = EventRecorder(self._react)
        where = {"base_url": self.full_port.base_url} if self.full_port else {}
        self.provider = ChatGPTProvider({**config, **kind.settings, **where}, self.recorder.coordinator)
        self.stopped_at = 0.0
        self._countdown = rng.randrange(kind.stop_after) if isinstance(kind.stop_after, int) else -1

    async def perform(self):
        """Run the call; return what it raised, and the seconds its connection stayed open after the stop."""
        for path, fault in self.kind.faults(self.rng):
            self.sim.misbehave(path, fault)
        self.sim.reply_with(*self.kind.replies)
        self._call = asyncio.create_task(self.provider.complete(ask(**self.kind.request)))
        await self._moment()
        outcome = (await asyncio.gather(self._call, return_exceptions=True))[0]
        await asyncio.to_thread(self.sim.wait_until, lambda: not self.sim.connections_open)
        return outcome, time.monotonic() - self.stopped_at

    async def ask_again(self):
        """Make the next call on the same provider, without faults."""
        for path in (RESPONSES, TOKEN):
            self.sim.behave(path)
        self.sim.release()
        self.recorder.coordinator.cancellation.reset()
        self.recorder.log.clear()
        if self.full_port:
            await self.full_port.open()
        return await self.provider.complete(ask())

    async def close(self):
        await self.provider.close()
        if self.full_port:
            await self.full_port.close()

    async def _moment(self):
        if isinstance(self.kind.stop_after, int):
            return
        if self.kind.stop_after:
            await self.recorder.heard(self.kind.stop_after)
        else:
            await stalled(self.sim)
        for _ in range(self.rng.randrange(30)):
            await asyncio.sleep(0)
        self._stop()

    def _react(self, event, data):
        before = self._countdown
        self._countdown -= len(data.get("text", "."))
        if before >= 0 > self._countdown:
            self._stop()

    def _stop(self):
        self.stopped_at = time.monotonic()
        if self.way == "session":
            self.recorder.coordinator.cancellation.request_immediate()
        else:
            self._call.cancel()


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def stop_at_any_moment(sim, config, token_file, kind, way, moment):
    """Stop one call of a kind and check the result; return how long its connection stayed open."""
    # Of its own, because a renewal may end a moment later than the call it was for.
    token_file = token_file.with_name(f"tokens-{moment}-{way}.json")
    write_tokens(token_file, sim.sign_in(expires_in=-60 if kind.token == "expired" else 86_400))
    config = {**config, "token_file_path": str(token_file)}
    stage = Stage(sim, config, kind, way, Random(f"{moment}"))
    outcome, seconds = await stage.perform()
    assert type(outcome) is WAYS[way]
    assert_coherent(stage.recorder.log)
    response = stage.recorder.response
    assert (response["status"], response["error_type"]) == ("cancelled", type(outcome).__name__)
    assert (STREAM_ABORTED in stage.recorder.names) is (STREAM_DELTA in stage.recorder.names)
    assert busy_connections(stage.provider) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}
    renewals = len(sim.requests_to(TOKEN))
    assert (await stage.ask_again()).text
    assert stage.recorder.response["status"] == "ok"
    if renewals:
        assert len(sim.requests_to(TOKEN)) == renewals, "a renewal that was started is not lost"
        used_token = sim.requests_to(TOKEN)[-1].json["refresh_token"]
        await eventually(lambda: used_token not in token_file.read_text())
    await stage.close()
    return seconds


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_call_that_is_stopped_leaves_nothing_behind(sim, config, token_file, kind, way):
    await stop_at_any_moment(sim, config, token_file, kind, way, 0)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_every_kind_of_call_can_be_stopped_at_twenty_moments(sim, config, token_file, kind):
    """Alternately stopped by the session and by cancelling the task.

    The connection is closed within 0.3 s. The median is checked, because the machine may be busy.
    """
    ways = [*WAYS] * 10
    await stop_at_any_moment(sim, config, token_file, kind, ways[0], 0)
    files, seconds = open_files(), []
    for moment, way in enumerate(ways):
        sim.forget()
        seconds.append(await stop_at_any_moment(sim, config, token_file, kind, way, moment))
    assert statistics.median(seconds) < 0.3
    await eventually(lambda: open_files() <= files)


async def test_a_call_after_a_stop_sends_nothing(sim, recorder, start_call):
    await start_call(recorder)
    recorder.log.clear()
    recorder.coordinator.cancellation.request_immediate()
    with pytest.raises(AbortError):
        await start_call(recorder)
    assert recorder.response["status"] == "cancelled"
    assert len(sim.requests) == 1


async def test_a_stop_followed_by_a_cancelled_task_raises_cancelled_error(sim, recorder, start_call):
    """As when the user presses Ctrl-C twice."""
    sim.misbehave(RESPONSES, ALL_BUT_THE_LAST)
    call = start_call(recorder)
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_immediate()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert_coherent(recorder.log)


async def test_the_response_is_emitted_even_if_the_task_is_cancelled_during_the_abort(sim, start_call):
    sim.misbehave(RESPONSES, ALL_BUT_THE_LAST)
    calls: list[asyncio.Task] = []
    recorder = EventRecorder(lambda event, _: event == STREAM_ABORTED and calls[0].cancel())
    calls.append(call := start_call(recorder))
    await recorder.heard(STREAM_DELTA)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert_coherent(recorder.log)
    assert recorder.response["status"] == "cancelled"


async def test_a_listener_that_never_returns_does_not_block_a_stopped_call(sim, recorder, start_call):
    never = asyncio.Event()

    async def block(event, data):
        recorder.coordinator.cancellation.request_immediate()
        await never.wait()

    recorder.coordinator.hooks.register(STREAM_DELTA, block, name="block")
    with pytest.raises(AbortError):
        await start_call(recorder)
    assert recorder.response["status"] == "cancelled"
    assert sim.wait_until(lambda: not sim.connections_open)


async def test_looking_up_the_latest_model_is_aborted_too(sim, recorder, start_call):
    sim.misbehave("/codex/models", Fault(stall_before_headers=True))
    call = start_call(recorder, default_model="latest")
    await stalled(sim)
    recorder.coordinator.cancellation.request_immediate()
    with pytest.raises(AbortError):
        await call
    assert sim.stalled, "the list was not waited for"
    sim.release()
    assert recorder.names == ["llm:request", "llm:response"]
    assert sim.requests_to(RESPONSES) == []
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


async def test_a_graceful_stop_lets_the_running_call_finish(sim, recorder, start_call):
    sim.misbehave(RESPONSES, Fault(stall_after_event=9))
    call = start_call(recorder)
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_graceful()
    await stalled(sim)
    sim.release()
    assert (await call).text
    assert recorder.response["status"] == "ok"


async def test_after_a_graceful_stop_a_failed_attempt_is_not_retried(sim, recorder, start_call):
    sim.misbehave(RESPONSES, Fault(stall_after_event=9, cut_after_event=10))
    call = start_call(recorder)
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_graceful()
    await stalled(sim)
    sim.release()
    with pytest.raises(StreamError):
        await call
    assert "provider:retry" not in recorder.names
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_a_graceful_stop_ends_the_wait_before_a_retry_with_the_failure(sim, recorder, start_call):
    sim.misbehave(RESPONSES, Fault(status=503, headers={"retry-after": "50"}))
    call = start_call(recorder)
    await recorder.heard("provider:retry")
    recorder.coordinator.cancellation.request_graceful()
    async with asyncio.timeout(25):
        with pytest.raises(ProviderUnavailableError, match="HTTP 503"):
            await call
    assert recorder.response["status"] == "error"
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_after_a_graceful_stop_a_cut_answer_is_not_continued(sim, recorder, start_call):
    sim.max_output_cut = 1
    sim.misbehave(RESPONSES, Fault(stall_after_event=9))
    call = start_call(recorder, "Tell me of owls.")
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_graceful()
    await stalled(sim)
    sim.release()
    assert (await call).finish_reason == "length"
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_a_finished_call_does_not_wait_for_the_next_poll_of_the_flag():
    done = asyncio.get_running_loop().create_future()

    async def work():
        return await done

    guarded = asyncio.create_task(Cancellation(None).guard(work()))
    await asyncio.sleep(0)
    done.set_result("done")
    for _ in range(10):
        await asyncio.sleep(0)
    assert guarded.done()


async def test_a_stop_and_a_cancelled_caller_cancel_the_work_once():
    cancelled = []

    async def work():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("once")
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                cancelled.append("twice")
            raise

    token = SimpleNamespace(is_immediate=False)
    guarded = asyncio.create_task(Cancellation(SimpleNamespace(cancellation=token)).guard(work()))
    await asyncio.sleep(0)
    token.is_immediate = True
    await eventually(lambda: cancelled)
    guarded.cancel()
    with pytest.raises(asyncio.CancelledError):
        await guarded
    assert cancelled == ["once"]
