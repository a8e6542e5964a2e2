"""Texts longer than the backend accepts are shortened in the history and an error in the newest message."""

import json

import pytest
from amplifier_core.llm_errors import ContextLengthError

from amplifier_module_provider_openai_chatgpt.request.lengths import (
    KEPT,
    LONGEST_ARGUMENTS,
    LONGEST_TEXT,
    shortened,
    shortened_arguments,
)

from .conversations import assistant, calls, items_of, payload_of, text, tool, user

LONG = "head" + "x" * LONGEST_TEXT + "tail"
MARK = f"[... shortened, the original has {len(LONG):,} characters ...]"


def arguments_of(*blocks: dict) -> str:
    arguments: str = items_of(user(), assistant(*blocks), *(tool(one["id"]) for one in blocks), user())[1][
        "arguments"
    ]
    return arguments


def test_long_arguments_keep_their_shape_and_the_head_and_tail_of_long_values():
    value = "head" + "y" * 1_200_000 + "tail"
    arguments = json.loads(arguments_of(calls("c1", path="/a", content=value, n=[1, {"more": value}])))

    assert arguments["path"] == "/a"
    assert arguments["n"][0] == 1
    for short in (arguments["content"], arguments["n"][1]["more"]):
        assert short.startswith("head")
        assert short.endswith("tail")
        assert "the original has 1,200,008 characters" in short
        assert len(short) < KEPT + 100


@pytest.mark.parametrize(
    "block",
    [
        calls("c1", **{f"k{n}": "y" * 500 for n in range(3000)}),
        calls("c1", values=list(range(400_000))),
        calls("c1", _raw="not JSON " * 200_000),
        {**calls("c1"), "input": {"k" * 1_100_000: 1}},
        calls("c1", n=int("9" * 4000), text="\U0001f600" * 1_100_000),
    ],
    ids=["many values", "a long list", "not JSON", "a long key", "wide characters"],
)
def test_any_long_arguments_are_shortened(block):
    arguments = arguments_of(block)

    assert len(arguments) < KEPT * 3
    assert "shortened" in arguments


def test_arguments_up_to_the_limit_are_unchanged():
    text = json.dumps({"x": "y" * (LONGEST_ARGUMENTS - 8)}, separators=(",", ":"))

    assert len(text) == LONGEST_ARGUMENTS
    assert shortened_arguments(text) is text
    assert shortened_arguments(text[:-2] + 'y"}') != text


@pytest.mark.parametrize(
    "history",
    [
        [user(LONG)],
        [{"role": "user", "content": [text(LONG)]}],
        [{"role": "developer", "content": LONG}],
        [assistant(text(LONG))],
        [{"role": "assistant", "content": LONG}],
        [assistant(calls("c1")), tool("c1", LONG)],
        [assistant(calls("c1")), tool("c1", [text(LONG)])],
        [assistant(calls("c1")), tool("c1", [text(LONG), text("b")])],
        [tool("c9", LONG)],
    ],
    ids=[
        "user",
        "block",
        "developer",
        "answer",
        "answer text",
        "result",
        "result block",
        "joined",
        "lost result",
    ],
)
def test_a_long_text_in_the_history_is_shortened(history):
    body = json.dumps(payload_of(user("start"), *history, user("go on"))["input"])

    assert len(body) < 2 * KEPT
    assert "tail" in body
    assert "[... shortened, the original has " in body


def test_a_long_value_of_a_tool_is_shortened():
    result = {"type": "tool_result", "tool_call_id": "c1", "output": {"a": LONG, "b": [LONG]}}

    assert len(items_of(user(), assistant(calls("c1")), tool("c1", [result]))[-1]["output"]) < 2 * KEPT


@pytest.mark.parametrize(
    "content", [LONG, [text(LONG)], [text("a"), text(LONG)]], ids=["text", "block", "second"]
)
def test_a_long_newest_message_is_a_length_error_that_says_how_long(content):
    with pytest.raises(ContextLengthError, match="The newest message has 10,485,768 characters") as raised:
        items_of({"role": "user", "content": content})

    assert raised.value.provider == "openai-chatgpt"
    assert not raised.value.retryable


def test_a_long_system_prompt_is_a_length_error():
    with pytest.raises(ContextLengthError, match="The system prompt has 10,485,768 characters"):
        items_of({"role": "system", "content": LONG}, user())


def test_a_text_up_to_the_limit_is_unchanged():
    limit = "x" * LONGEST_TEXT

    assert shortened(limit) is limit
    assert items_of(user(limit))[0]["content"][0]["text"] == limit
    assert shortened(LONG) == f"{LONG[: KEPT // 2]}\n{MARK}\n{LONG[-KEPT // 2 :]}"
