"""The simulated stream has the real one's form: numbered events, small deltas, each item complete."""

import json
from typing import Any

import pytest

from amplifier_module_provider_openai_chatgpt.simulator.stream import encode, events

Item = dict[str, Any]

SUMMARY: Item = {"type": "summary_text", "text": "**Looking up**\n\nthe weather"}
THOUGHT: Item = {"type": "reasoning", "summary": [SUMMARY], "encrypted_content": "gAAA" + "x" * 60}
NOTE = {"type": "url_citation", "start_index": 0, "end_index": 3, "url": "https://example.com", "title": "x"}
PART: Item = {"type": "output_text", "annotations": [NOTE], "text": "Let me\u2028check\n now. "}
MESSAGE: Item = {"type": "message", "role": "assistant", "phase": "commentary", "content": [PART]}
CALL: Item = {
    "type": "function_call",
    "name": "get_time",
    "call_id": "call_1",
    "arguments": '{"place":"Tokyo"}',
}
CUSTOM: Item = {"type": "custom_tool_call", "name": "patch", "call_id": "call_2", "input": "a b c"}
SEARCH: Item = {"type": "web_search_call", "action": {"type": "search", "query": "x"}}
ITEMS = [THOUGHT, MESSAGE, CALL, CUSTOM, SEARCH]


def played(items=ITEMS, **changes):
    return events(items, response_id="resp_1", model="gpt-6-sol", usage={"total_tokens": 1}, **changes)


def of(kind, stream):
    return [event for event in stream if event["type"] == kind]


def test_events_are_numbered_from_the_first_to_the_last():
    stream = played()
    assert [event["sequence_number"] for event in stream] == list(range(len(stream)))
    assert [event["type"] for event in stream[:2]] == ["response.created", "response.in_progress"]
    assert stream[-1]["type"] == "response.completed"


def test_the_first_event_repeats_the_instructions():
    assert played(instructions="Be brief.")[0]["response"]["instructions"] == "Be brief."


def test_the_last_event_has_usage_and_no_output():
    """Rule stream.empty-output."""
    response = played()[-1]["response"]
    assert response["output"] == []
    assert response["usage"] == {"total_tokens": 1}


@pytest.mark.parametrize(
    ("kind", "place", "expected"),
    [
        ("response.reasoning_summary_text.delta", 0, SUMMARY["text"]),
        ("response.output_text.delta", 1, PART["text"]),
        ("response.function_call_arguments.delta", 2, CALL["arguments"]),
        ("response.custom_tool_call_input.delta", 3, CUSTOM["input"]),
    ],
)
def test_deltas_are_padded_and_join_to_the_whole(kind, place, expected):
    deltas = of(kind, played())
    assert len(deltas) > 1
    assert "".join(delta["delta"] for delta in deltas) == expected
    assert {delta["output_index"] for delta in deltas} == {place}
    assert all(delta["obfuscation"] for delta in deltas)


def test_each_item_is_added_empty_and_done_whole_with_one_id_of_its_kind():
    stream = played()
    added = [event["item"] for event in of("response.output_item.added", stream)]
    done = [event["item"] for event in of("response.output_item.done", stream)]
    assert [item["id"] for item in added] == [item["id"] for item in done]
    assert [item["id"].split("_")[0] for item in done] == ["rs", "msg", "fc", "ctc", "ws"]
    assert (added[0]["summary"], added[1]["content"], added[2]["arguments"]) == ([], [], "")
    assert added[0]["encrypted_content"] != done[0]["encrypted_content"]
    for item, original in zip(done, ITEMS, strict=True):
        assert {key: item[key] for key in original} == original


def test_a_thought_without_summary_has_no_summary_events():
    stream = played([{"type": "reasoning", "summary": []}])
    assert [event["type"] for event in stream if "summary" in event["type"]] == []


def test_parts_are_opened_before_their_deltas_and_closed_after():
    kinds = [event["type"] for event in played([MESSAGE])]
    order = [
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ]
    places = [kinds.index(f"response.{kind}") for kind in order]
    assert places == sorted(places)
    assert of("response.output_text.annotation.added", played([MESSAGE]))[0]["annotation"] == NOTE


def test_an_answer_can_end_incomplete_failed_or_unfinished():
    incomplete = played(end="incomplete", reason="content_filter")[-1]
    assert incomplete["type"] == "response.incomplete"
    assert incomplete["response"]["incomplete_details"] == {"reason": "content_filter"}
    failed = played([], end="failed", error={"code": "slow_down", "message": "x"})[-1]
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"]["code"] == "slow_down"
    assert played(end_turn=False)[-1]["response"]["end_turn"] is False
    assert "end_turn" not in played()[-1]["response"]


def test_a_frame_is_two_lines_and_a_blank_one_with_separators_raw():
    frame = encode({"type": "x.delta", "delta": "a\u2028b\u0085\n"})
    kind, data, *rest = frame.split(b"\n")
    assert kind == b"event: x.delta"
    assert rest == [b"", b""]
    assert "\u2028".encode() in data
    assert json.loads(data.removeprefix(b"data: "))["delta"] == "a\u2028b\u0085\n"
