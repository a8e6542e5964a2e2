"""Messages of every shape become input items, in order, each exactly once."""

import json

import pytest

from amplifier_module_provider_openai_chatgpt.request.build import DEFAULT_INSTRUCTIONS
from amplifier_module_provider_openai_chatgpt.request.tool_pairing import MISSING

from .conversations import (
    PNG,
    answered,
    assistant,
    call_for,
    called,
    calls,
    image,
    items_of,
    output,
    payload_of,
    reasoned,
    request,
    said,
    text,
    thinking,
    tool,
    user,
)

PICTURE = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
ORPHAN = "[Result of a tool call that is not in this conversation]"

SHAPES = {
    "a user's text": ([user("hi")], [said("user", "hi")]),
    "texts of a user stay parts": (
        [{"role": "user", "content": [text("a"), text(""), text("b")]}],
        [{**said("user", "a"), "content": [{"type": "input_text", "text": word} for word in "ab"]}],
    ),
    "text and image": (
        [{"role": "user", "content": [text("see"), image()]}],
        [{**said("user", "see"), "content": [{"type": "input_text", "text": "see"}, PICTURE]}],
    ),
    "an image alone": (
        [{"role": "user", "content": [image()]}],
        [{"type": "message", "role": "user", "content": [PICTURE]}],
    ),
    "empty messages are left out": (
        [user("hi"), user(""), assistant(), {"role": "assistant", "content": ""}, assistant(text(""))],
        [said("user", "hi")],
    ),
    "later system messages become developer in place": (
        [user("hi"), {"role": "system", "content": "mind"}, {"role": "developer", "content": [text("too")]}],
        [said("user", "hi"), said("developer", "mind"), said("developer", "too")],
    ),
    "the last message is never an instruction": (
        [{"role": "system", "content": "say hello"}],
        [said("developer", "say hello")],
    ),
    "each text block is a message of its own, with its phase and without annotations": (
        [user(), assistant(text("looking", phase="commentary"), text("done", annotations=[{"url": "x"}]))],
        [said("user", "hi"), answered("looking", phase="commentary"), answered("done")],
    ),
    "an unknown phase is left out": (
        [user(), assistant(text("a", phase="final_answer"), text("b", phase="analysis"), text("c", phase=7))],
        [said("user", "hi"), answered("a", phase="final_answer"), answered("b"), answered("c")],
    ),
    "arguments kept as _raw are sent as the model wrote them, if that is JSON": (
        [
            user(),
            assistant(calls("c1", _raw='{"at": '), calls("c2", _raw="[1]"), calls("c3", _raw='{"at":1}')),
            *(tool(name) for name in ("c1", "c2", "c3")),
        ],
        [
            said("user", "hi"),
            called("c1", arguments='{"_raw":"{\\"at\\": "}'),
            called("c2", arguments="[1]"),
            called("c3", arguments='{"_raw":"{\\"at\\":1}"}'),
            *(output(name) for name in ("c1", "c2", "c3")),
        ],
    ),
    "a call that is also in tool_calls is sent once": (
        [
            user(),
            assistant(calls("c1", a=1), tool_calls=[{"id": "c1", "tool": "look", "arguments": {"a": 1}}]),
            tool("c1"),
        ],
        [said("user", "hi"), called("c1", arguments='{"a":1}'), output("c1")],
    ),
    "a call that is only in tool_calls is sent": (
        [
            user(),
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "tool": "look", "arguments": {"a": 1}}],
            },
            tool("c1"),
        ],
        [said("user", "hi"), called("c1", arguments='{"a":1}'), output("c1")],
    ),
    "a call in tool_calls in OpenAI's form is sent": (
        [
            user(),
            {
                "role": "assistant",
                "content": "so",
                "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": '{"a":1}'}}],
            },
            tool("c1"),
        ],
        [said("user", "hi"), answered("so"), called("c1", arguments='{"a":1}'), output("c1")],
    ),
    "the order of reasoning, text and calls is kept": (
        [
            user(),
            assistant(thinking("AAA"), text("first"), calls("c1"), text("second"), calls("c2")),
            tool("c2", "two"),
            tool("c1", "one"),
        ],
        [
            said("user", "hi"),
            reasoned("AAA"),
            answered("first"),
            called("c1"),
            answered("second"),
            called("c2"),
            output("c2", "two"),
            output("c1", "one"),
        ],
    ),
    "thinking_block next to the content is first": (
        [user(), {"role": "assistant", "content": "so", "thinking_block": thinking("AAA")}],
        [said("user", "hi"), reasoned("AAA"), answered("so")],
    ),
    "reasoning of other providers is left out": (
        [
            user(),
            assistant(
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "thinking", "thinking": "hm", "content": ["AAA", "rs_1"]},
                {"type": "thinking", "thinking": "hm", "content": ["AAA"]},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "reasoning", "content": ["AAA"], "summary": []},
                text("so"),
            ),
        ],
        [said("user", "hi"), answered("so")],
    ),
    "results as block, text block, value and function role": (
        [
            user(),
            assistant(calls("c1"), calls("c2"), calls("c3"), calls("c4", "add")),
            tool("c1", [{"type": "tool_result", "tool_call_id": "c1", "output": {"n": 1}}]),
            tool("c2", [text("a"), text("b")]),
            tool("c3", []),
            {"role": "function", "name": "add", "content": "4"},
        ],
        [
            said("user", "hi"),
            *(called("c1"), called("c2"), called("c3"), called("c4", "add")),
            *(output("c1", '{"n":1}'), output("c2", "a\nb"), output("c3", ""), output("c4", "4")),
        ],
    ),
    "results in a user message are results": (
        [
            user(),
            assistant(calls("c1")),
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_call_id": "c1", "output": "x"}, text("and?")],
            },
        ],
        [said("user", "hi"), called("c1"), output("c1", "x"), said("user", "and?")],
    ),
    "an image of the model is sent as the user's": (
        [user(), assistant(text("look"), image())],
        [
            said("user", "hi"),
            answered("look"),
            {"type": "message", "role": "user", "content": [PICTURE]},
        ],
    ),
    "a call without a result gets a fixed one": (
        [user(), assistant(calls("c1"), calls("c2")), tool("c2"), user("so?")],
        [
            said("user", "hi"),
            called("c1"),
            output("c1", MISSING),
            called("c2"),
            output("c2"),
            said("user", "so?"),
        ],
    ),
    "a result without a call becomes a note": (
        [user(), tool("c9", "lost", name="look")],
        [said("user", "hi"), said("user", f"{ORPHAN[:-1]} (look)]\nlost")],
    ),
    "a note keeps its image": (
        [user(), tool("c9", [image()])],
        [
            said("user", "hi"),
            {**said("user", ""), "content": [{"type": "input_text", "text": ORPHAN}, PICTURE]},
        ],
    ),
    "a result before its call is a note, and the call gets a fixed result": (
        [user(), tool("c1", "early"), assistant(calls("c1"))],
        [said("user", "hi"), said("user", f"{ORPHAN}\nearly"), called("c1"), output("c1", MISSING)],
    ),
    "the same call and the same result again are dropped": (
        [user(), assistant(calls("c1"), calls("c1")), tool("c1"), tool("c1"), user("so?")],
        [said("user", "hi"), called("c1"), output("c1"), said("user", "so?")],
    ),
    "another result for the same call is a note": (
        [user(), assistant(calls("c1")), tool("c1", "a"), tool("c1", "b")],
        [said("user", "hi"), called("c1"), output("c1", "a"), said("user", f"{ORPHAN}\nb")],
    ),
    "ids that restart each turn are numbered": (
        [user(), assistant(calls("0")), tool("0", "a"), assistant(calls("0")), tool("0", "b")],
        [said("user", "hi"), called("0"), output("0", "a"), called("0_2"), output("0_2", "b")],
    ),
    "a result without an id skips a call whose id has been reused": (
        [
            user(),
            assistant(calls("0")),
            user("again"),
            assistant(calls("0")),
            {"role": "function", "name": "look", "content": "b"},
        ],
        [
            said("user", "hi"),
            *(called("0"), output("0", MISSING)),
            said("user", "again"),
            *(called("0_2"), output("0_2", "b")),
        ],
    ),
    "empty ids are replaced": (
        [user(), assistant(calls(""), calls("", "add")), tool("", "a"), tool("", "b")],
        [
            said("user", "hi"),
            called("call"),
            called("call_2", "add"),
            output("call", "a"),
            output("call_2", "b"),
        ],
    ),
    "a result with an unknown id does not take a call of the same name": (
        [user(), assistant(calls("c1")), tool("c9", "lost", name="look"), tool("c1", "found")],
        [
            said("user", "hi"),
            called("c1"),
            said("user", f"{ORPHAN[:-1]} (look)]\nlost"),
            output("c1", "found"),
        ],
    ),
    "a result with an unknown id leaves the call without a result": (
        [user(), assistant(calls("c1")), tool("c9", "lost", name="look")],
        [
            said("user", "hi"),
            *(called("c1"), output("c1", MISSING)),
            said("user", f"{ORPHAN[:-1]} (look)]\nlost"),
        ],
    ),
    "results without ids are paired by name": (
        [
            user(),
            assistant(calls(""), calls("", "add")),
            tool("", "4", name="add"),
            tool("", "a", name="look"),
        ],
        [
            said("user", "hi"),
            *(called("call"), called("call_2", "add")),
            *(output("call_2", "4"), output("call", "a")),
        ],
    ),
    "a result without an id for an unknown name is a note": (
        [user(), assistant(calls("")), tool("", "4", name="add")],
        [
            said("user", "hi"),
            *(called("call"), output("call", MISSING)),
            said("user", f"{ORPHAN[:-1]} (add)]\n4"),
        ],
    ),
    "a result without id and name belongs to the oldest call without an id": (
        [user(), assistant(calls("c1"), calls("")), tool("", "a")],
        [said("user", "hi"), *(called("c1"), output("c1", MISSING)), called("call"), output("call", "a")],
    ),
    "private citation marks are sent as they are": (
        [user(), assistant(text("5 \ue200cite\ue202turn0search0\ue201.")), user("\ue200x\ue201")],
        [
            said("user", "hi"),
            answered("5 \ue200cite\ue202turn0search0\ue201."),
            said("user", "\ue200x\ue201"),
        ],
    ),
    "blank developer messages are left out": (
        [user(), {"role": "system", "content": " \n"}, {"role": "developer", "content": [text("\t")]}],
        [said("user", "hi")],
    ),
    "reasoning is sent even if the text after it is empty": (
        [user(), assistant(thinking("AAA"), text("")), user("so?")],
        [said("user", "hi"), reasoned("AAA"), said("user", "so?")],
    ),
    "reasoning before a repeated call is sent": (
        [user(), assistant(calls("c1"), thinking("AAA"), calls("c1")), tool("c1")],
        [said("user", "hi"), called("c1"), reasoned("AAA"), output("c1")],
    ),
    "a late result is paired with its call": (
        [user(), assistant(calls("c1")), user("hurry"), tool("c1")],
        [said("user", "hi"), called("c1"), said("user", "hurry"), output("c1")],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_becomes_its_items(shape):
    messages, expected = SHAPES[shape]

    assert items_of(*messages) == expected


OUTPUTS = {
    "text": ("plain", "plain"),
    "nothing": (None, "null"),
    "a number": (4.5, "4.5"),
    "not a number": (float("nan"), "null"),
    "an object": ({"b": 1, "a": [True]}, '{"b":1,"a":[true]}'),
    "a list of texts": (["a", "b"], '["a","b"]'),
    "text blocks": ([text("a"), text("b")], "a\nb"),
    "a text and an image": ([text("a"), image()], [{"type": "input_text", "text": "a"}, PICTURE]),
    "an image of MCP": ([{"type": "image", "data": PNG, "mimeType": "image/png"}], [PICTURE]),
    "an image of OpenAI": (
        [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
        [PICTURE],
    ),
    "values that only look like blocks": (
        [{"type": "image", "name": "a.png"}],
        '[{"type":"image","name":"a.png"}]',
    ),
    "text blocks with more than text": ([text("a", line=3)], '[{"type":"text","text":"a","line":3}]'),
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_a_tool_output_keeps_its_content(kind):
    value, expected = OUTPUTS[kind]
    block = {"type": "tool_result", "tool_call_id": "c1", "output": value}

    assert items_of(user(), assistant(calls("c1")), tool("c1", [block]))[-1] == output("c1", expected)


@pytest.mark.parametrize(
    ("leading", "instructions"),
    [
        ([], DEFAULT_INSTRUCTIONS),
        ([""], DEFAULT_INSTRUCTIONS),
        ([" \n\t"], DEFAULT_INSTRUCTIONS),
        ([[text("  "), text("")], "\n"], DEFAULT_INSTRUCTIONS),
        (["  ", "one", "\n"], "one"),
        ([" one "], " one "),
        (["one"], "one"),
        (["one", "two"], "one\ntwo"),
        ([[text("one"), text(""), text("two")], "three"], "one\ntwo\nthree"),
    ],
)
def test_leading_system_messages_are_the_instructions(leading, instructions):
    messages = [{"role": "system", "content": content} for content in leading]
    payload = payload_of(*messages, user())

    assert payload["instructions"] == instructions
    assert payload["input"] == [said("user", "hi")]


def test_an_image_in_the_instructions_is_the_first_input_item():
    system = {"role": "system", "content": [text("see"), image()]}

    assert items_of(system, user())[0]["content"] == [PICTURE]


def test_repairs_name_the_tool():
    call = call_for(request(user(), assistant(calls("c1", "my.tool")), tool("c2", name="other")))

    assert [(repair.tool_call_id, repair.tool_name, repair.kind) for repair in call.repairs] == [
        ("c2", "other", "orphan_result"),
        ("c1", "my.tool", "missing_result"),
    ]


def test_a_complete_conversation_needs_no_repair():
    assert call_for(request(user(), assistant(calls("c1")), tool("c1"))).repairs == ()


CLEAN = {"a\ud800b": "a\ufffdb", "\ude00": "\ufffd", "nul\0": "nul\ufffd", "\ud83d\ude00": "😀"}


@pytest.mark.parametrize("odd", CLEAN)
def test_any_text_is_cleaned(odd):
    clean = CLEAN[odd]
    payload = payload_of(
        {"role": "system", "content": odd},
        {"role": "user", "content": [text(odd)]},
        assistant(text(odd), calls(odd, "look", **{odd: odd})),
        tool(odd, [{"type": "tool_result", "tool_call_id": odd, "output": {odd: odd}}]),
        tool("c9", odd),
    )
    value = json.dumps({clean: clean}, ensure_ascii=False, separators=(",", ":"))

    assert payload["instructions"] == clean
    assert payload["input"] == [
        said("user", clean),
        answered(clean),
        called(clean, arguments=value),
        output(clean, value),
        said("user", f"{ORPHAN}\n{clean}"),
    ]
