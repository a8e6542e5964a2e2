"""What hooks hear of a call: one request, one response, and all between them, whoever listens."""

import asyncio
import json
from types import SimpleNamespace
from unittest.mock import AsyncMock, MagicMock

import pytest
from amplifier_core import HookResult
from amplifier_core.llm_errors import LLMError, QuotaExceededError
from amplifier_core.message_models import ChatRequest, Message, ToolSpec
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call.events import (
    EVENTS,
    STREAM_ABORTED,
    STREAM_DELTA,
    STREAM_START,
)
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from tests.event_recorder import RESPONSES, EventRecorder, ask, assert_coherent, shown, stalled

TIME = ToolSpec(name="get_time", description="Tells the time.", parameters={"type": "object"})
IN_ONE_READ = Fault(piece_size=1_000_000)
FAR_BEHIND_THE_LAST = 10_000


@pytest.fixture
async def recorder():
    return EventRecorder()


@pytest.fixture
async def call(config, recorder):
    """Calls a provider with these settings, and returns the answer or the error."""
    made = []

    async def run(request=None, *, coordinator=recorder.coordinator, kwargs=(), **settings):
        made.append(ChatGPTProvider({**config, **settings}, coordinator))
        try:
            return await made[-1].complete(request or ask(), **dict(kwargs))
        except LLMError as error:
            return error

    yield run
    for provider in made:
        await provider.close()


def frames(*events):
    """Events as a backend may write them, half surrogate pairs and NaN included."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def said(*deltas, **response):
    place = {"output_index": 0}
    begun = {"type": "response.output_item.added", **place, "item": {"type": "message", "id": "m"}}
    grown = [{"type": "response.output_text.delta", **place, "delta": delta} for delta in deltas]
    item = {"type": "message", "content": [{"type": "output_text", "text": "".join(deltas)}]}
    done = {"type": "response.output_item.done", **place, "item": item}
    return frames(begun, *grown, done, {"type": "response.completed", "response": response})


def status(code, **error):
    return Fault(status=code, body={"error": {"message": "No.", **error}})


PATHS = {
    "an answer": ({}, {}, "ok"),
    "a tool call": ({}, {"tools": [TIME], "text": "What time is it?"}, "ok"),
    "a refused request": ({"faults": [status(400)]}, {}, "InvalidRequestError"),
    "a sign-in refused for good": ({"faults": [status(401)] * 4}, {}, "AuthenticationError"),
    "a passing failure": ({"faults": [status(503)]}, {}, "ok"),
    "a failure that stays": ({"faults": [status(503)] * 4}, {}, "ProviderUnavailableError"),
    "a hang-up": ({"faults": [Fault(drop_connection=True)] * 4}, {}, "NetworkError"),
    "a cut before the text": ({"faults": [Fault(cut_after_event=2)] * 4}, {}, "StreamError"),
    "a cut in the text": ({"faults": [Fault(cut_after_event=9)]}, {}, "ok"),
    "cuts in the text": ({"faults": [Fault(cut_after_event=9)] * 4}, {}, "StreamError"),
    "an early end": ({"faults": [Fault(end_after_event=-1)] * 4}, {}, "StreamError"),
    "silence": ({"faults": [Fault(stall_after_event=9)] * 4}, {"timeout": 0.05}, "LLMTimeoutError"),
    "garbage": ({"faults": [Fault(body="data: garbage\n\n")] * 4}, {}, "StreamError"),
    "a failure in the stream": (
        {"replies": [Reply(end="failed", error={"code": "cyber_policy", "message": "No."})]},
        {},
        "ContentFilterError",
    ),
    "a continued answer": ({"replies": [Reply(end="incomplete")]}, {}, "ok"),
    "a continuation that fails": (
        {"replies": [Reply(end="incomplete"), Reply(end="failed", error={"code": "cyber_policy"})]},
        {},
        "ok",
    ),
    "an effort that is none": ({}, {"reasoning_effort": "huge"}, "InvalidRequestError"),
    "a model that is none": ({}, {"model": "gpt-0"}, "NotFoundError"),
}


@pytest.mark.parametrize(("scene", "options", "outcome"), PATHS.values(), ids=PATHS)
async def test_every_request_gets_exactly_one_response(sim, recorder, call, scene, options, outcome):
    for fault in scene.get("faults", ()):
        sim.misbehave(RESPONSES, fault)
    sim.reply_with(*scene.get("replies", ()))
    result = await call(ask(**options))
    assert_coherent(recorder.log)
    if outcome == "ok":
        assert recorder.response["status"] == "ok"
        texts = [getattr(block, "text", getattr(block, "thinking", "")) for block in result.content]
        assert shown(recorder.log) == {place: text for place, text in enumerate(texts) if text}
    else:
        assert type(result).__name__ == outcome
        failed = {key: recorder.response[key] for key in ("status", "error", "error_type")}
        assert failed == {"status": "error", "error": str(result), "error_type": outcome}


async def test_a_call_that_is_never_sent_has_its_request_and_response_too(recorder, call, tmp_path):
    error = await call(token_file_path=str(tmp_path / "none.json"))
    assert_coherent(recorder.log)
    assert recorder.names == ["llm:request", "llm:response"]
    assert recorder.response["error"] == str(error)


async def test_a_bad_environment_is_told_by_the_first_call(recorder, call, monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", "~nobody-of-this-name/x")
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", "http://example.com")
    error = await call(base_url=None)
    assert "OPENAI_CHATGPT_BASE_URL" in str(error)
    assert_coherent(recorder.log)
    assert recorder.response["error_type"] == "EnvironmentRefusedError"


async def test_a_fault_of_our_own_is_a_kernel_error_that_says_so(recorder, call):
    error = await call(ChatRequest.model_construct(messages=[object()], model=None, metadata=None))
    assert type(error) is LLMError
    assert str(error).startswith("The provider failed unexpectedly (")
    assert_coherent(recorder.log)
    assert recorder.response["error"] == str(error)


async def test_events_of_one_call_come_in_order(sim, recorder, call):
    """Blocks follow each other; what a cut voids is declared void before the retry is announced."""
    sim.misbehave(RESPONSES, Fault(cut_after_event=9))
    await call(ask("What time is it?", tools=[TIME]), reasoning_effort="medium")
    short = {name.removeprefix("llm:").removeprefix("stream_block_"): None for name in recorder.names}
    assert list(short) == [
        *("request", "start", "delta", "end", "stream_aborted"),
        *("provider:retry", "response"),
    ]
    after = recorder.log[recorder.names.index("provider:retry") + 1 :]
    blocks = [
        (name, data["block_type"]) for name, data in after if name != STREAM_DELTA and data.get("block_type")
    ]
    assert blocks == [
        (f"llm:stream_block_{moment}", kind)
        for kind in ("thinking", "text", "tool_use")
        for moment in ("start", "end")
    ]
    assert [data.get("name") for data in recorder.of(STREAM_START)][-3:] == [None, None, "get_time"]


async def test_calls_at_once_keep_their_events_apart(recorder, call):
    await asyncio.gather(*(call(ask(f"Tell me about {number} owls.")) for number in range(8)))
    ids = {data["request_id"] for _, data in recorder.log}
    assert len(ids) == 8
    for one in ids:
        assert_coherent([entry for entry in recorder.log if entry[1]["request_id"] == one])


async def test_the_first_words_are_heard_before_the_rest_is_sent(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(stall_after_event=9))
    running = asyncio.create_task(call())
    await recorder.heard(STREAM_DELTA)
    assert "llm:response" not in recorder.names
    await stalled(sim)
    sim.release()
    await running
    assert recorder.response["status"] == "ok"


async def test_deltas_of_one_read_are_one_event_per_block(sim, recorder, call):
    sim.misbehave(RESPONSES, IN_ONE_READ)
    answer = await call(reasoning_effort="medium")
    deltas = [(data["block_index"], data["sequence"], data["text"]) for data in recorder.of(STREAM_DELTA)]
    assert deltas == [(0, 0, answer.content[0].thinking), (1, 0, answer.content[1].text)]


async def test_deltas_of_several_reads_are_counted_per_block(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(pace=0.002))
    await call(reasoning_effort="medium")
    assert_coherent(recorder.log)
    assert {data["block_index"] for data in recorder.of(STREAM_DELTA) if data["sequence"] == 2} == {0, 1}


async def test_a_listener_that_fails_or_denies_changes_nothing(recorder, call):
    async def fail(event, data):
        raise RuntimeError("listener")

    async def deny(event, data):
        return HookResult(action="deny", reason="no")

    for event in EVENTS:
        recorder.coordinator.hooks.register(event, fail, name=f"fail:{event}")
        recorder.coordinator.hooks.register(event, deny, name=f"deny:{event}")
    answer = await call()
    assert answer.text
    assert_coherent(recorder.log)
    assert shown(recorder.log) == {0: answer.text}


async def test_a_slow_listener_delays_the_stream_and_loses_nothing_of_it(sim, call):
    """It hears the rest of an answer that was all sent while it dawdled over the first words."""
    coordinator, texts = MockCoordinator(), []

    async def dawdle(event, data):
        texts.append(data["text"])
        if len(texts) == 1:
            await stalled(sim)
            sim.release()
            await asyncio.to_thread(sim.wait_until, lambda: not sim.connections_open)

    coordinator.hooks.register(STREAM_DELTA, dawdle)
    sim.misbehave(RESPONSES, Fault(stall_after_event=9))
    answer = await call(ask("Tell me about owls."), coordinator=coordinator)
    assert "".join(texts) == answer.text


def foreign(**hooks):
    return SimpleNamespace(hooks=SimpleNamespace(**hooks))


def _raise(*_):
    raise RuntimeError("registry")


STRANGERS = {
    "none": None,
    "no hooks": SimpleNamespace(),
    "hooks are none": SimpleNamespace(hooks=None),
    "a mock whose every flag is true": MagicMock(),
    "a mock that can be awaited": AsyncMock(),
    "a mock with hooks that can be awaited": MagicMock(hooks=AsyncMock()),
    "emit raises": foreign(emit=_raise),
    "emit is no coroutine": foreign(emit=lambda *_: None, list_handlers=lambda _: {}),
    "listing raises": foreign(emit=AsyncMock(), list_handlers=_raise),
    "nothing at all": foreign(),
}


@pytest.mark.parametrize("coordinator", STRANGERS.values(), ids=STRANGERS)
async def test_any_coordinator_will_do(sim, call, coordinator):
    answer = await call(ask(conversation_id=None), coordinator=coordinator)
    assert answer.text
    [request] = sim.requests_to(RESPONSES)
    assert "Mock" not in str(request.headers) + str(request.json)


async def test_a_registry_that_cannot_list_its_listeners_is_told_everything(call):
    emit = AsyncMock()
    await call(coordinator=foreign(emit=emit))
    names = [emitted.args[0] for emitted in emit.await_args_list]
    assert names[0] == "llm:request"
    assert STREAM_DELTA in names
    assert names[-1] == "llm:response"


async def test_half_a_surrogate_pair_waits_for_its_other_half(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(body=said("A \ud83d", "\ude00!", " \udc00 end")))
    answer = await call()
    assert answer.text == "A 😀! \N{REPLACEMENT CHARACTER} end"
    assert shown(recorder.log) == {0: answer.text}


ODD = {
    "a model name": {"request": ask(model="gpt-\ud800")},
    "numbers of the backend": {"fault": Fault(body=said("Hi", usage={"input_tokens": float("nan")}))},
    "a refusal": {"fault": Fault(status=400, body=b'{"detail": "bad \\ud83d"}')},
    "a tool": {
        "request": ask(tools=[ToolSpec(name="t", parameters={"type": "object", "x": ("a", float("inf"))})])
    },
    "a prompt": {"request": ask("half \ud83d")},
    "a setting": {"settings": {"extra_request_params": {"metadata": {"x": float("nan"), "y": ("\udfff",)}}}},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_no_payload_is_too_odd_for_the_kernel(sim, recorder, call, odd):
    if "fault" in odd:
        sim.misbehave(RESPONSES, odd["fault"])
    await call(odd.get("request"), raw=True, **odd.get("settings", {}))
    assert_coherent(recorder.log)
    json.dumps(recorder.log, allow_nan=False).encode()


async def test_use_streaming_false_keeps_the_stream_to_itself(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(cut_after_event=9))
    assert (await call(use_streaming=False)).text
    assert set(recorder.names) == {"llm:request", "provider:retry", "llm:response"}
    assert recorder.of("llm:request")[0]["streaming"] is False


@pytest.mark.parametrize(
    ("stream", "is_heard"),
    [(False, False), (0, True), (None, True), ("false", True), ([], True), (True, True)],
    ids=repr,
)
async def test_only_false_itself_silences_one_call(config, recorder, stream, is_heard):
    provider = ChatGPTProvider(config, recorder.coordinator)
    await provider.complete(ask(metadata={"stream": stream}))
    assert (STREAM_DELTA in recorder.names) is is_heard
    recorder.log.clear()
    await provider.complete(ask())
    assert STREAM_DELTA in recorder.names, "the next call is not affected"
    await provider.close()


async def test_usage_of_event_and_response_agree_in_the_documented_spelling(sim, recorder, call):
    details = {"input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 7}}
    counts = {"input_tokens": 1200, "output_tokens": 64, "output_tokens_details": {"reasoning_tokens": 32}}
    sim.reply_with(Reply(usage={**counts, **details}))
    answer = await call()
    assert recorder.response["usage"] == {
        "input_tokens": 1200,
        "output_tokens": 64,
        "total_tokens": 1264,
        "reasoning_tokens": 32,
        "cache_read_tokens": 1024,
        "cache_write_tokens": 7,
        "cost_usd": None,
    }
    assert answer.usage.model_dump() == recorder.response["usage"]


async def test_caches_that_were_not_used_are_left_out_of_the_usage(recorder, call):
    await call()
    usage = recorder.response["usage"]
    assert set(usage) == {"input_tokens", "output_tokens", "total_tokens", "reasoning_tokens", "cost_usd"}


async def test_a_response_tells_how_long_the_call_took_and_what_is_left_of_the_limits(sim, recorder, call):
    sim.use_quota(12, 40)
    await call()
    assert isinstance(recorder.response["duration_ms"], float)
    windows = recorder.response["rate_limits"]["windows"]
    assert [(window["name"], window["used_percent"]) for window in windows] == [
        ("5-hour", 12),
        ("weekly", 40),
    ]


@pytest.mark.parametrize("as_status", [429, 404, 200])
async def test_a_refusal_tells_of_the_limits_too(sim, recorder, call, as_status):
    sim.exhaust(status=as_status)
    assert isinstance(await call(), QuotaExceededError)
    windows = recorder.response["rate_limits"]["windows"]
    assert windows[0]["used_percent"] == 100
    assert [news["reason"] for news in recorder.of("provider:throttle")] == ["usage_limit_reached"]


async def test_a_window_past_ninety_percent_is_news_once(sim, config, recorder):
    sim.use_quota(89, 95, each=1)
    provider = ChatGPTProvider(config, recorder.coordinator)
    for _ in range(4):
        await provider.complete(ask())
    await provider.close()
    news = recorder.of("provider:throttle")
    assert [one["dimension"] for one in news] == ["5-hour", "weekly"]
    assert {"provider", "model", "request_id", "reason", "remaining", "limit", "ratio", "delay"} <= set(
        news[0]
    )
    assert news[0]["remaining"] == pytest.approx(10)
    assert news[1]["reset_timestamp"]


async def test_a_retry_is_announced_with_all_that_a_person_may_ask(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(status=503, headers={"retry-after-ms": "1"}))
    sim.misbehave(RESPONSES, Fault(drop_connection=True))
    await call(max_retries=5)
    first, second = recorder.of("provider:retry")
    assert {key: first[key] for key in ("attempt", "max_retries", "error_type", "retry_after")} == {
        "attempt": 1,
        "max_retries": 5,
        "error_type": "ProviderUnavailableError",
        "retry_after": 0.001,
    }
    assert first["delay"] == 0.001
    assert "HTTP 503" in first["error_message"]
    assert second["attempt"] == 2
    assert "retry_after" not in second
    assert STREAM_ABORTED not in recorder.names


async def test_an_aborted_stream_says_why(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(cut_after_event=9), times=None)
    error = await call(max_retries=0)
    assert recorder.of(STREAM_ABORTED)[0]["error"] == {"type": "StreamError", "msg": str(error)}
    assert recorder.names[-2:] == [STREAM_ABORTED, "llm:response"]


async def test_a_continuation_is_announced_and_numbered(sim, recorder, call):
    sim.max_output_cut = 2
    answer = await call(ask("Tell me about owls."), max_continuations=5)
    first, second = recorder.of("provider:incomplete_continuation")
    assert (first["continuation_number"], second["continuation_number"], first["max_attempts"]) == (1, 2, 5)
    assert first["reason"] == "max_output_tokens"
    assert first["response_id"].startswith("resp_")
    assert shown(recorder.log) == dict(enumerate(block.text for block in answer.content))


async def test_a_repaired_history_is_announced(recorder, call):
    turn = {"type": "tool_call", "id": "call_1", "name": "get_time", "input": {}}
    messages = [
        Message(role="user", content="Time?"),
        Message(role="assistant", content=[turn]),
        Message(role="user", content="Well?"),
    ]
    await call(ChatRequest(messages=messages))
    [repaired] = recorder.of("provider:tool_sequence_repaired")
    assert repaired["repair_count"] == 1
    assert repaired["repairs"] == [{"tool_call_id": "call_1", "tool_name": "get_time"}]


@pytest.mark.parametrize("raw", [True, False])
async def test_raw_payloads_come_only_when_asked_for_and_without_secrets(
    sim, recorder, config, token_file, raw
):
    tokens = json.loads(token_file.read_text())
    provider = ChatGPTProvider({**config, "raw": raw, "reasoning_effort": "high"}, recorder.coordinator)
    first = await provider.complete(ask())
    turn = {"role": "assistant", "content": [block.model_dump() for block in first.content]}
    echo = f"Authorization: Bearer {tokens['access_token']} for {tokens['account_id']}"
    sim.misbehave(RESPONSES, Fault(status=400, body={"detail": echo}), times=None)
    with pytest.raises(LLMError):
        await provider.complete(ChatRequest(messages=[*ask().messages, turn, *ask("Again.").messages]))
    await provider.close()
    assert [("raw" in payload) for payload in recorder.of("llm:request")] == [raw, raw]
    assert ("raw" in recorder.of("llm:response")[0]) is raw
    told = json.dumps(recorder.log)
    assert sim.sealed
    assert not [secret for secret in sim.secrets | sim.sealed if secret in told]


async def test_raw_payloads_hold_what_crossed_the_wire(sim, recorder, call):
    await call(raw=True)
    [request] = recorder.of("llm:request")
    assert request["raw"]["input"] == sim.requests_to(RESPONSES)[0].json["input"]
    events = [event["type"] for event in recorder.response["raw"]["events"]]
    assert (events[0], events[-1]) == ("response.created", "response.completed")
