"""Any conversation is sent completely, in order and in the same bytes, and its messages are not changed."""

import json

import pytest
from amplifier_core.message_models import ChatRequest, Message
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.protocol.reasoning import to_block_content
from amplifier_module_provider_openai_chatgpt.secret import Secret

from .conversations import (
    assistant,
    call_for,
    calls,
    image,
    items_of,
    request,
    text,
    thinking,
    tool,
    user,
)
from .pictures import b64, png

MARK = "<mark>"

words = st.text(max_size=8).map(lambda some: some + MARK)
own = st.sampled_from(["c1", "c2", "", "c" * 80])
others = st.sampled_from(["d1", "d2"])
ids = own | others
names = st.sampled_from(["look", "my.tool"])
texts = words.map(text)
pictures = st.sampled_from(["image/png", "image/gif", "image/jpeg"]).map(lambda kind: image(MARK, kind))
tool_calls = st.builds(lambda i, n, w: calls(i, n, w=w), own, names, words)
listed = st.builds(lambda i, n, w: {"id": i, "tool": n, "arguments": {"w": w}}, others, names, words)
outputs = (
    words
    | st.lists(texts | pictures, min_size=1, max_size=3)
    | st.builds(lambda w: {"found": [w, 1.5, None]}, words)
)
results = st.builds(lambda i, o: {"type": "tool_result", "tool_call_id": i, "output": o}, ids, outputs)
unsent = st.sampled_from(
    [
        thinking("AAA", model="gpt-5.2"),
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "content": ["x"], "summary": []},
        text(""),
    ]
)
thoughts = st.just({"type": "thinking", "thinking": MARK})
said = st.sampled_from(["user", "system", "developer"])
extra = st.fixed_dictionaries({}, optional={"tool_calls": st.lists(listed, max_size=2)})
message = st.one_of(
    st.builds(lambda role, w: {"role": role, "content": w}, said, words),
    st.builds(
        lambda role, b: {"role": role, "content": b},
        said,
        st.lists(texts | pictures, min_size=1, max_size=3),
    ),
    st.builds(
        lambda b, more: assistant(*b, **more),
        st.lists(texts | tool_calls | thoughts | unsent | pictures, max_size=5),
        extra,
    ),
    st.builds(lambda w, more: {"role": "assistant", "content": w, **more}, words, extra),
    st.builds(tool, ids, words | st.lists(texts | pictures, min_size=1, max_size=3)),
    st.builds(tool, ids, st.lists(results, min_size=1, max_size=2)),
    st.builds(lambda b: {"role": "user", "content": b}, st.lists(results | texts, min_size=1, max_size=3)),
    st.builds(lambda n, w: {"role": "function", "name": n, "content": w}, names, words),
)


class Numbered:
    """A conversation in which every mark is replaced by a unique one; ``marks`` lists them in order."""

    def __init__(self, messages):
        self.marks = []
        self.messages = [self._copy(one) for one in messages]

    def _copy(self, value):
        if isinstance(value, list):
            return [self._copy(inner) for inner in value]
        if not isinstance(value, dict):
            return value.replace(MARK, self._mark()) if isinstance(value, str) and MARK in value else value
        if value.get("type") == "thinking" and value["thinking"] == MARK:
            item = {"encrypted_content": f"gAAA{self._mark()}", "summary": []}
            return {**value, "content": to_block_content(item, "gpt-5.5", Secret("acc-1"))}
        if value.get("data") == MARK:
            self.marks.append(b64(png(len(self.marks))))
            return {**value, "data": self.marks[-1]}
        return {key: self._copy(inner) for key, inner in value.items()}

    def _mark(self):
        self.marks.append(f"N{len(self.marks):06}M")
        return self.marks[-1]


conversations = st.lists(message, max_size=12).map(lambda some: Numbered([user(f"start {MARK}"), *some]))
quick = settings(max_examples=50)


@quick
@given(conversations)
def test_all_text_reasoning_images_calls_and_results_are_sent_once_and_in_order(conversation):
    body = call_for(request(*conversation.messages)).body().decode()
    places = [body.find(mark) for mark in conversation.marks]

    assert -1 not in places
    assert places == sorted(places)
    assert [body.count(mark) for mark in conversation.marks] == [1] * len(places)


@quick
@given(conversations)
def test_every_call_has_its_result_after_it_and_every_result_its_call(conversation):
    items = items_of(*conversation.messages)
    asked = [item["call_id"] for item in items if item["type"] == "function_call"]
    places = {item["call_id"]: place for place, item in enumerate(items) if item["type"] == "function_call"}
    replied = {
        item["call_id"]: place for place, item in enumerate(items) if item["type"] == "function_call_output"
    }

    assert len(asked) == len(set(asked))
    assert all(asked)
    assert set(places) == set(replied)
    assert all(places[call_id] < place for call_id, place in replied.items())


@quick
@given(conversations)
def test_building_changes_no_message_and_is_deterministic(conversation):
    asked = ChatRequest(messages=[Message(**one) for one in conversation.messages])
    before = asked.model_dump_json()
    remembered: dict[str, str] = {}

    first, second = (call_for(asked, remembered=remembered).body() for _ in range(2))

    assert first == second
    assert asked.model_dump_json() == before


@quick
@given(conversations, st.data())
def test_a_longer_conversation_starts_with_the_bytes_of_the_shorter_one(conversation, data):
    """Cut where a turn can end: before the next answer, with no result outstanding."""
    messages = conversation.messages
    ends = [n for n in range(1, len(messages)) if messages[n]["role"] == "assistant"]
    end = data.draw(st.sampled_from(ends or [len(messages)]))
    head, tail = messages[:end], messages[end:]
    open_calls = any(repair.kind == "missing_result" for repair in call_for(request(*head)).repairs)
    if open_calls and any("tool_call_id" in json.dumps(one) or one["role"] == "function" for one in tail):
        return

    shorter, longer = (call_for(request(*some)).body().split(b'"input":[')[1] for some in (head, messages))

    assert longer.startswith(shorter.partition(b'],"store":')[0])


@pytest.mark.long
@pytest.mark.parametrize(
    "rule",
    [
        test_all_text_reasoning_images_calls_and_results_are_sent_once_and_in_order,
        test_every_call_has_its_result_after_it_and_every_result_its_call,
        test_building_changes_no_message_and_is_deterministic,
    ],
)
def test_each_rule_holds_for_many_more_conversations(rule):
    much = settings(max_examples=800)
    much(given(conversations)(rule.hypothesis.inner_test))()
