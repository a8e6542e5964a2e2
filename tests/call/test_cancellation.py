"""A call that is told to stop: at any moment, by its session or by its task, and what is left behind."""

import asyncio
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
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


class FullHouse:
    """A port whose queue of connections is full: whoever connects waits until it ``opens``."""

    def __init__(self, target):
        self._target = urlsplit(target)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._guests = [self._guest() for _ in range(2)]
        self._tasks = set()
        self._server = None
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/backend-api"

    def _guest(self):
        guest = socket.socket()
        guest.setblocking(False)
        guest.connect_ex(self._socket.getsockname())
        return guest

    async def open(self):
        """Serve what the target serves, from now on."""
        for guest in self._guests:
            guest.close()
        self._server = await asyncio.start_server(self._relay, sock=self._socket)

    async def close(self):
        for guest in self._guests:
            guest.close()
        (self._server or self._socket).close()
        await asyncio.gather(*self._tasks)

    async def _relay(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


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
async def begin(config):
    """Begins a call whose events a listener hears."""
    providers = []

    def call(recorder, text="Say hello.", **settings):
        providers.append(ChatGPTProvider({**config, **settings}, recorder.coordinator))
        return asyncio.create_task(providers[-1].complete(ask(text)))

    yield call
    for provider in providers:
        await provider.close()


@dataclass
class Kind:
    """One kind of call that never ends by itself, and when it is stopped.

    ``faults`` and ``replies`` are given a source of chance. The call is stopped when listeners have heard
    n events and characters, with n below ``heard``, or some turns of the loop after ``heard`` names an
    event or, as None, after the simulator fell silent.
    """

    faults: Callable[[Random], list[tuple[str, Fault]]] = lambda _: [(RESPONSES, ALL_BUT_THE_LAST)]
    replies: list[Reply] = field(default_factory=list)
    heard: int | str | None = None
    request: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    token: str = "valid"
    full_house: bool = False


def _stalls(path, **fault):
    return lambda _: [(path, Fault(**fault))]


LONG = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "word " * 3000}]}
KINDS = {
    "a short answer": Kind(heard=7),
    "a long stream": Kind(replies=[Reply(items=[LONG])], heard=15_000),
    "no head yet": Kind(faults=_stalls(RESPONSES, stall_before_headers=True)),
    "silence in the stream": Kind(
        faults=lambda chance: [(RESPONSES, Fault(stall_after_event=chance.randint(1, 12)))]
    ),
    "tool calls": Kind(
        faults=lambda chance: [(RESPONSES, Fault(stall_after_event=chance.randint(1, 25)))],
        request={"text": "What time is it?", "tools": TOOLS},
        settings={"reasoning_effort": "high"},
    ),
    "a wait between attempts": Kind(
        faults=lambda _: [(RESPONSES, Fault(status=503, headers={"retry-after": "50"}))],
        heard="provider:retry",
    ),
    "connecting": Kind(heard="llm:request", full_house=True, settings={"connect_timeout": 60}),
    "a renewal of the token": Kind(faults=_stalls(TOKEN, stall_before_headers=True), token="expired"),
    "the rescue of a refused token": Kind(
        faults=lambda chance: [
            (RESPONSES, Fault(status=401)),
            (chance.choice([TOKEN, RESPONSES]), Fault(stall_before_headers=True)),
        ],
    ),
    "a continuation": Kind(
        replies=[Reply(end="incomplete")],
        faults=lambda chance: [
            (RESPONSES, Fault()),
            (RESPONSES, Fault(stall_after_event=chance.randint(1, 12))),
        ],
    ),
}
WAYS = {"session": AbortError, "task": asyncio.CancelledError}


class Stage:
    """One call of a kind, stopped at a moment of chance."""

    def __init__(self, sim, config, kind, way, chance):
        self.sim, self.kind, self.way, self.chance = sim, kind, way, chance
        self.house = FullHouse(sim.base_url) if kind.full_house else None
        self.recorder = EventRecorder(self._react)
        where = {"base_url": self.house.base_url} if self.house else {}
        self.provider = ChatGPTProvider({**config, **kind.settings, **where}, self.recorder.coordinator)
        self.stopped_at = 0.0
        self._countdown = chance.randrange(kind.heard) if isinstance(kind.heard, int) else -1

    async def perform(self):
        """Run the call to its end; return what it raised and how long its connection outlived the stop."""
        for path, fault in self.kind.faults(self.chance):
            self.sim.misbehave(path, fault)
        self.sim.reply_with(*self.kind.replies)
        self._call = asyncio.create_task(self.provider.complete(ask(**self.kind.request)))
        await self._moment()
        outcome = (await asyncio.gather(self._call, return_exceptions=True))[0]
        await asyncio.to_thread(self.sim.wait_until, lambda: not self.sim.connections_open)
        return outcome, time.monotonic() - self.stopped_at

    async def ask_again(self):
        """Make the next call on the same provider, with nothing in its way."""
        for path in (RESPONSES, TOKEN):
            self.sim.behave(path)
        self.sim.release()
        self.recorder.coordinator.cancellation.reset()
        self.recorder.log.clear()
        if self.house:
            await self.house.open()
        return await self.provider.complete(ask())

    async def close(self):
        await self.provider.close()
        if self.house:
            await self.house.close()

    async def _moment(self):
        if isinstance(self.kind.heard, int):
            return
        if self.kind.heard:
            await self.recorder.heard(self.kind.heard)
        else:
            await stalled(self.sim)
        for _ in range(self.chance.randrange(30)):
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
    """Stop one call of a kind and hold what is promised; return how long its connection stayed open."""
    write_tokens(token_file, sim.sign_in(expires_in=-60 if kind.token == "expired" else 86_400))
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
        assert len(sim.requests_to(TOKEN)) == renewals, "a renewal that was begun is not lost"
        spent = sim.requests_to(TOKEN)[-1].json["refresh_token"]
        await eventually(lambda: spent not in token_file.read_text())
    await stage.close()
    return seconds


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_a_call_that_is_stopped_leaves_nothing_behind(sim, config, token_file, kind, way):
    await stop_at_any_moment(sim, config, token_file, kind, way, 0)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
async def test_twenty_moments_of_every_kind_of_call(sim, config, token_file, kind):
    """By turns stopped by the session and by the task.

    The connection is closed within 0.3 s: the median is judged, for the machine may be busy.
    """
    ways = [*WAYS] * 10
    await stop_at_any_moment(sim, config, token_file, kind, ways[0], 0)
    files, took = open_files(), []
    for moment, way in enumerate(ways):
        sim.forget()
        took.append(await stop_at_any_moment(sim, config, token_file, kind, way, moment))
    assert statistics.median(took) < 0.3
    await eventually(lambda: open_files() <= files)


async def test_a_session_that_was_stopped_before_sends_nothing(sim, recorder, begin):
    await begin(recorder)
    recorder.log.clear()
    recorder.coordinator.cancellation.request_immediate()
    with pytest.raises(AbortError):
        await begin(recorder)
    assert recorder.response["status"] == "cancelled"
    assert len(sim.requests) == 1


async def test_a_second_stop_that_hits_the_task_too_is_a_cancelled_task(sim, recorder, begin):
    """As when a person presses Ctrl-C twice."""
    sim.misbehave(RESPONSES, ALL_BUT_THE_LAST)
    call = begin(recorder)
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_immediate()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert_coherent(recorder.log)


async def test_the_response_is_told_even_if_the_task_is_cancelled_while_the_abort_is_told(sim, begin):
    sim.misbehave(RESPONSES, ALL_BUT_THE_LAST)
    calls: list[asyncio.Task] = []
    recorder = EventRecorder(lambda event, _: event == STREAM_ABORTED and calls[0].cancel())
    calls.append(call := begin(recorder))
    await recorder.heard(STREAM_DELTA)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert_coherent(recorder.log)
    assert recorder.response["status"] == "cancelled"


async def test_a_listener_that_never_returns_does_not_hold_a_stopped_call(sim, recorder, begin):
    never = asyncio.Event()

    async def block(event, data):
        recorder.coordinator.cancellation.request_immediate()
        await never.wait()

    recorder.coordinator.hooks.register(STREAM_DELTA, block, name="block")
    with pytest.raises(AbortError):
        await begin(recorder)
    assert recorder.response["status"] == "cancelled"
    assert sim.wait_until(lambda: not sim.connections_open)


async def test_looking_up_the_latest_model_is_broken_off_too(sim, recorder, begin):
    sim.misbehave("/codex/models", Fault(stall_before_headers=True))
    call = begin(recorder, default_model="latest")
    await stalled(sim)
    recorder.coordinator.cancellation.request_immediate()
    with pytest.raises(AbortError):
        await call
    assert sim.stalled, "the list was not waited for"
    sim.release()
    assert recorder.names == ["llm:request", "llm:response"]
    assert sim.requests_to(RESPONSES) == []
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})


async def test_a_graceful_stop_lets_the_running_call_finish(sim, recorder, begin):
    sim.misbehave(RESPONSES, Fault(stall_after_event=9))
    call = begin(recorder)
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_graceful()
    await stalled(sim)
    sim.release()
    assert (await call).text
    assert recorder.response["status"] == "ok"


async def test_after_a_graceful_stop_a_failed_attempt_is_not_repeated(sim, recorder, begin):
    sim.misbehave(RESPONSES, Fault(stall_after_event=9, cut_after_event=10))
    call = begin(recorder)
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_graceful()
    await stalled(sim)
    sim.release()
    with pytest.raises(StreamError):
        await call
    assert "provider:retry" not in recorder.names
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_a_graceful_stop_during_a_wait_ends_the_wait_with_its_failure(sim, recorder, begin):
    sim.misbehave(RESPONSES, Fault(status=503, headers={"retry-after": "50"}))
    call = begin(recorder)
    await recorder.heard("provider:retry")
    recorder.coordinator.cancellation.request_graceful()
    async with asyncio.timeout(25):
        with pytest.raises(ProviderUnavailableError, match="HTTP 503"):
            await call
    assert recorder.response["status"] == "error"
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_after_a_graceful_stop_an_answer_that_was_cut_is_not_continued(sim, recorder, begin):
    sim.max_output_cut = 1
    sim.misbehave(RESPONSES, Fault(stall_after_event=9))
    call = begin(recorder, "Tell me of owls.")
    await recorder.heard(STREAM_DELTA)
    recorder.coordinator.cancellation.request_graceful()
    await stalled(sim)
    sim.release()
    assert (await call).finish_reason == "length"
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_a_call_that_is_done_is_not_held_until_the_next_look_at_the_flag():
    done = asyncio.get_running_loop().create_future()

    async def work():
        return await done

    guarded = asyncio.create_task(Cancellation(None).guard(work()))
    await asyncio.sleep(0)
    done.set_result("done")
    for _ in range(10):
        await asyncio.sleep(0)
    assert guarded.done()
