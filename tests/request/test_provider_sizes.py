"""Unusual characters and large inputs through ``complete()``: nothing crashes, and a refusal says why."""

import json
import sys

import pytest
from amplifier_core.llm_errors import ContextLengthError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Reply
from tests.request.conversations import assistant, calls, image, text, thinking, tool, user
from tests.request.pictures import b64, png

RESPONSES = "/codex/responses"
ODD = "half \ud83d, other half \ude00, NUL \0, pair \ud83d\ude00, lines \u2028\u2029\x85"
CLEAN = "half \ufffd, other half \ufffd, NUL \ufffd, pair \U0001f600, lines \u2028\u2029\x85"
SCHEMA = {"type": "object", "properties": {}}
HUGE = 5_000_000


@pytest.fixture
async def provider(config):
    provider = ChatGPTProvider({**config, "max_retries": 0})
    yield provider
    await provider.close()


def last_body(sim):
    return sim.requests_to(RESPONSES)[-1]


def widen(sim, tokens):
    """Give the simulated models a context window of this many tokens."""
    for model in sim.models:
        model["context_window"] = model["max_context_window"] = tokens


async def test_invalid_characters_anywhere_arrive_as_replacements(sim, provider):
    messages = [
        {"role": "system", "content": ODD},
        {"role": "user", "content": [text(ODD)]},
        assistant(text(ODD), calls(ODD, ODD, **{ODD: ODD})),
        tool(ODD, ODD),
        tool("lost", [text(ODD), image()], name=ODD),
        {"role": "assistant", "content": "", "tool_calls": [{"id": "c2", "tool": ODD, "arguments": ODD}]},
        {"role": "developer", "content": ODD},
        user(ODD),
    ]
    specs = [{"name": ODD, "description": ODD, "parameters": {"type": "object", "properties": {ODD: {}}}}]
    response = await provider.complete(
        ChatRequest(messages=messages, tools=specs, stop=[ODD], tool_choice="none", conversation_id=ODD)
    )
    assert response.text
    body = last_body(sim).body.decode()
    words = json.dumps(last_body(sim).json, ensure_ascii=False)
    assert body.count(CLEAN) >= 10
    assert "\0" not in words
    assert "\\u0000" not in body


@pytest.mark.parametrize("answer", ["half \ud83d", "NUL \0", "\ud83d\ude00"])
async def test_unusual_characters_of_the_model_reach_the_caller_and_are_replayed(sim, provider, answer):
    escaped = json.dumps({"type": "message", "content": [{"type": "output_text", "text": answer}]})
    done = '{"type":"response.output_item.done","output_index":0,"item":' + escaped + "}"
    raw = f'data: {done}\n\ndata: {{"type":"response.completed","response":{{}}}}\n\n'.encode()
    sim.reply_with(Reply(raw=raw))
    response = await provider.complete(ChatRequest(messages=[user()]))
    response.text.encode()
    history = [user(), assistant(*(block.model_dump() for block in response.content)), user("and?")]
    await provider.complete(ChatRequest(messages=history))
    assert last_body(sim).json["input"][1]["content"][0]["text"] == response.text


async def test_a_tool_result_of_megabytes_arrives_whole_if_it_fits_the_context_window(sim, provider):
    widen(sim, 10_000_000)
    result = "".join(f"line {number}\n" for number in range(HUGE // 10))[:HUGE]
    messages = [user(), assistant(calls("c1")), tool("c1", result)]
    assert (await provider.complete(ChatRequest(messages=messages))).text
    assert last_body(sim).json["input"][-1]["output"] == result


async def test_a_tool_result_beyond_the_window_is_a_length_error_that_says_so(sim, provider):
    """Hosts start their compaction on this class."""
    messages = [user(), assistant(calls("c1")), tool("c1", "x" * HUGE)]
    with pytest.raises(ContextLengthError) as raised:
        await provider.complete(ChatRequest(messages=messages))
    assert not raised.value.retryable
    assert "context window" in str(raised.value)
    assert len(str(raised.value)) < 400
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_an_image_of_megabytes_arrives_whole(sim, provider):
    data = b64(png(size=HUGE // 4 * 3))
    messages = [{"role": "user", "content": [text("See"), image(data)]}]
    await provider.complete(ChatRequest(messages=messages))
    assert last_body(sim).json["input"][0]["content"][1]["image_url"] == f"data:image/png;base64,{data}"


async def test_three_hundred_tools_are_offered_and_the_last_can_be_called(sim, provider):
    specs = [
        {"name": f"server{number}.tool", "description": "", "parameters": SCHEMA} for number in range(299)
    ]
    specs.append({"name": "get.time", "description": "", "parameters": SCHEMA})
    response = await provider.complete(ChatRequest(messages=[user("What time is it?")], tools=specs))
    assert [call.name for call in response.tool_calls] == ["get.time"]
    assert len({tool["name"] for tool in last_body(sim).json["tools"]}) == 300


def conversation(count):
    """Turns of question, text with a call, result and answer, up to ``count`` messages."""
    turns = [
        message
        for number in range(count // 4)
        for message in (
            user(f"{number} please"),
            assistant(text("looking"), calls(f"call_{number}", at=number)),
            tool(f"call_{number}", "found"),
            assistant(thinking("gAAAA", account_id="another"), text("so")),
        )
    ]
    return ChatRequest(messages=[Message(**message) for message in [*turns, user("and now?")]])


async def steps(provider, request):
    """Count the function calls of one ``complete()`` in this thread; independent of the machine's speed."""
    count = 0

    def note(_frame, event, _arg):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        await provider.complete(request)
    finally:
        sys.setprofile(None)
    return count


async def test_each_of_four_thousand_messages_costs_what_each_of_four_hundred_does(sim, provider):
    few, some, many = (conversation(count) for count in (400, 2200, 4000))
    await provider.complete(few)
    costs = [await steps(provider, request) for request in (few, some, many)]
    assert len(last_body(sim).json["input"]) == 5001
    assert costs[2] - costs[1] < 1.2 * (costs[1] - costs[0])
    assert costs[2] - costs[0] < 40 * 3600
