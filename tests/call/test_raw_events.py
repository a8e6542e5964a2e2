"""What raw mode keeps of an answer: finished items, and the joined deltas of what was not finished."""

import json

import pytest

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call.raw_events import REPEATED, RawEvents
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from amplifier_module_provider_openai_chatgpt.simulator.stream import events as answer_events
from tests.event_recorder import RESPONSES, EventRecorder, ask

TEXT = "A sentence of a plain answer, of ordinary length and with ordinary words. " * 49
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
}
CALL = {"type": "function_call", "call_id": "call_1", "name": "now", "arguments": json.dumps({"zone": "UTC"})}
THOUGHT = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Thinking about it."}]}
INSTRUCTIONS = "You are a helpful assistant. " * 50
SENT = {"instructions": INSTRUCTIONS, "model": "gpt-6-sol"}


def stream(*items, **options):
    options = {"response_id": "resp_1", "model": "gpt-6-sol", "usage": None, **options}
    return answer_events(items, instructions=INSTRUCTIONS, **options)


def kept(events, sent=SENT):
    raw = RawEvents(sent)
    for event in events:
        raw.add([event])
    return raw.to_list()


def types(events):
    return [event["type"].removeprefix("response.") for event in events]


def test_finished_items_are_kept_without_their_deltas():
    events = kept(stream(THOUGHT, MESSAGE, CALL))
    done = ["output_item.done"] * 3
    assert types(events) == ["created", "in_progress", *done, "completed"]
    assert [event["item"]["type"] for event in events[2:5]] == ["reasoning", "message", "function_call"]
    assert events[3]["item"]["content"] == MESSAGE["content"]


def test_instructions_that_were_sent_are_not_repeated():
    events = kept(stream(MESSAGE))
    assert INSTRUCTIONS not in json.dumps(events)
    assert [event["response"]["instructions"] for event in events if "response" in event] == [REPEATED] * 3
    assert events[0]["response"]["model"] == "gpt-6-sol"


def test_other_instructions_than_those_sent_are_kept_once():
    events = kept(stream(MESSAGE), sent={})
    assert [event["response"]["instructions"] for event in events if "response" in event] == [
        INSTRUCTIONS,
        REPEATED,
        REPEATED,
    ]


def test_items_repeated_in_the_last_event_are_kept_once():
    *events, last = stream(MESSAGE)
    item = next(event["item"] for event in events if event["type"] == "response.output_item.done")
    repeated = {**last, "response": {**last["response"], "output": [item]}}
    assert kept([*events, repeated])[-1]["response"]["output"] == REPEATED
    others = {**last, "response": {**last["response"], "output": [{**item, "id": "other"}]}}
    assert kept([*events, others])[-1]["response"]["output"] == [{**item, "id": "other"}]


@pytest.mark.parametrize("cut_after", range(3, 40))
def test_the_text_of_an_unfinished_item_is_kept_in_one_event(cut_after):
    events = stream(MESSAGE)[:cut_after]
    deltas = [event["delta"] for event in events if "delta" in event]
    assert [event["delta"] for event in kept(events) if "delta" in event] == ["".join(deltas)][: len(deltas)]
    assert not any("obfuscation" in event for event in kept(events))


def test_an_attempt_that_failed_keeps_its_text_apart_from_the_next():
    raw = RawEvents({})
    raw.add(stream(MESSAGE)[:10])
    raw.end_attempt()
    raw.add(stream(MESSAGE))
    events = types(raw.to_list())
    assert events.count("output_text.delta") == 1
    assert events.index("output_text.delta") < events.index("output_item.done")


def test_items_with_the_same_index_do_not_lose_each_other():
    events = [
        {"type": "response.output_text.delta", "output_index": 0, "item_id": "a", "delta": "One"},
        {"type": "response.output_text.delta", "output_index": 0, "item_id": "b", "delta": "Two"},
        {"type": "response.output_item.done", "output_index": 0, "item": {"id": "a"}},
    ]
    assert types(kept(events)) == ["output_item.done", "output_text.delta"]
    assert kept(events)[1]["delta"] == "Two"


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_item.done"},
        {"type": "response.output_item.done", "output_index": [], "item": []},
        {"type": "x", "output_index": {}, "item_id": {}, "delta": {}},
        {"type": "x", "delta": "y", "content_index": [], "summary_index": {}},
        {"type": "response.completed", "response": None},
        {"type": "response.completed", "response": {"output": [[]], "tools": {}, "instructions": None}},
        {"type": ""},
    ],
    ids=repr,
)
def test_events_of_any_shape_are_kept(event):
    assert kept([event]) == [event]


async def test_the_log_of_an_answer_is_not_much_longer_than_the_answer(sim, config):
    recorder = EventRecorder()
    sim.reply_with(Reply(items=[MESSAGE]))
    provider = ChatGPTProvider({**config, "raw": True}, recorder.coordinator)
    await provider.complete(ask())
    await provider.close()
    assert len(TEXT) > 3600
    assert len(json.dumps(recorder.response)) < len(TEXT) + 4000


async def test_a_cut_answer_is_logged_with_what_arrived(sim, config):
    recorder = EventRecorder()
    sim.reply_with(Reply(items=[MESSAGE]))
    sim.misbehave(RESPONSES, Fault(cut_after_event=9))
    provider = ChatGPTProvider({**config, "raw": True}, recorder.coordinator)
    await provider.complete(ask())
    await provider.close()
    names = types(recorder.response["raw"]["events"])
    assert names.count("output_text.delta") == 1
    assert names.count("output_item.done") == 1
