"""Attempts, waits, corrections and continuations of one call, as hooks and the backend see them."""

import time
from email.utils import formatdate

import pytest
from amplifier_core.llm_errors import (
    ContentFilterError,
    InvalidRequestError,
    NotFoundError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
)
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.call.turn import retry_delay
from amplifier_module_provider_openai_chatgpt.settings import Settings
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode
from tests.conftest import MODEL
from tests.event_recorder import RESPONSES, blocks
from tests.faults.harness import ANSWER, GOOD, TEXT, USAGE, Run

BUSY = Fault(status=429)
DOWN = Fault(status=503)


def message(text, **item):
    return {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text}],
        **item,
    }


def thought(text):
    return {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}


CALL = {"type": "function_call", "name": "look_out", "arguments": '{"side":"north"}', "call_id": "call_1"}
HALF = Reply(items=[thought("First"), message("It is 14 °C ")], end="incomplete", usage=USAGE)
REST = Reply(items=[thought("Then"), message("in Zürich.")], usage=USAGE)


def stopping(sim, config):
    """A call that is stopped gracefully when a retry is announced, so the test does not wait."""

    def react(event, _):
        if event == "provider:retry":
            run.recorder.coordinator.cancellation.request_graceful()

    run = Run(sim, config, react)
    return run


def rate_limit(text):
    return Fault(status=429, body={"error": {"message": text}})


def after(value, name="Retry-After"):
    return Fault(status=429, headers={name: value})


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (after("7"), 7),
        (after("7.5"), 7.5),
        (after("0"), 0),
        (after("-3"), 0),
        (after("1500", "retry-after-ms"), 1.5),
        (Fault(status=503, headers={"Retry-After": "9"}), 9),
        (Fault(status=500, headers={"Retry-After": "9", "retry-after-ms": "20"}), 0.02),
        (Fault(status=429, body={"error": {"retry_after": 4}}), 4),
        (rate_limit("Please try again in 11.054s."), 11.054),
        (rate_limit("Rate limit reached. Please try again in 250ms."), 0.25),
        (rate_limit("Try again in 1 minute 5 seconds"), 65),
        (rate_limit("Try again in 2m"), 120),
        (rate_limit("Try again later"), 0),
    ],
)
async def test_a_servers_hint_is_waited_for_in_full(sim, config, fault, seconds):
    sim.misbehave(RESPONSES, fault)
    run = await stopping(sim, {**config, "max_retry_delay": 300}).call()
    [retry] = run.recorder.of("provider:retry")
    assert retry["delay"] == pytest.approx(seconds)
    assert retry.get("retry_after", 0) == pytest.approx(seconds)
    assert len(run.asked) == 1


async def test_a_hint_may_be_a_date(sim, config):
    sim.misbehave(RESPONSES, after(formatdate(time.time() + 40, usegmt=True)))
    run = await stopping(sim, config).call()
    [retry] = run.recorder.of("provider:retry")
    assert 20 < retry["delay"] <= 40


async def test_the_hint_is_waited_for_in_real_time(sim, config):
    sim.misbehave(RESPONSES, after("150", "retry-after-ms"))
    run = await Run(sim, config).call()
    first, second = run.asked
    assert second.at - first.at >= 0.15


@pytest.mark.parametrize(
    "hint", [after("61"), rate_limit("Please try again in 2 hours."), after(formatdate(4e9, usegmt=True))]
)
async def test_a_hint_beyond_max_retry_delay_is_reported_and_not_waited_for(sim, config, hint):
    sim.misbehave(RESPONSES, hint)
    run = await Run(sim, config).call()
    assert type(run.error) is RateLimitError
    assert run.error.retryable
    assert run.error.retry_after > 60
    assert run.recorder.of("provider:retry") == []
    assert len(run.asked) == 1


async def test_without_a_hint_the_wait_doubles_up_to_its_limit_with_25_percent_jitter(sim, config):
    sim.misbehave(RESPONSES, DOWN, times=None)
    waits = {"max_retries": 4, "min_retry_delay": 0.01, "max_retry_delay": 0.03}
    run = await Run(sim, {**config, **waits}).call()
    delays = [retry["delay"] for retry in run.recorder.of("provider:retry")]
    for delay, middle in zip(delays, (0.01, 0.02, 0.03, 0.03), strict=True):
        assert 0.75 * middle <= delay <= min(1.25 * middle, 0.03)


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_attempts_are_bounded_and_counted_from_one(sim, config, most):
    sim.misbehave(RESPONSES, DOWN, times=None)
    run = await Run(sim, {**config, "max_retries": most}).call()
    assert type(run.error) is ProviderUnavailableError
    assert len(run.asked) == most + 1
    assert [(one["attempt"], one["max_retries"]) for one in run.recorder.of("provider:retry")] == [
        (number, most) for number in range(1, most + 1)
    ]


def test_the_wait_does_not_overflow_after_many_attempts():
    assert retry_delay(None, 5000, Settings(), spread=1.0) == Settings().max_retry_delay


async def test_different_failures_share_the_retries_of_a_call(sim, config):
    for fault in (DOWN, BUSY, Fault(drop_connection=True), Fault(cut_after_event=4)):
        sim.misbehave(RESPONSES, fault)
    run = await Run(sim, {**config, "max_retries": 3}).call()
    assert len(run.asked) == 4
    assert [one["error_type"] for one in run.recorder.of("provider:retry")] == [
        "ProviderUnavailableError",
        "RateLimitError",
        "NetworkError",
    ]
    assert type(run.error).__name__ == "StreamError"


async def test_the_usage_of_a_discarded_attempt_is_not_counted(sim, config):
    """The stream is complete, but one of its items never ended."""
    open_ended = [event for event in ANSWER if event["type"] != "response.output_item.done"]
    sim.reply_with(Reply(events=open_ended), GOOD)
    run = await Run(sim, config).call()
    assert run.response.text == TEXT
    assert run.response.usage.total_tokens == 79
    assert run.response.metadata["openai-chatgpt:response_id"] == "resp_1"
    assert blocks(run.log) == [("thinking", "Looking at the sky"), ("text", TEXT)]


# Fallbacks


async def ask(sim, config, *messages, model=MODEL, **fields):
    """Make another call of a session with a new provider, as sub-agents do."""
    sent = [Message(role="user", content="Hi."), *messages]
    request = ChatRequest(messages=sent, **fields)
    return await Run(sim, {**config, "default_model": model}).call(request)


def is_lite(request):
    return request.headers.get("x-openai-internal-codex-responses-lite") == "true"


async def test_a_gated_model_is_sent_its_version_now_and_later(sim, config):
    sim.version_gate = "strict"
    first = await ask(sim, config, model="gpt-5.6-sol")
    assert first.response.text
    assert [request.headers.get("version") for request in first.asked][-1] == "0.144.0"
    assert first.asked[0].headers.get("version") is None
    assert first.names() == ["llm:request", "llm:response"]
    second = await ask(sim, config, model="gpt-5.6-sol")
    assert [request.headers.get("version") for request in second.asked] == ["0.144.0"]
    other = await ask(sim, config, model=MODEL)
    assert other.asked[0].headers.get("version") is None


async def test_a_lite_model_is_sent_its_version_first_then_the_lite_shape_and_later_both(sim, config):
    sim.require_lite = {"gpt-5.6-luna"}
    first = await ask(sim, config, model="gpt-5.6-luna")
    assert [is_lite(request) for request in first.asked] == [False, False, True]
    assert [request.headers.get("version") for request in first.asked] == [None, "0.144.0", "0.144.0"]
    assert first.response.text
    assert first.names() == ["llm:request", "llm:response"]
    second = await ask(sim, config, model="gpt-5.6-luna")
    assert [is_lite(request) for request in second.asked] == [True]


async def test_a_refused_tier_is_left_out_now_and_later_with_one_warning(sim, config, caplog):
    error = {"message": "Unsupported service_tier.", "param": "service_tier", "code": "unsupported_value"}
    sim.misbehave(RESPONSES, Fault(status=400, body={"error": error}))
    first = await ask(sim, config, model="gpt-5.6-terra-fast")
    assert ["service_tier" in request.json for request in first.asked] == [True, False]
    assert first.response.text
    second = await ask(sim, config, model="gpt-5.6-terra-fast")
    assert ["service_tier" in request.json for request in second.asked] == [False]
    warnings = [record.message for record in caplog.records if "no fast tier" in record.message]
    assert warnings == [
        "The model gpt-5.6-terra has no fast tier for this account; requests are sent without it."
    ]


async def test_a_tier_refused_without_a_parameter_is_tried_again(sim, config, caplog):
    """It may be a temporary shortage."""
    sim.tier_refused = True
    for _ in range(2):
        run = await ask(sim, config, model="gpt-5.6-terra-fast")
        assert ["service_tier" in request.json for request in run.asked] == [True, False]
    assert "no fast tier" not in caplog.text


async def test_reasoning_that_can_no_longer_be_decrypted_is_left_out_now_and_later(sim, config):
    sim.reply_with(Reply(items=[thought("Hm"), message("Hello.")]))
    first = await ask(sim, config)
    sim.rotate_encryption()
    history = [
        Message(role="assistant", content=first.response.content, metadata=first.response.metadata),
        Message(role="user", content="And now?"),
    ]
    second = await ask(sim, config, *history)
    kinds = [[item["type"] for item in request.json["input"]] for request in second.asked]
    assert [kind.count("reasoning") for kind in kinds] == [1, 0]
    assert second.response.text
    answered = Message(role="assistant", content=second.response.content, metadata=second.response.metadata)
    third = await ask(sim, config, *history, answered, Message(role="user", content="And then?"))
    assert len(third.asked) == 1


@pytest.mark.parametrize(
    ("model", "body", "error"),
    [
        ("gpt-6-sol-fast", {"detail": "Unsupported value for service_tier"}, InvalidRequestError),
        (
            "gpt-5.6-sol",
            {"detail": "The 'gpt-5.6-sol' model requires a newer version of Codex."},
            NotFoundError,
        ),
    ],
)
async def test_each_correction_is_tried_once_then_the_refusal_is_reported(sim, config, model, body, error):
    sim.misbehave(RESPONSES, Fault(status=400, body=body), times=None)
    run = await ask(sim, config, model=model)
    assert type(run.error) is error
    assert len(run.asked) == 2


async def test_version_and_shape_are_tried_one_after_the_other(sim, config):
    sim.misbehave(RESPONSES, Fault(status=404, body={"detail": "Model not found gpt-5.6-sol"}), times=None)
    run = await ask(sim, config, model="gpt-5.6-sol")
    assert type(run.error) is NotFoundError
    assert [(is_lite(one), one.headers.get("version")) for one in run.asked] == [
        (False, None),
        (False, "0.144.0"),
        (True, "0.144.0"),
    ]


async def test_a_refusal_that_cannot_be_corrected_is_reported_immediately(sim, config):
    sim.misbehave(RESPONSES, Fault(status=400, body={"detail": "Unsupported value for service_tier"}))
    run = await ask(sim, config, model=MODEL)
    assert type(run.error) is InvalidRequestError
    assert len(run.asked) == 1


async def test_a_correction_does_not_count_as_a_retry(sim, config):
    sim.tier_refused = True
    for fault in (Fault(), DOWN):
        sim.misbehave(RESPONSES, fault)
    run = await ask(sim, config, model="gpt-5.6-luna-fast")
    assert run.response.text
    assert len(run.asked) == 3
    assert [one["attempt"] for one in run.recorder.of("provider:retry")] == [1]


async def test_a_refusal_inside_the_stream_is_corrected_too(sim, config):
    refused = {"type": "response.failed", "response": {"error": {"message": "Bad service_tier."}}}
    sim.misbehave(RESPONSES, Fault(pieces=(encode(refused),)))
    run = await ask(sim, config, model="gpt-5.6-sol-fast")
    assert ["service_tier" in request.json for request in run.asked] == [True, False]
    assert run.response.text


# Continuations


async def test_an_answer_cut_at_the_output_limit_is_continued_as_one(sim, config):
    sim.reply_with(HALF, REST)
    run = await Run(sim, config).call()
    response = run.response
    assert response.text == "It is 14 °C in Zürich."
    assert [block.type for block in response.content] == ["thinking", "text", "thinking", "text"]
    assert all(block.content for block in response.content if block.type == "thinking"), "reasoning is kept"
    assert response.finish_reason == "stop"
    assert (response.usage.input_tokens, response.usage.total_tokens) == (140, 158)
    assert (response.usage.reasoning_tokens, response.usage.cache_read_tokens) == (8, 40)
    assert blocks(run.log) == [
        ("thinking", "First"),
        ("text", "It is 14 °C "),
        ("thinking", "Then"),
        ("text", "in Zürich."),
    ]
    assert run.names() == ["llm:request", "provider:incomplete_continuation", "llm:response"]


async def test_a_continuation_request_contains_the_answer_so_far(sim, config):
    sim.reply_with(HALF, REST)
    run = await Run(sim, config).call()
    first, second = run.asked
    before = first.json["input"]
    assert second.json["input"][: len(before)] == before
    reasoning, message = second.json["input"][len(before) :]
    assert reasoning["type"] == "reasoning"
    assert reasoning["encrypted_content"]
    assert message["content"][0]["text"] == "It is 14 °C "
    assert not {"id", "status"} & {*reasoning, *message}


async def test_each_continuation_is_announced_with_the_id_of_the_response_it_continues(sim, config):
    ids = ["resp_a", "resp_b"]
    cut = [{"type": "response.created", "response": {"id": name}} for name in ids]
    item = {"type": "response.output_item.done", "output_index": 0, "item": message("Half. ")}
    end = {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}
    sim.reply_with(*[Reply(events=[begin, item, end]) for begin in cut], GOOD)
    run = await Run(sim, config).call()
    request_id = run.recorder.of("llm:request")[0]["request_id"]
    emitted = [
        {key: one[key] for key in one if key not in {"timestamp", "session_id", "parent_id"}}
        for one in run.recorder.of("provider:incomplete_continuation")
    ]
    assert emitted == [
        {
            "provider": "openai-chatgpt",
            "model": MODEL,
            "request_id": request_id,
            "response_id": name,
            "reason": "max_output_tokens",
            "continuation_number": number,
            "max_attempts": 3,
        }
        for number, name in enumerate(ids, 1)
    ]


@pytest.mark.parametrize("most", [0, 2])
async def test_after_max_continuations_the_answer_so_far_is_returned(sim, config, most):
    sim.reply_with(*[HALF] * 5)
    run = await Run(sim, {**config, "max_continuations": most}).call()
    assert len(run.asked) == most + 1
    assert run.response.finish_reason == "length"
    assert run.response.text == "It is 14 °C " * (most + 1)
    assert run.response.usage.total_tokens == 79 * (most + 1)


async def test_an_answer_that_does_not_end_the_turn_is_continued_too(sim, config):
    sim.reply_with(Reply(items=[message("Let me see. ", phase="commentary")], end_turn=False), GOOD)
    run = await Run(sim, config).call()
    assert run.response.text == TEXT
    assert [one["reason"] for one in run.recorder.of("provider:incomplete_continuation")] == ["end_turn"]
    assert run.response.finish_reason == "stop"


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (Reply(items=[message("A moment. "), CALL], end_turn=False), "tool_calls"),
        (Reply(items=[thought("Hm"), CALL], end="incomplete"), "tool_calls"),
        (Reply(items=[], end_turn=False), "stop"),
        (Reply(items=[], end="incomplete"), "length"),
        (
            Reply(items=[message("Well.")], end="incomplete", reason="content_filter", end_turn=False),
            "content_filter",
        ),
        (Reply(items=[CALL], end="incomplete", reason="content_filter"), "tool_calls"),
        (Reply(items=[message("Well.")], end="incomplete", reason="something_new"), "length"),
    ],
)
async def test_other_endings_are_not_continued(sim, config, reply, finish):
    sim.reply_with(reply)
    run = await Run(sim, config).call()
    assert len(run.asked) == 1
    assert run.response.finish_reason == finish
    assert len(run.response.content) == len(reply.items)
    assert bool(run.response.tool_calls) is (finish == "tool_calls")


@pytest.mark.parametrize("items", [[], [thought("Hm")]])
async def test_an_answer_that_the_filter_removed_completely_is_an_error(sim, config, items):
    sim.reply_with(Reply(items=items, end="incomplete", reason="content_filter"))
    run = await Run(sim, config).call()
    assert type(run.error) is ContentFilterError
    assert str(run.error) == "OpenAI's content filter withheld the whole answer: rephrase the request."
    assert len(run.asked) == 1


LIMIT = Fault(status=429, body={"error": {"type": "usage_limit_reached"}})


@pytest.mark.parametrize(
    "fault", [LIMIT, Fault(status=400, body={"detail": "No."}), Fault(cut_after_event=9)]
)
async def test_if_a_continuation_fails_permanently_the_answer_before_it_is_returned(sim, config, fault):
    sim.reply_with(HALF, REST, REST)
    sim.misbehave(RESPONSES, Fault())
    sim.misbehave(RESPONSES, fault, times=2)
    run = await Run(sim, config).call()
    assert run.response.text == "It is 14 °C "
    assert run.response.finish_reason == "length"
    assert run.response.usage.total_tokens == 79
    assert blocks(run.log) == [("thinking", "First"), ("text", "It is 14 °C ")]


async def test_if_a_continuation_fails_and_there_is_no_text_the_failure_is_reported(sim, config):
    sim.reply_with(Reply(items=[thought("First")], end="incomplete"))
    sim.misbehave(RESPONSES, Fault())
    sim.misbehave(RESPONSES, LIMIT)
    run = await Run(sim, config).call()
    assert type(run.error) is QuotaExceededError


async def test_if_a_continuation_fails_once_the_complete_part_is_shown_again(sim, config):
    sim.reply_with(HALF, REST, REST)
    for fault in (Fault(), Fault(cut_after_event=12)):
        sim.misbehave(RESPONSES, fault)
    run = await Run(sim, config).call()
    assert run.response.text == "It is 14 °C in Zürich."
    assert run.response.usage.total_tokens == 158
    assert blocks(run.log) == [
        ("thinking", "First"),
        ("text", "It is 14 °C "),
        ("thinking", "Then"),
        ("text", "in Zürich."),
    ]
    assert run.names() == [
        "llm:request",
        "provider:incomplete_continuation",
        "llm:stream_aborted",
        "provider:retry",
        "llm:response",
    ]
    assert run.asked[1].json == run.asked[2].json


async def test_a_continuation_shares_the_retries_of_its_call(sim, config):
    sim.reply_with(HALF, REST)
    for fault in (DOWN, Fault(), DOWN):
        sim.misbehave(RESPONSES, fault)
    run = await Run(sim, {**config, "max_retries": 2}).call()
    assert run.response.text == "It is 14 °C in Zürich."
    assert [one["attempt"] for one in run.recorder.of("provider:retry")] == [1, 2]


async def test_retries_used_before_a_continuation_are_not_available_after_it(sim, config):
    sim.reply_with(HALF, REST)
    for fault in (DOWN, Fault(), DOWN):
        sim.misbehave(RESPONSES, fault)
    run = await Run(sim, {**config, "max_retries": 1}).call()
    assert (run.response.text, run.response.finish_reason) == ("It is 14 °C ", "length")
    assert [one["attempt"] for one in run.recorder.of("provider:retry")] == [1]


async def test_a_limit_in_the_headers_of_a_failed_attempt_is_reported(sim, config):
    sim.use_quota(primary=95)
    sim.misbehave(RESPONSES, DOWN)
    run = await Run(sim, config).call()
    [throttle] = run.recorder.of("provider:throttle")
    assert throttle["dimension"] == "5-hour"
    assert run.recorder.response["rate_limits"]["plan"] == "plus"


async def test_a_refused_call_reports_the_limits_too(sim, config):
    sim.exhaust()
    run = await Run(sim, config).call()
    assert type(run.error) is QuotaExceededError
    [throttle] = run.recorder.of("provider:throttle")
    assert throttle["reason"] == "usage_limit_reached"
    [window, _] = run.recorder.response["rate_limits"]["windows"]
    assert (window["name"], window["used_percent"]) == ("5-hour", 100)


# Stop sequences


async def test_the_usage_of_an_answer_that_a_stop_sequence_ended_is_known(sim, config):
    """The rest of the stream is read for it, and not shown."""
    sim.reply_with(Reply(items=[message("One two STOP three, four, five.")], usage=USAGE))
    asked = ChatRequest(messages=[Message(role="user", content="Count.")], stop=["STOP"])
    run = await Run(sim, config).call(asked)
    assert run.response.text == "One two "
    assert run.response.usage.total_tokens == USAGE["total_tokens"]
    assert blocks(run.log) == [("text", "One two ")]
