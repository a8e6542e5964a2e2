"""Unusual streams from relays and new models: no part of an answer is lost or shown twice."""

import json

import pytest

from amplifier_module_provider_openai_chatgpt.response.outcome import (
    BrokenOff,
    Failed,
    Finished,
    Incomplete,
    Resumable,
)
from tests.response.test_accumulator import (
    CUT,
    REASONING,
    Attempt,
    added,
    answer_to,
    completed,
    delta,
    done,
    message,
    shown,
    thought,
)


def call(number, **more):
    return {
        "type": "function_call",
        "name": "look",
        "call_id": f"call_{number}",
        "arguments": json.dumps({"x": number}),
        **more,
    }


def arguments_of(answer):
    return [one.arguments for one in answer.response().tool_calls or []]


# Several items with the same output index


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("ids", [False, True])
def test_two_tool_calls_with_the_same_index_are_two_tool_calls(announced, ids):
    items = [call(number, **({"id": f"fc_{number}"} if ids else {})) for number in (1, 2)]
    events = []
    for item in items:
        events += [added(0, **{**item, "arguments": ""})] if announced else []
        events.append(done(0, **item))
    answer, steps = answer_to([*events, completed()])
    assert arguments_of(answer) == [{"x": 1}, {"x": 2}]
    assert sorted({step.index for step in steps}) == [0, 1]


def test_a_message_with_the_index_of_the_reasoning_before_it_is_a_separate_block():
    events = [
        added(0, type="reasoning", id="rs_1"),
        thought(0, "OneTwo"),
        done(0, **{**REASONING, "summary": [{"type": "summary_text", "text": "OneTwo"}]}),
        added(0, type="message", id="m"),
        delta(0, "Hi"),
        done(0, **message("Hi", id="m")),
        completed(),
    ]
    answer, steps = answer_to(events)
    assert [block.type for block in answer.response().content] == ["thinking", "text"]
    assert (shown(steps, 0), shown(steps, 1)) == ("OneTwo", "Hi")


def test_deltas_of_different_kinds_with_the_same_index_do_not_mix():
    answer, _ = answer_to([thought(0, "Hm"), delta(0, "Hi"), CUT])
    assert [block.type for block in answer.response().content] == ["thinking", "text"]
    assert answer.response().text == "Hi"


def test_an_id_that_changes_within_an_item_does_not_start_a_second_block():
    events = [added(0, type="message", id="a"), delta(0, "Hi"), done(0, **message("Hi", id="b")), completed()]
    answer, _ = answer_to(events)
    assert [block.text for block in answer.response().content] == ["Hi"]


def test_an_item_that_is_sent_twice_is_one_block():
    answer, steps = answer_to([done(0, **call(1)), done(0, **call(1)), completed()])
    assert arguments_of(answer) == [{"x": 1}]
    assert {step.index for step in steps} == {0}


# Arguments that are only in their own events


def arguments_event(kind, index, **value):
    return {"type": f"response.function_call_arguments.{kind}", "output_index": index, **value}


@pytest.mark.parametrize(
    "in_events",
    [
        [arguments_event("done", 0, arguments='{"x": 1}')],
        [arguments_event("delta", 0, delta='{"x"'), arguments_event("delta", 0, delta=": 1}")],
        [arguments_event("delta", 0, delta='{"x"'), arguments_event("done", 0, arguments='{"x": 1}')],
    ],
)
@pytest.mark.parametrize("in_item", [{"arguments": ""}, {"arguments": None}])
def test_arguments_come_from_their_own_events_if_the_item_has_none(in_events, in_item):
    item = {**call(1), **in_item}
    answer, _ = answer_to([added(0, **item), *in_events, done(0, **item), completed()])
    assert arguments_of(answer) == [{"x": 1}]


def test_a_tool_call_without_its_item_is_complete_if_its_arguments_are():
    in_events = arguments_event("done", 0, arguments='{"x": 1}')
    answer, _ = answer_to([added(0, **{**call(1), "arguments": ""}), in_events, completed()])
    assert arguments_of(answer) == [{"x": 1}]


def test_a_tool_call_with_incomplete_arguments_is_not_run():
    begun = arguments_event("delta", 0, delta='{"x"')
    answer, _ = answer_to([added(0, **{**call(1), "arguments": ""}), begun, completed()])
    assert isinstance(answer.ending, BrokenOff)


def test_the_input_of_a_custom_tool_comes_from_its_own_event_too():
    item = {"type": "custom_tool_call", "name": "patch", "call_id": "c", "input": ""}
    in_events = {"type": "response.custom_tool_call_input.done", "output_index": 0, "input": "*** Begin"}
    answer, _ = answer_to([added(0, **item), in_events, done(0, **item), completed()])
    assert arguments_of(answer) == [{"_raw": "*** Begin"}]


# Items without their own event


def text_done(index, text):
    return {"type": "response.output_text.done", "output_index": index, "text": text}


def test_complete_text_is_the_answer_once_the_response_is_complete():
    answer, steps = answer_to(
        [added(0, type="message", phase="final_answer"), delta(0, "Hi"), text_done(0, "Hi"), completed()]
    )
    assert isinstance(answer.ending, Finished)
    assert answer.response().content[0].phase == "final_answer"
    assert [step.index for step in steps] == [0, 0, 0]


def test_complete_text_is_the_answer_even_if_all_events_arrive_in_one_read():
    events = [added(0, type="message"), delta(0, "Hi"), text_done(0, "Hi"), completed()]
    answer = Attempt()
    answer.accumulator.feed(events)
    assert isinstance(answer.outcome(), Finished)
    assert answer.response().text == "Hi"


def test_complete_parts_are_joined():
    events = [delta(0, "A"), text_done(0, "A"), delta(0, "B"), text_done(0, "B"), completed()]
    assert answer_to(events)[0].response().text == "AB"


@pytest.mark.parametrize("whole", ["Hi there", "H", ""])
def test_text_that_differs_from_what_was_shown_is_not_complete(whole):
    answer, _ = answer_to([delta(0, "Hi"), text_done(0, whole), completed()])
    assert isinstance(answer.ending, BrokenOff)


def test_complete_text_is_not_an_answer_without_the_closing_event():
    assert isinstance(answer_to([delta(0, "Hi"), text_done(0, "Hi")])[0].ending, BrokenOff)


# Items that are only in the closing event


@pytest.mark.parametrize(
    "before", [[], [done(0, **REASONING)], [done(0, **REASONING), done(1, **message("First."))]]
)
def test_items_that_are_only_in_the_closing_event_follow_the_others(before):
    items = [event["item"] for event in before]
    closing = [*items, message("Late."), call(1)]
    answer, _ = answer_to([*before, completed(output=closing)])
    response = answer.response()
    assert len(response.content) == len(closing)
    assert response.text.endswith("Late.")
    assert arguments_of(answer) == [{"x": 1}]


def test_a_closing_event_that_repeats_all_items_adds_nothing():
    items = [REASONING, message("Hi", id="m"), call(1)]
    events = [done(place, **item) for place, item in enumerate(items)]
    answer, _ = answer_to([*events, completed(output=items)])
    assert len(answer.response().content) == 3


def test_a_closing_event_that_repeats_items_without_ids_adds_nothing():
    items = [message("Hi"), call(1)]
    events = [done(place, **item) for place, item in enumerate(items)]
    answer, _ = answer_to([*events, completed(output=items)])
    assert [block.type for block in answer.response().content] == ["text", "tool_call"]


def test_with_an_empty_final_message_the_commentary_is_the_text():
    events = [
        done(0, **message("Working on it.", phase="commentary")),
        done(1, **message("", phase="final_answer")),
        completed(),
    ]
    assert answer_to(events)[0].response().text == "Working on it."


# Failures


@pytest.mark.parametrize("kind", ["response.error", "error", "response.failed"])
def test_every_type_of_failure_event_is_a_failure(kind):
    failure = {"type": kind, "error": {"code": "context_length_exceeded"}}
    answer, _ = answer_to([delta(0, "Hi"), failure])
    assert answer.ending == Failed(failure)


@pytest.mark.parametrize(
    ("response", "ending"),
    [
        ({}, Incomplete("unknown", empty=True, steps=())),
        ({"incomplete_details": None}, Incomplete("unknown", empty=True, steps=())),
        ({"incomplete_details": {"reason": "steered"}}, Incomplete("steered", empty=True, steps=())),
    ],
)
def test_an_incomplete_answer_without_content_is_empty(response, ending):
    answer, _ = answer_to([completed("incomplete", **response)])
    assert answer.ending == ending


# Stop sequences


def stopping(*texts, stop=("STOP",)):
    events = []
    for place, text in enumerate(texts):
        events += [added(place, type="message"), *(delta(place, char) for char in text)]
        events.append(done(place, **message(text)))
    return answer_to([*events, completed()], stop=list(stop))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("one ST", "OP two"), ["one ", ""]),
        (("one S", "T", "OP two"), ["one ", "", ""]),
        (("one", " STOP two"), ["one", " "]),
        (("one STO", "P"), ["one ", ""]),
        (("STOP", "two"), [""]),
        (("one ST", "ART"), ["one ST", "ART"]),
    ],
)
def test_a_stop_sequence_may_span_blocks(texts, expected):
    answer, _ = stopping(*texts)
    assert [block.text for block in answer.response().content] == expected


def test_a_stop_sequence_may_span_two_attempts():
    answer = Attempt(stop=["STOP"])
    answer.feed(done(0, **message("one ST")), CUT)
    assert isinstance(answer.outcome(), Resumable)
    answer.accumulator.keep()
    answer.feed(delta(0, "O"), delta(0, "P two"))
    assert answer.outcome() == Finished(stopped=True, steps=answer_steps(answer))
    assert answer.response().text == "one "


def answer_steps(answer):
    """Return the steps that ended the block with the end of the sequence."""
    from amplifier_module_provider_openai_chatgpt.protocol.blocks import BlockEnd

    return (BlockEnd(len(answer.response().content) - 1, "text"),)


def test_text_held_back_is_shown_in_its_own_block():
    events = [delta(0, "one ST"), delta(1, "ART"), CUT]
    answer, steps = answer_to(events, stop=["STOP"])
    assert [block.text for block in answer.response().content] == ["one ST", "ART"]
    assert (shown(steps, 0), shown(steps, 1)) == ("one ST", "ART")


@pytest.mark.parametrize("stop", [["three", "two"], ["two", "three"]])
def test_the_first_sequence_in_the_text_wins(stop):
    answer, _ = stopping("one two three", stop=stop)
    assert answer.response().text == "one "


# Citation marks


MARK = "\ue200cite\ue202turn0search0\ue202turn1view2\ue201"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_citation_marks_are_never_shown_however_they_are_split(size):
    text = f"It rained{MARK} in Tokyo{MARK}."
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = [added(0, type="message"), *(delta(0, piece) for piece in pieces)]
    answer, steps = answer_to([*events, done(0, **message(text)), completed()])
    assert answer.response().text == shown(steps, 0) == "It rained in Tokyo."


@pytest.mark.parametrize("text", ["a\ue200b", "\ue201", "\ue200" + "x" * 600 + "\ue201", "\ue123", "\ue202"])
def test_other_private_use_characters_are_kept(text):
    answer, steps = answer_to([*(delta(0, char) for char in text), done(0, **message(text)), completed()])
    assert answer.response().text == shown(steps, 0) == text


def test_annotations_point_at_the_text_without_marks():
    note = {"type": "url_citation", "url": "https://a.example", "start_index": 0, "end_index": 0}
    text = f"It rained{MARK} in Tokyo{MARK}."
    first = {**note, "start_index": 3, "end_index": 9}
    second = {**note, "start_index": text.index("Tokyo"), "end_index": text.index("Tokyo") + 5}
    part = {"type": "output_text", "text": text, "annotations": [first, second, "odd"]}
    answer, _ = answer_to([done(0, type="message", content=[part]), completed()])
    block = answer.response().content[0]
    places = [(one["start_index"], one["end_index"]) for one in block.annotations[:2]]
    assert [block.text[start:end] for start, end in places] == ["rained", "Tokyo"]
