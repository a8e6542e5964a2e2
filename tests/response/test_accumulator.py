"""Events become blocks, steps and a ChatResponse."""

import json
from itertools import pairwise

import pytest
from amplifier_core.message_models import ChatRequest, Message, ToolSpec
from hypothesis import given, settings as hypothesis_settings, strategies as st

from amplifier_module_provider_openai_chatgpt.models.model import Model
from amplifier_module_provider_openai_chatgpt.protocol.blocks import BlockDelta, BlockEnd, BlockStart, Kind
from amplifier_module_provider_openai_chatgpt.request.build import build_call
from amplifier_module_provider_openai_chatgpt.response.accumulator import ResponseAccumulator
from amplifier_module_provider_openai_chatgpt.response.outcome import (
    BrokenOff,
    Failed,
    Finished,
    Incomplete,
    Outcome,
    Resumable,
)
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.settings import Settings


def call(**options):
    request = ChatRequest(messages=[Message(role="user", content="Hi")], **options)
    return build_call(
        request,
        {},
        Settings(),
        model="gpt-5.5",
        find=Model,
        knows=lambda _: False,
        account_id=Secret("acct"),
        session_id="s",
    )


def added(index, **item):
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index, **item):
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def delta(index, text, kind="output_text", **more):
    return {"type": f"response.{kind}.delta", "output_index": index, "delta": text, **more}


def thought(index, text, section=0):
    return delta(index, text, "reasoning_summary_text", summary_index=section)


def message(*texts, **more):
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"type": "message", "role": "assistant", "content": parts, **more}


def completed(kind="completed", **response):
    return {"type": f"response.{kind}", "response": {"id": "resp_1", "model": "gpt-5.5", **response}}


CUT = completed("incomplete", incomplete_details={"reason": "max_output_tokens"})
USAGE = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 7},
    "output_tokens": 64,
    "output_tokens_details": {"reasoning_tokens": 32},
    "total_tokens": 1264,
}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
    "encrypted_content": "gAAA_full",
}
CALLING = {
    "type": "function_call",
    "id": "fc_1",
    "name": "look",
    "call_id": "call_1",
    "arguments": '{"at": 1}',
}

WHOLE = [
    completed("created"),
    added(0, type="reasoning", id="rs_1", summary=[]),
    thought(0, "O"),
    thought(0, "ne"),
    thought(0, "Two", section=1),
    done(0, **REASONING),
    added(1, type="message", id="msg_1", content=[]),
    delta(1, "Let me "),
    delta(1, "look."),
    done(1, **message("Let me look.", phase="commentary")),
    added(2, type="function_call", id="fc_1", name="look", call_id="call_1", arguments=""),
    done(2, **CALLING),
    completed(usage=USAGE),
]


class Attempt:
    """An accumulator and its call, after some events."""

    def __init__(self, **options):
        self.call = call(**options)
        self.ending: Outcome
        self.accumulator = ResponseAccumulator(stop=self.call.stop, tool_names=self.call.tool_names)

    def feed(self, *events):
        return [step for event in events for step in self.accumulator.feed([event])]

    def outcome(self):
        return self.accumulator.outcome()

    def response(self):
        return self.accumulator.response(self.call)


def answer_to(events, **options):
    answer = Attempt(**options)
    steps = answer.feed(*events)
    answer.ending = answer.outcome()
    return answer, [*steps, *getattr(answer.ending, "steps", ())]


def shown(steps, index):
    """Return all text of one block in the steps."""
    return "".join(step.text for step in steps if isinstance(step, BlockDelta) and step.index == index)


def test_each_item_is_one_block_in_order_with_matching_indices():
    answer, steps = answer_to(WHOLE)
    response = answer.response()
    assert [block.type for block in response.content] == ["thinking", "text", "tool_call"]
    assert [block.type.value for block in response.content_blocks] == ["thinking", "text", "tool_call"]
    assert [(step.index, step.kind) for step in steps if isinstance(step, BlockStart)] == [
        (0, "thinking"),
        (1, "text"),
        (2, "tool_use"),
    ]
    assert response.content[0].thinking == "One\n\nTwo"
    assert response.content[0].content[0]["encrypted_content"] == "gAAA_full"
    assert response.content[1].phase == "commentary"
    assert response.tool_calls[0].arguments == {"at": 1}
    assert response.tool_calls[0].get("name") == "look"
    assert response.finish_reason == "tool_calls"
    assert response.metadata["openai-chatgpt:response_id"] == "resp_1"


def test_deltas_of_one_read_are_one_step_and_make_up_the_block():
    whole, _ = answer_to(WHOLE)
    merged = ResponseAccumulator().feed(WHOLE)
    assert [step.text for step in merged if isinstance(step, BlockDelta)] == ["One\n\nTwo", "Let me look."]
    _, steps = answer_to(WHOLE)
    for index, block in enumerate(whole.response().content[:2]):
        assert shown(steps, index) == (block.thinking if index == 0 else block.text)


@pytest.mark.parametrize("ending", ["completed", "done"])
def test_usage_comes_from_either_terminal_event(ending):
    answer, _ = answer_to([done(0, **message("Hi")), completed(ending, usage=USAGE)])
    usage = answer.response().usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (1200, 64, 1264)
    assert (usage.reasoning_tokens, usage.cache_read_tokens, usage.cache_write_tokens) == (32, 1024, 7)
    assert usage.cost_usd is None, "a subscription has no price per call"


@pytest.mark.parametrize("usage", [None, [], "x"])
def test_usage_that_is_not_reported_is_unknown(usage):
    assert answer_to([completed(usage=usage)])[0].response().usage is None


@pytest.mark.parametrize("wrong", [None, "7", [], {}, -1, float("nan"), True])
def test_counts_of_a_wrong_type_are_zero(wrong):
    odd = {"input_tokens": wrong, "output_tokens": 3, "input_tokens_details": wrong}
    usage = answer_to([completed(usage=odd)])[0].response().usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (0, 3, 3)


def test_an_item_without_deltas_is_shown_completely():
    _, steps = answer_to([done(0, **message("A", "B")), completed()])
    assert steps == [BlockStart(0, "text"), BlockDelta(0, "text", "AB"), BlockEnd(0, "text")]


def test_the_finished_item_adds_what_the_deltas_lacked():
    events = [
        added(0, type="message", id="m"),
        delta(0, "Hello"),
        done(0, **message("Hello world")),
        completed(),
    ]
    answer, steps = answer_to(events)
    assert [s.text for s in steps if isinstance(s, BlockDelta)] == ["Hello", " world"]
    assert answer.response().text == "Hello world"


def test_a_split_surrogate_pair_is_held_back_until_it_is_complete():
    events = [added(0, type="message", id="m"), delta(0, "a\ud83d"), delta(0, "\ude00b"), completed()]
    _, steps = answer_to(events)
    assert [s.text for s in steps if isinstance(s, BlockDelta)] == ["a", "😀b"]


@pytest.mark.parametrize("kind", ["output_text", "reasoning_summary_text"])
@pytest.mark.parametrize("place", [{"output_index": 0}, {"item_id": "x"}, {}], ids=["place", "id", "neither"])
def test_a_delta_of_an_item_that_was_not_announced_starts_its_block(kind, place):
    words = [{"type": f"response.{kind}.delta", "delta": word, **place} for word in ("Hel", "lo")]
    answer, steps = answer_to([*words, CUT])
    block: Kind = "text" if kind == "output_text" else "thinking"
    assert [step for step in steps if isinstance(step, BlockStart | BlockEnd)] == [
        BlockStart(0, block),
        BlockEnd(0, block),
    ]
    assert shown(steps, 0) == getattr(answer.response().content[0], block) == "Hello"


def test_events_without_index_and_item_belong_to_the_open_block_of_their_kind():
    def nameless(event):
        return {key: value for key, value in event.items() if key not in {"output_index", "item_id"}}

    events = [nameless(event) for event in WHOLE]
    expected = answer_to(WHOLE)
    assert answer_to(events)[1] == expected[1]
    assert answer_to(events)[0].response().content == expected[0].response().content


def test_items_may_interleave_and_finish_in_any_order():
    events = [
        added(1, type="function_call", id="b", name="two"),
        added(0, type="message", id="a"),
        delta(0, "Hi"),
        done(1, **{**CALLING, "name": "two"}),
        delta(0, "!"),
        done(0, **message("Hi!")),
        completed(),
    ]
    answer, steps = answer_to(events)
    response = answer.response()
    assert [block.type for block in response.content] == ["tool_call", "text"]
    assert [step.index for step in steps] == [0, 1, 1, 0, 1, 1]
    assert response.text == "Hi!"


def test_a_repeated_item_and_a_late_delta_are_ignored():
    twice = [event for event in WHOLE[:-1] for _ in (1, 2) if event["type"] == "response.output_item.done"]
    events = [*WHOLE[:-1], *twice, delta(1, "late"), thought(0, "late"), completed()]
    assert answer_to(events)[1] == answer_to(WHOLE)[1]
    assert answer_to(events)[0].response().content == answer_to(WHOLE)[0].response().content


def test_a_second_announcement_of_an_open_item_does_not_start_a_second_block():
    events = [added(0, type="message", id="m"), delta(0, "Hi"), added(0, type="message", id="m"), CUT]
    assert [step.index for step in answer_to(events)[1]] == [0, 0, 0]


@pytest.mark.parametrize("begun", [0, 1, 3])
def test_items_that_are_only_in_the_closing_event_are_the_answer(begun):
    """The backend sends none there; other servers may send them only there."""
    items = [REASONING, {"type": "web_search_call", "id": "ws"}, message("Found."), CALLING]
    announced = [added(0, type="reasoning", id="rs_1"), added(2, type="message"), delta(2, "Fou")]
    answer, steps = answer_to([*announced[:begun], completed(output=items)])
    assert [block.type for block in answer.response().content] == ["thinking", "text", "tool_call"]
    assert answer.response().text == "Found."
    assert isinstance(answer.ending, Finished)
    assert [shown(steps, index) for index in (0, 1)] == ["One\n\nTwo", "Found."]


def test_items_of_the_closing_event_are_ignored_if_they_were_finished_before():
    other = {**REASONING, "encrypted_content": "another"}
    events = [done(0, **REASONING), done(1, **message("Hi")), completed(output=[message("Hi"), other])]
    response = answer_to(events)[0].response()
    assert [block.type for block in response.content] == ["thinking", "text"]
    assert response.content[0].content[0]["encrypted_content"] == "gAAA_full"


def test_items_without_a_block_leave_no_gap():
    events = [
        added(0, type="web_search_call", id="ws_1"),
        done(0, type="web_search_call", id="ws_1"),
        added(1, type="message", id="m"),
        delta(1, "Found."),
        done(1, **message("Found.")),
        completed(),
    ]
    answer, steps = answer_to(events)
    assert {step.index for step in steps} == {0}
    assert [block.type for block in answer.response().content] == ["text"]


def test_the_answer_is_distinguished_from_commentary():
    events = [
        done(0, **message("Looking.", phase="commentary")),
        done(1, **message("42.", phase="final_answer")),
        completed(),
    ]
    assert answer_to(events)[0].response().text == "42."
    assert answer_to(events[:1] + events[2:])[0].response().text == "Looking."


def test_citations_stay_with_their_text():
    note = {"type": "url_citation", "url": "https://example.com"}
    part = {"type": "output_text", "text": "x", "annotations": [note]}
    answer, _ = answer_to([done(0, type="message", content=[part]), completed()])
    assert answer.response().content[0].annotations == [note]


def test_an_answer_with_any_items_can_be_written_to_a_file():
    part = {"type": "output_text", "text": "\ud83d", "annotations": [{"title": "\ud83d"}]}
    odd = {"type": "custom_tool_call", "name": "\ud83d", "call_id": "\ud83d", "input": "\ud83d"}
    events = [
        done(0, type="reasoning", summary=[], encrypted_content="gAAA\ud83d"),
        done(1, type="message", phase="\ud83d", content=[part]),
        done(2, **odd),
        completed(id="resp_\ud83d", model="\ud83d"),
    ]
    response = answer_to(events)[0].response()
    json.dumps(response.model_dump(mode="json"), ensure_ascii=False).encode()
    assert response.content[1].annotations == [{"title": "\ufffd"}]


def test_a_refusal_is_text_and_a_finish_reason():
    part = {"type": "refusal", "refusal": "I can't help with that."}
    answer, _ = answer_to([done(0, type="message", content=[part]), completed()])
    assert answer.response().text == "I can't help with that."
    assert answer.response().finish_reason == "content_filter"


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ('{"a": 1}', {"a": 1}),
        ("", {}),
        ("  ", {}),
        (None, {}),
        ({"a": 1}, {"a": 1}),
        ("{oops", {"_raw": "{oops"}),
        ("\ud83d oops", {"_raw": "\ufffd oops"}),
        ('{"a": "\ud83d\ude00 \ud83d"}', {"a": "😀 \ufffd"}),
        ("[1]", {"_raw": "[1]"}),
        ("null", {"_raw": "null"}),
        ("5", {"_raw": "5"}),
        (5, {"_raw": 5}),
        ('{"a": NaN}', {"_raw": '{"a": NaN}'}),
    ],
)
def test_arguments_are_an_object_or_kept_as_text(arguments, read):
    answer, _ = answer_to([done(0, **{**CALLING, "arguments": arguments}), completed()])
    assert answer.response().tool_calls[0].arguments == read


@pytest.mark.parametrize(
    ("ids", "used"), [({"call_id": "c"}, "c"), ({"id": "fc"}, "fc"), ({"call_id": ""}, None)]
)
def test_a_call_always_has_an_id_which_is_the_same_everywhere(ids, used):
    answer, _ = answer_to([done(0, type="function_call", name="look", arguments="", **ids), completed()])
    response = answer.response()
    given = {response.content[0].id, response.tool_calls[0].id, response.content_blocks[0].id}
    assert len(given) == 1
    assert given == {used} if used else all(given)


def test_tool_names_are_restored_to_amplifiers_names():
    tools = [ToolSpec(name="my.tool", parameters={"type": "object", "properties": {}})]
    answer = Attempt(tools=tools)
    wire_name = answer.call.payload()["tools"][0]["name"]
    steps = answer.feed(
        added(0, type="function_call", id="f", name=wire_name), done(0, **{**CALLING, "name": wire_name})
    )
    assert wire_name != "my.tool"
    assert steps[0] == BlockStart(0, "tool_use", "my.tool")
    assert answer.response().tool_calls[0].name == "my.tool"


@pytest.mark.parametrize("cuts", [1, 2, 5, 100])
def test_a_stop_sequence_ends_the_answer_before_it(cuts):
    text = "One two STOP three"
    pieces = [text[i : i + cuts] for i in range(0, len(text), cuts)]
    answer, steps = answer_to(
        [added(0, type="message", id="m"), *(delta(0, p) for p in pieces)], stop=["STOP"]
    )
    assert answer.ending.stopped
    assert answer.response().text == "One two "
    assert "".join(s.text for s in steps if isinstance(s, BlockDelta)) == "One two "


def test_text_that_only_starts_like_a_stop_sequence_is_kept():
    events = [
        added(0, type="message", id="m"),
        delta(0, "ST"),
        delta(0, "ART ST"),
        done(0, **message("START ST")),
        completed(),
    ]
    answer, steps = answer_to(events, stop=["STOP"])
    assert "".join(s.text for s in steps if isinstance(s, BlockDelta)) == "START ST"
    assert not answer.ending.stopped


def test_a_tool_call_that_broke_off_keeps_its_block_and_is_not_run():
    events = [
        done(0, **message("A")),
        added(1, type="function_call", id="f", name="look"),
        completed("incomplete", incomplete_details={"reason": "max_output_tokens"}),
    ]
    answer, steps = answer_to(events)
    response = answer.response()
    assert [block.type for block in response.content] == ["text", "text"]
    assert response.tool_calls is None
    assert response.finish_reason == "length"
    assert steps[-1] == BlockEnd(1, "tool_use")


def test_a_tool_call_whose_arguments_were_cut_is_not_run_either():
    cut = {**CALLING, "arguments": '{"path": "/et', "status": "incomplete"}
    ending = completed("incomplete", incomplete_details={"reason": "max_output_tokens"})
    answer, steps = answer_to([done(0, **message("A")), done(1, **cut), ending])
    assert answer.response().tool_calls is None
    assert isinstance(answer.ending, Resumable)
    assert [item["type"] for item in answer.ending.items] == ["message"]
    assert steps[-1] == BlockEnd(1, "tool_use")
    unfinished, _ = answer_to([done(0, **cut), completed()])
    assert isinstance(unfinished.ending, BrokenOff), "an answer with such a call is not complete"


def test_attempts_add_up_and_a_dropped_attempt_leaves_nothing():
    answer = Attempt()
    answer.feed(done(0, **message("Half ")), completed("incomplete", usage=USAGE))
    answer.accumulator.keep()
    answer.feed(added(0, type="message", id="x"), delta(0, "junk"))
    answer.accumulator.drop()
    assert [step.index for step in answer.accumulator.replay()] == [0, 0, 0]
    steps = answer.feed(done(0, **message("whole.")), completed(usage=USAGE))
    assert steps[0] == BlockStart(1, "text")
    assert answer.response().text == "Half whole."
    assert answer.response().usage.input_tokens == 2400


@pytest.mark.parametrize(
    ("events", "kind"),
    [
        (WHOLE, Finished),
        ([done(0, **message("A")), CUT], Resumable),
        ([done(0, **message("A")), completed(end_turn=False)], Resumable),
        ([done(0, **CALLING), completed(end_turn=False)], Finished),
        ([done(0, **CALLING), CUT], Incomplete),
        ([completed("incomplete", incomplete_details={"reason": "content_filter"})], Incomplete),
        ([done(0, **message("A")), {"type": "response.failed"}], Failed),
        ([{"type": "error", "message": "no"}], Failed),
        ([done(0, **message("A"))], BrokenOff),
        ([added(0, type="message", id="m"), delta(0, "A"), completed()], BrokenOff),
        ([], BrokenOff),
    ],
)
def test_an_attempt_ends_in_one_of_five_ways(events, kind):
    assert type(answer_to(events)[0].ending) is kind


def test_after_a_failed_continuation_the_text_before_it_is_a_cut_answer():
    answer = Attempt()
    assert not answer.accumulator.cut_off(), "there is nothing to keep yet"
    answer.feed(done(0, **message("Half")), CUT)
    answer.accumulator.keep()
    answer.feed(added(0, type="message", id="x"), delta(0, "junk"))
    assert answer.accumulator.cut_off()
    response = answer.response()
    assert (response.text, response.finish_reason) == ("Half", "length")


@pytest.mark.parametrize("count", [1e300, 2**60, -1, True, "7", None])
def test_an_absurd_number_of_tokens_is_ignored(count):
    answer, _ = answer_to(
        [completed(usage={"input_tokens": count, "output_tokens": 3, "total_tokens": count})]
    )
    usage = answer.response().usage
    assert (usage.input_tokens, usage.total_tokens) == (0, 3)


JUNK: st.SearchStrategy[object] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.lists(st.none(), max_size=1)
    | st.just({})
)
TYPES = st.sampled_from([event["type"] for event in WHOLE])


@st.composite
def damaged(draw):
    """Draw a realistic stream with fields replaced by values of any type."""
    events = []
    for event in WHOLE:
        key = draw(st.sampled_from([*event, ""]))
        changed = {**event, key: draw(JUNK)} if key not in {"", "type"} else dict(event)
        for name in ("item", "response"):
            if isinstance(changed.get(name), dict) and changed[name] and draw(st.booleans()):
                inner = draw(st.sampled_from(list(changed[name])))
                changed[name] = {**changed[name], inner: draw(JUNK)}
        events.append(changed)
    return draw(st.permutations(events)) if draw(st.booleans()) else events


@hypothesis_settings(max_examples=150)
@given(damaged())
def test_fields_of_any_type_never_raise_and_steps_stay_valid(events):
    answer, steps = answer_to(events)
    response = answer.response()
    assert len(response.content) == len(response.content_blocks)
    started = [step.index for step in steps if isinstance(step, BlockStart)]
    ended = [step.index for step in steps if isinstance(step, BlockEnd)]
    assert sorted(started) == list(range(len(response.content)))
    assert set(ended) <= set(started)
    if not isinstance(answer.ending, Failed | BrokenOff):
        assert sorted(ended) == sorted(started)
    assert all(step.text for step in steps if isinstance(step, BlockDelta))


@hypothesis_settings(max_examples=100)
@given(st.lists(st.integers(1, len(WHOLE) - 1), max_size=6))
def test_any_grouping_of_events_into_reads_gives_the_same_answer(cuts):
    places = sorted({0, len(WHOLE), *cuts})
    answer = Attempt()
    for start, end in pairwise(places):
        answer.accumulator.feed(WHOLE[start:end])
    expected = answer_to(WHOLE)[0].response()
    assert answer.response().model_dump(exclude={"metadata"}) == expected.model_dump(exclude={"metadata"})
