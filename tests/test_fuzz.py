"""Whatever the backend sends, a call ends in a valid response or in a kernel error.

Most streams are read without client, hooks and sockets (SSEParser, ResponseAccumulator, the response,
the payloads of events and the errors), which is about fifty times faster. The others go through a
provider's ``complete`` against the simulator over a real socket, with the kernel's own hooks.
"""

import contextlib
import json
import math
from contextlib import contextmanager

import pytest
from amplifier_core.llm_errors import LLMError
from amplifier_core.message_models import ChatRequest, ToolSpec

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.errors.kernel import ErrorContext, kernel_error
from amplifier_module_provider_openai_chatgpt.errors.refusal import read_event_refusal, read_refusal
from amplifier_module_provider_openai_chatgpt.errors.transport import ended_early
from amplifier_module_provider_openai_chatgpt.models.model import Model
from amplifier_module_provider_openai_chatgpt.protocol.blocks import BlockEnd, BlockStart
from amplifier_module_provider_openai_chatgpt.redaction import for_events, redact
from amplifier_module_provider_openai_chatgpt.request.build import build_call
from amplifier_module_provider_openai_chatgpt.response.accumulator import ResponseAccumulator
from amplifier_module_provider_openai_chatgpt.response.outcome import BrokenOff, Failed
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.settings import Settings
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.transport.sse import SSEParser
from tests.event_recorder import RESPONSES, EventRecorder, ask, assert_coherent, shown
from tests.stream_mutations import CALL, CUSTOM, MESSAGE, REASONING, dumps, error_body, stream

STATUSES = (400, 401, 403, 404, 413, 422, 429, 500, 503, 529, 200)
LOOK = ToolSpec(name="look", parameters={"type": "object"})


@contextmanager
def names_case(what, number):
    """Add the number of the case to a failure."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"{what} {number}")
        raise


def new_call():
    return build_call(
        ChatRequest(messages=ask().messages, tools=[LOOK]),
        {},
        Settings(),
        model="gpt-5.5",
        find=Model,
        knows=lambda _: False,
        account_id=Secret("acct"),
        session_id="s",
    )


def strict_json(value):
    return json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


CONTEXT = ErrorContext(service=CHATGPT_CODEX, model="gpt-5.5", now=1e9)


def assert_readable(error):
    assert isinstance(error, LLMError)
    text = str(error)
    assert text.isprintable()
    assert 10 < len(text) < 1000
    assert error.retry_after is None or 0 <= error.retry_after < math.inf


def assert_valid(response):
    strict_json(response.model_dump(mode="json"))
    assert len(response.content) == len(response.content_blocks)
    for block, shown_block in zip(response.content, response.content_blocks, strict=True):
        assert block.type == shown_block.type.value
        strict_json(shown_block.to_dict())
    calls = [block for block in response.content if block.type == "tool_call"]
    assert [call.id for call in calls] == [call.id for call in response.tool_calls or []]
    assert all(call.id and call.name and isinstance(call.input, dict) for call in calls)
    assert response.finish_reason in {"stop", "length", "tool_calls", "content_filter"}
    if response.usage:
        assert min(response.usage.input_tokens, response.usage.output_tokens) >= 0


def read(pieces, call):
    """Read a stream as a call does; return what was shown, and the response or the error."""
    parser, answer, steps, raw = SSEParser(), ResponseAccumulator(), [], []
    for piece in [*pieces, None]:
        events = parser.close() if piece is None else parser.feed(piece)
        raw += events
        steps += answer.feed(events)
        if answer.is_over or parser.done:
            break
    if len(pieces) % 4 == 0:
        strict_json(redact(raw))
    match outcome := answer.outcome():
        case Failed(event):
            refusal = read_event_refusal(event, names=CHATGPT_CODEX.response, now=1e9)
            return steps, kernel_error(refusal, CONTEXT)
        case BrokenOff(partial):
            return steps, kernel_error(ended_early(partial), CONTEXT)
        case _:
            return [*steps, *outcome.steps], answer.response(call)


def assert_steps_in_order(steps, response):
    """Check the order of steps that listeners rely on."""
    started: list[int] = []
    growing: set[int] = set()
    for step in steps:
        strict_json(for_events({"name": getattr(step, "name", ""), "text": getattr(step, "text", "")}))
        if isinstance(step, BlockStart):
            started.append(step.index)
            growing.add(step.index)
        elif isinstance(step, BlockEnd):
            growing.remove(step.index)
        else:
            assert step.text
            assert step.index in growing
    if response is not None:
        assert not growing
        assert started == list(range(len(response.content)))


def fuzz_streams(numbers):
    """Return how many streams became responses."""
    call, responses = new_call(), 0
    for number in numbers:
        with names_case("stream", number):
            steps, outcome = read(stream(number), call)
            for step in steps:
                strict_json(
                    for_events({"name": getattr(step, "name", ""), "text": getattr(step, "text", "")})
                )
            if isinstance(outcome, LLMError):
                assert_readable(outcome)
                continue
            responses += 1
            assert_steps_in_order(steps, outcome)
            assert_valid(outcome)
            call.continued([block.model_dump() for block in outcome.content]).body()
    return responses


def fuzz_error_bodies(numbers):
    for number in numbers:
        with names_case("error body", number):
            body, status = error_body(number), STATUSES[number % len(STATUSES)]
            refusal = read_refusal(status, {}, body, names=CHATGPT_CODEX.response, now=1e9)
            assert_readable(kernel_error(refusal, CONTEXT))


async def fuzz_calls(sim, config, faults):
    """Make a call for each fault; return how many became responses."""
    recorder = EventRecorder()
    settings = {**config, "max_retries": 0, "max_continuations": 1, "raw": True}
    provider = ChatGPTProvider(settings, recorder.coordinator)
    responses = 0
    for name, fault in faults:
        recorder.log.clear()
        sim.forget()
        sim.misbehave(RESPONSES, fault)
        with names_case("call", name), contextlib.suppress(LLMError):
            response = await complete(provider)
            responses += 1
            assert_valid(response)
            places = {place for place, text in enumerate(map(text_of, response.content)) if text}
            assert set(shown(recorder.log)) <= set(range(len(response.content)))
            assert set(shown(recorder.log)) >= places
        with names_case("events of call", name):
            assert_coherent(recorder.log)
    await provider.close()
    return responses


async def complete(provider):
    try:
        return await provider.complete(ask(tools=[LOOK]))
    except LLMError as error:
        assert_readable(error)
        if str(error).startswith("The provider failed unexpectedly"):
            raise AssertionError from error
        raise


def text_of(block):
    return getattr(block, "text", "") or getattr(block, "thinking", "")


def as_faults(streams, bodies):
    for number in streams:
        yield f"stream {number}", Fault(pieces=tuple(stream(number)))
    for number in bodies:
        yield f"body {number}", Fault(status=STATUSES[number % len(STATUSES)], body=error_body(number))


ODD = {
    "arguments": {**CALL, "arguments": {"a": math.nan, "b": "\ud83d", "\udc00": -math.inf}},
    "arguments as text": {**CALL, "arguments": '{"a": 1e999}'},
    "half a pair in arguments": {**CALL, "arguments": '{"a": "\\ud83d"}'},
    "input": {**CUSTOM, "input": math.nan},
    "ids and names": {**CALL, "call_id": "\ud83d", "name": "\ud83d"},
    "a phase": {**MESSAGE, "phase": "\ud83d"},
    "citations": {
        **MESSAGE,
        "content": [{"type": "output_text", "text": "x", "annotations": [{"a": math.inf}]}],
    },
    "a sealed text": {**REASONING, "encrypted_content": "\ud83d", "summary": math.nan},
}


@pytest.mark.parametrize("item", ODD.values(), ids=ODD)
def test_a_response_contains_only_what_strict_json_parsers_accept(item):
    sent = [
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "\ud83d", "model": "\udc00"}},
    ]
    steps, response = read([b"data: " + dumps(event) + b"\n\n" for event in sent], new_call())
    assert_steps_in_order(steps, response)
    assert_valid(response)


def test_arguments_that_strict_json_cannot_represent_are_kept_as_text():
    done = {"type": "response.output_item.done", "output_index": 0, "item": ODD["arguments as text"]}
    sent = [done, {"type": "response.completed", "response": {}}]
    _, response = read([b"data: " + dumps(event) + b"\n\n" for event in sent], new_call())
    assert response.tool_calls[0].arguments == {"_raw": '{"a": 1e999}'}


def test_text_after_the_end_of_its_block_is_not_shown():
    late = {"type": "response.output_text.delta", "output_index": 0, "delta": "late"}
    done = {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE}
    sent = [done, late, {"type": "response.completed", "response": {}}]
    steps, response = read([b"data: " + dumps(event) + b"\n\n" for event in sent], new_call())
    assert_steps_in_order(steps, response)
    assert "late" not in response.text


def test_damaged_streams_end_in_a_response_or_a_kernel_error():
    assert fuzz_streams(range(500)) > 100


def test_damaged_error_bodies_become_kernel_errors():
    fuzz_error_bodies(range(300))


async def test_damaged_answers_over_a_real_connection_end_in_a_response_or_a_kernel_error(sim, config):
    assert await fuzz_calls(sim, config, as_faults(range(40), range(20))) > 5


@pytest.mark.long
def test_ten_thousand_streams():
    assert fuzz_streams(range(10_000)) > 2_000


@pytest.mark.long
def test_two_thousand_error_bodies():
    fuzz_error_bodies(range(2_000))


@pytest.mark.long
async def test_four_hundred_streams_and_bodies_over_a_real_connection(sim, config):
    assert await fuzz_calls(sim, config, as_faults(range(300), range(100))) > 50
