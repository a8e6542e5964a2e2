"""The events of a call: one request, one response and everything in between, with any coordinator."""

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
    """Call a provider with these settings; return the answer or the error."""
    providers = []

    async def run(request=None, *, coordinator=recorder.coordinator, kwargs=(), **settings):
        providers.append(ChatGPTProvider({**config, **settings}, coordinator))
        try:
            return await providers[-1].complete(request or ask(), **dict(kwargs))
        except LLMError as error:
            return error

    yield run
    for provider in providers:
        await provider.close()


def encode_events(*events):
    """Encode events with any content, including half surrogate pairs and NaN."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def message_events(*deltas, **response):
    place = {"output_index": 0}
    begun = {"type": "response.output_item.added", **place, "item": {"type": "message", "id": "m"}}
    grown = [{"type": "response.output_text.delta", **place, "delta": delta} for delta in deltas]
    item = {"type": "message", "content": [{"type": "output_text", "text": "".join(deltas)}]}
    done = {"type": "response.output_item.done", **place, "item": item}
    return encode_events(begun, *grown, done, {"type": "response.completed", "response": response})


def refusal(status, **error):
    return Fault(status=status, body={"error": {"message": "No.", **error}})


PATHS = {
    "an answer": ({}, {}, "ok"),
    "a tool call": ({}, {"tools": [TIME], "text": "What time is it?"}, "ok"),
    "a refused request": ({"faults": [refusal(400)]}, {}, "InvalidRequestError"),
    "a sign-in refused permanently": ({"faults": [refusal(401)] * 4}, {}, "AuthenticationError"),
    "a transient failure": ({"faults": [refusal(503)]}, {}, "ok"),
    "a persistent failure": ({"faults": [refusal(503)] * 4}, {}, "ProviderUnavailableError"),
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
    "an unknown effort": ({}, {"reasoning_effort": "huge"}, "InvalidRequestError"),
    "an unknown model": ({}, {"model": "gpt-0"}, "NotFoundError"),
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


async def test_a_call_that_is_never_sent_has_a_request_and_a_response_too(recorder, call, tmp_path):
    error = await call(token_file_path=str(tmp_path / "none.json"))
    assert_coherent(recorder.log)
    assert recorder.names == ["llm:request", "llm:response"]
    assert recorder.response["error"] == str(error)


async def test_a_bad_environment_variable_is_reported_by_the_first_call(recorder, call, monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", "~nobody-of-this-name/x")
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", "http://example.com")
    error = await call(base_url=None)
    assert "OPENAI_CHATGPT_BASE_URL" in str(error)
    assert_coherent(recorder.log)
    assert recorder.response["error_type"] == "EnvironmentRefusedError"


async def test_a_bug_in_the_provider_is_a_kernel_error_that_says_so(recorder, call):
    error = await call(ChatRequest.model_construct(messages=[object()], model=None, metadata=None))
    assert type(error) is LLMError
    assert str(error).startswith("The provider failed unexpectedly (")
    assert_coherent(recorder.log)
    assert recorder.response["error"] == str(error)


async def test_events_of_one_call_come_in_order(sim, recorder, call):
    """Blocks follow each other; a cut attempt is discarded before the retry is announced."""
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


async def test_parallel_calls_have_different_request_ids(recorder, call):
    await asyncio.gather(*(call(ask(f"Tell me about {number} owls.")) for number in range(8)))
    ids = {data["request_id"] for _, data in recorder.log}
    assert len(ids) == 8
    for request_id in ids:
        assert_coherent([entry for entry in recorder.log if entry[1]["request_id"] == request_id])


async def test_the_first_delta_is_emitted_before_the_rest_is_sent(sim, recorder, call):
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


async def test_deltas_of_several_reads_are_numbered_per_block(sim, recorder, call):
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


async def test_a_slow_listener_delays_the_stream_and_misses_nothing(sim, call):
    """It gets the rest of an answer that was sent while it handled the first delta."""
    coordinator, texts = MockCoordinator(), []

    async def slow(event, data):
        texts.append(data["text"])
        if len(texts) == 1:
            await stalled(sim)
            sim.release()
            await asyncio.to_thread(sim.wait_until, lambda: not sim.connections_open)

    coordinator.hooks.register(STREAM_DELTA, slow)
    sim.misbehave(RESPONSES, Fault(stall_after_event=9))
    answer = await call(ask("Tell me about owls."), coordinator=coordinator)
    assert "".join(texts) == answer.text


def coordinator_with(**hooks):
    return SimpleNamespace(hooks=SimpleNamespace(**hooks))


def _raise(*_):
    raise RuntimeError("registry")


COORDINATORS = {
    "none": None,
    "no hooks": SimpleNamespace(),
    "hooks are none": SimpleNamespace(hooks=None),
    "a mock whose every flag is true": MagicMock(),
    "an awaitable mock": AsyncMock(),
    "a mock with awaitable hooks": MagicMock(hooks=AsyncMock()),
    "emit raises": coordinator_with(emit=_raise),
    "emit is not a coroutine": coordinator_with(emit=lambda *_: None, list_handlers=lambda _: {}),
    "listing raises": coordinator_with(emit=AsyncMock(), list_handlers=_raise),
    "nothing at all": coordinator_with(),
}


@pytest.mark.parametrize("coordinator", COORDINATORS.values(), ids=COORDINATORS)
async def test_any_coordinator_is_accepted(sim, call, coordinator):
    answer = await call(ask(conversation_id=None), coordinator=coordinator)
    assert answer.text
    [request] = sim.requests_to(RESPONSES)
    assert "Mock" not in str(request.headers) + str(request.json)


async def test_a_registry_that_cannot_list_its_listeners_gets_every_event(call):
    emit = AsyncMock()
    await call(coordinator=coordinator_with(emit=emit))
    names = [emitted.args[0] for emitted in emit.await_args_list]
    assert names[0] == "llm:request"
    assert STREAM_DELTA in names
    assert names[-1] == "llm:response"


async def test_half_a_surrogate_pair_waits_for_its_other_half(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(body=message_events("A \ud83d", "\ude00!", " \udc00 end")))
    answer = await call()
    assert answer.text == "A 😀! \N{REPLACEMENT CHARACTER} end"
    assert shown(recorder.log) == {0: answer.text}


ODD = {
    "a model name": {"request": ask(model="gpt-\ud800")},
    "counts": {"fault": Fault(body=message_events("Hi", usage={"input_tokens": float("nan")}))},
    "a refusal": {"fault": Fault(status=400, body=b'{"detail": "bad \\ud83d"}')},
    "a tool": {
        "request": ask(tools=[ToolSpec(name="t", parameters={"type": "object", "x": ("a", float("inf"))})])
    },
    "a prompt": {"request": ask("half \ud83d")},
    "a setting": {"settings": {"extra_request_params": {"metadata": {"x": float("nan"), "y": ("\udfff",)}}}},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
async def test_every_payload_is_valid_json_for_the_kernel(sim, recorder, call, odd):
    if "fault" in odd:
        sim.misbehave(RESPONSES, odd["fault"])
    await call(odd.get("request"), raw=True, **odd.get("settings", {}))
    assert_coherent(recorder.log)
    json.dumps(recorder.log, allow_nan=False).encode()


async def test_use_streaming_false_turns_stream_events_off(sim, recorder, call):
    sim.misbehave(RESPONSES, Fault(cut_after_event=9))
    assert (await call(use_streaming=False)).text
    assert set(recorder.names) == {"llm:request", "provider:retry", "llm:response"}
    assert recorder.of("llm:request")[0]["streaming"] is False


@pytest.mark.parametrize(
    ("stream", "is_emitted"),
    [(False, False), (0, True), (None, True), ("false", True), ([], True), (True, True)],
    ids=repr,
)
async def test_only_false_turns_stream_events_off_for_one_call(config, recorder, stream, is_emitted):
    provider = ChatGPTProvider(config, recorder.coordinator)
    await provider.complete(ask(metadata={"stream": stream}))
    assert (STREAM_DELTA in recorder.names) is is_emitted
    recorder.log.clear()
    await provider.complete(ask())
    assert STREAM_DELTA in recorder.names, "the next call is not affected"
    await provider.close()


async def test_the_usage_of_event_and_response_is_the_same_and_as_documented(sim, recorder, call):
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


async def test_unused_caches_are_left_out_of_the_usage(recorder, call):
    await call()
    usage = recorder.response["usage"]
    assert set(usage) == {"input_tokens", "output_tokens", "total_tokens", "reasoning_tokens", "cost_usd"}


async def test_a_response_has_the_duration_and_the_limits(sim, recorder, call):
    sim.use_quota(12, 40)
    await call()
    assert isinstance(recorder.response["duration_ms"], float)
    windows = recorder.response["rate_limits"]["windows"]
    assert [(window["name"], window["used_percent"]) for window in windows] == [
        ("5-hour", 12),
        ("weekly", 40),
    ]


@pytest.mark.parametrize("as_status", [429, 404, 200])
async def test_a_refused_call_has_the_limits_too(sim, recorder, call, as_status):
    sim.exhaust(status=as_status)
    assert isinstance(await call(), QuotaExceededError)
    windows = recorder.response["rate_limits"]["windows"]
    assert windows[0]["used_percent"] == 100
    assert [warning["reason"] for warning in recorder.of("provider:throttle")] == ["usage_limit_reached"]


async def test_a_window_past_ninety_percent_is_reported_once(sim, config, recorder):
    sim.use_quota(89, 95, each=1)
    provider = ChatGPTProvider(config, recorder.coordinator)
    for _ in range(4):
        await provider.complete(ask())
    await provider.close()
    warnings = recorder.of("provider:throttle")
    assert [warning["dimension"] for warning in warnings] == ["5-hour", "weekly"]
    assert {"provider", "model", "request_id", "reason", "remaining", "limit", "ratio", "delay"} <= set(
        warnings[0]
    )
    assert warnings[0]["remaining"] == pytest.approx(10)
    assert warnings[1]["reset_timestamp"]


async def test_a_retry_is_announced_with_attempt_delay_and_error(sim, recorder, call):
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
async def test_raw_payloads_are_emitted_only_on_request_and_without_secrets(
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
    emitted = json.dumps(recorder.log)
    assert sim.sealed
    assert not [secret for secret in sim.secrets | sim.sealed if secret in emitted]


async def test_raw_payloads_contain_what_was_sent_and_received(sim, recorder, call):
    await call(raw=True)
    [request] = recorder.of("llm:request")
    assert request["raw"]["input"] == sim.requests_to(RESPONSES)[0].json["input"]
    events = [event["type"] for event in recorder.response["raw"]["events"]]
    assert (events[0], events[-1]) == ("response.created", "response.completed")
