"""Missing fields and wrong types in every field that is read: no more is lost than the field itself."""

import copy

import pytest
from amplifier_core.llm_errors import LLMError, StreamError

from amplifier_module_provider_openai_chatgpt.simulator.stream import events as script
from tests.conftest import MODEL
from tests.event_recorder import RESPONSES, blocks

from .harness import ANSWER, ITEMS, USAGE, Run, streamed

MISSING = "(missing)"
WRONG = (None, True, 7, 1e300, "", [None, 7], {"text": 7})
CALL = {"type": "function_call", "name": "look_out", "arguments": '{"side":"north"}', "call_id": "call_1"}
CUSTOM = {"type": "custom_tool_call", "name": "draw", "input": "a cloud", "call_id": "call_2"}
SEALED = {**ITEMS[0], "encrypted_content": "gAAAAABsealed"}
NO = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "refusal", "refusal": "I would rather not."}],
}


def answer(*items, **ending):
    return script(items, response_id="resp_1", model=MODEL, usage=USAGE, **ending)


RAW = [
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
    {"type": "response.reasoning_text.delta", "item_id": "rs_1", "output_index": 0, "delta": "Hm."},
    {"type": "response.output_item.done", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}},
    answer(ITEMS[1])[-1],
]
STREAMS = {
    "text": ANSWER,
    "calls": answer(SEALED, CALL, CUSTOM),
    "a refusal": answer(NO),
    "raw reasoning": RAW,
    "half": answer(ITEMS[1], end="incomplete", reason="content_filter"),
}
CREATED, ADDED, DONE = "response.created", "response.output_item.added", "response.output_item.done"
TEXT_DELTA, SUMMARY_DELTA = "response.output_text.delta", "response.reasoning_summary_text.delta"
COMPLETED, INCOMPLETE = "response.completed", "response.incomplete"
PLACES = ("output_index", "item_id")
USED = "response.usage"

# stream → event → field → what may be lost with it: "cut" means a retryable StreamError.
READ: dict[str, dict[str, dict[str, str]]] = {
    "text": {
        CREATED: dict.fromkeys(("type", "response", "response.id", "response.model"), ""),
        ADDED: dict.fromkeys(("type", "output_index", "item", "item.type", "item.id"), ""),
        TEXT_DELTA: dict.fromkeys(("type", "delta", "content_index", *PLACES), ""),
        SUMMARY_DELTA: {**dict.fromkeys(("type", "delta", *PLACES), ""), "summary_index": "blocks"},
        DONE: {
            "type": "cut",
            "output_index": "",
            "item": "cut",
            "item.type": "cut",
            **dict.fromkeys(("item.id", "item.role", "item.status", "item.phase"), ""),
            **dict.fromkeys(("item.content", "item.content.0", "item.content.0.type"), ""),
            **dict.fromkeys(("item.content.0.text", "item.content.0.annotations"), ""),
        },
        COMPLETED: {
            "type": "cut",
            "response": "usage",
            "response.id": "",
            "response.model": "",
            "response.end_turn": "",
            USED: "usage",
            f"{USED}.input_tokens": "usage",
            f"{USED}.input_tokens_details": "usage",
            f"{USED}.input_tokens_details.cached_tokens": "usage",
            f"{USED}.output_tokens": "usage",
            f"{USED}.output_tokens_details": "usage",
            f"{USED}.output_tokens_details.reasoning_tokens": "usage",
            f"{USED}.total_tokens": "usage",
        },
    },
    "calls": {
        ADDED: dict.fromkeys(("type", "output_index", "item", "item.type", "item.id", "item.name"), ""),
        DONE: {
            "type": "cut",
            "output_index": "cut",
            "item": "cut calls",
            "item.type": "cut",
            "item.id": "",
            "item.call_id": "calls",
            "item.name": "",
            "item.input": "calls",
        },
    },
    "a refusal": {
        "response.refusal.delta": dict.fromkeys(("type", "delta", *PLACES), ""),
        DONE: {"item.content": "finish", "item.content.0": "finish", "item.content.0.refusal": ""},
    },
    "raw reasoning": {
        "response.reasoning_text.delta": {
            "type": "blocks",
            "delta": "blocks",
            "output_index": "",
            "item_id": "",
        },
        DONE: dict.fromkeys(("item.summary", "item.content", "item.encrypted_content"), ""),
    },
    "half": {
        INCOMPLETE: {
            "type": "cut",
            "response": "finish usage",
            "response.incomplete_details": "finish",
            "response.incomplete_details.reason": "finish",
        },
    },
}
ROWS = [
    pytest.param(stream, event, field, loses, id=f"{stream}: {event} {field}")
    for stream, events in READ.items()
    for event, fields in events.items()
    for field, loses in fields.items()
]


def damaged(events, event, field, wrong):
    """Put ``wrong`` into a field of the last event of this type."""
    events = copy.deepcopy(events)
    place = next(one for one in reversed(events) if one["type"] == event)
    *path, last = field.split(".")
    for key in path:
        place = place[int(key) if key.isdigit() else key]
    if isinstance(place, list):
        place[int(last)] = wrong
    elif wrong is MISSING:
        place.pop(last, None)
    else:
        place[last] = wrong
    return streamed(*events)


async def result_of(service, settings, fault):
    """Return the parts of a stream's response by name, or its error; its events are checked as well."""
    service.misbehave(RESPONSES, fault)
    run = await Run(service, {**settings, "max_retries": 0}).call()
    if run.error is not None:
        return run.error
    response = run.response
    shown = blocks(run.log)
    kinds = [{"tool_call": "tool_use"}.get(block.type, block.type) for block in response.content]
    assert [kind for kind, _ in shown] == kinds
    assert len(response.content_blocks) == len(kinds)
    return {
        "blocks": shown,
        "text": response.text,
        "calls": [(call.id, call.name, call.arguments) for call in response.tool_calls or []],
        "finish": response.finish_reason,
        "usage": response.usage,
    }


# The result of each undamaged stream, found once.
_whole: dict[str, dict] = {}


async def assert_no_more_is_lost(service, settings, stream, event, field, loses, values):
    whole = _whole.get(stream) or await result_of(service, settings, streamed(*STREAMS[stream]))
    _whole[stream] = whole
    for wrong in values:
        got = await result_of(service, settings, damaged(STREAMS[stream], event, field, wrong))
        if isinstance(got, LLMError):
            assert "cut" in loses, (wrong, got)
            assert type(got) is StreamError
            assert got.retryable
            assert "ChatGPT's answer was cut off" in str(got)
            continue
        differing = {name for name in whole if got[name] != whole[name]}
        assert differing <= set(loses.split()), (wrong, {name: got[name] for name in differing})


@pytest.mark.parametrize(("stream", "event", "field", "loses"), ROWS)
async def test_a_missing_field_costs_no_more_than_itself(service, settings, stream, event, field, loses):
    await assert_no_more_is_lost(service, settings, stream, event, field, loses, [MISSING])


@pytest.mark.long
@pytest.mark.parametrize(("stream", "event", "field", "loses"), ROWS)
async def test_a_wrong_type_costs_no_more_than_its_field(service, settings, stream, event, field, loses):
    await assert_no_more_is_lost(service, settings, stream, event, field, loses, WRONG)
