"""A long conversation in a real session: nothing is refused, and each request starts like the one before."""

import json
from itertools import pairwise

import pytest
from amplifier_core.message_models import ImageBlock
from amplifier_core.models import ToolResult

from amplifier_module_provider_openai_chatgpt.request.tool_pairing import MISSING
from tests.hosts import Host, Loop, remind, saved

RED = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
BLUE = "R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs="


CONVERSATION_HEADERS = ("session-id", "thread-id", "x-client-request-id")


def picture(data, media_type):
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


class Tool:
    def __init__(self, name, description, result):
        self.name, self.description, self._result = name, description, result
        self.input_schema = {"type": "object", "properties": {"what": {"type": "string"}}}

    async def execute(self, _arguments):
        return self._result


TOOLS = (
    Tool("get_time", "Returns the time.", ToolResult(output={"hour": 12, "zone": "Asia/Tokyo"})),
    Tool(
        "take_photo",
        "Uses the camera.",
        ToolResult(content=[ImageBlock(**picture(BLUE, "image/gif"))], output="click"),
    ),
    Tool("read_file", "Reads.", ToolResult(success=False, error={"message": "no such file"})),
)
SYSTEM = {"role": "system", "content": "You are terse.\nAnswer in English." + " Be kind." * 600}
SEEN = {"role": "user", "content": [{"type": "text", "text": "See this:"}, picture(RED, "image/png")]}
STRAY = {"role": "tool", "name": "get_time", "tool_call_id": "call_of_another_life", "content": "midnight"}


def slices(body):
    """The bytes of instructions, input and tools as sent, the last two without their end."""
    head, _, tools = body.partition(b'],"tools":[')
    instructions, _, items = head.partition(b',"input":[')
    return {
        "instructions": instructions.partition(b'"instructions":')[2],
        "input": items,
        "tools": tools.partition(b'],"tool_choice":')[0],
    }


def last_item(request):
    return json.dumps(request.json["input"][-1], ensure_ascii=False, separators=(",", ":")).encode()


def assert_starts_like(later, earlier, unstored=b""):
    """``unstored`` is the last item of the earlier input if its host did not store it."""
    before, after = slices(earlier.body), slices(later.body)
    assert all(before.values())
    assert after["instructions"] == before["instructions"]
    assert after["tools"] == before["tools"]
    kept = before["input"].removesuffix(b"," + unstored) if unstored else before["input"]
    assert after["input"].startswith(kept + b",")


async def first_half(host):
    await host.say("What time is it in Tokyo?")
    await host.context.add_message(SEEN)
    await host.say("What is on it?")
    host.inject = [remind("Keep it short."), remind("Still short.")]
    await host.say("Take a photo of the sea, please.")
    await host.say("Line\u2028separator and NUL \0.")
    await host.say("Please read the file and tell the time.")
    await host.say("Why did you stop?")


async def second_half(host):
    await host.context.add_message(STRAY)
    await host.say("Go on.")
    host.inject = [remind("A note that is stored.", role="user")]
    await host.say("And now?")
    host.inject = [remind("Only for now.", ephemeral=True)]
    await host.say("Say something.")
    await host.say("What time is it?")
    await host.context.add_message({"role": "developer", "content": [{"type": "text", "text": "Mind."}]})
    await host.say("Take another photo.")
    await host.say("Goodbye.")


@pytest.fixture
async def conversation(sim, config):
    """Twelve turns of one session, saved and resumed in the middle; gives requests, messages and events."""
    config = {**config, "reasoning_effort": "medium"}
    async with Host(
        config, TOOLS, loop=Loop(interrupted=["read_file"]), session_id="one-and-the-same", messages=[SYSTEM]
    ) as host:
        await first_half(host)
        transcript = json.dumps(saved(await host.context.get_messages()))
        recorded = host.heard
    async with Host(config, TOOLS, session_id="one-and-the-same", messages=json.loads(transcript)) as resumed:
        await second_half(resumed)
        messages = await resumed.context.get_messages()
    return sim.requests_to("/codex/responses"), messages, recorded + resumed.heard


async def test_twelve_turns_are_all_accepted_and_each_starts_with_the_bytes_of_the_one_before(conversation):
    requests, _, recorded = conversation
    responses = [data for event, data in recorded if event == "llm:response"]
    assert [data["status"] for data in responses] == ["ok"] * len(requests), "a 4xx would fail or be resent"
    assert len(requests) == 12 + 4, "four turns called a tool and continued with its result"
    ids = {
        (*(request.headers[name] for name in CONVERSATION_HEADERS), request.json["prompt_cache_key"])
        for request in requests
    }
    assert len(ids) == len(set(*ids)) == 1, "one id everywhere, for the whole conversation"

    ephemeral = [request for request in requests if b"Only for now." in request.body]
    assert ephemeral == ephemeral[:1], "an ephemeral message is in one request only"
    for earlier, later in pairwise(requests):
        assert_starts_like(later, earlier, last_item(earlier) if earlier in ephemeral else b"")
    assert all(data["usage"]["cache_read_tokens"] > 0 for data in responses[1:])


async def test_all_text_reasoning_images_and_calls_are_in_the_last_request_once_and_in_order(
    conversation,
):
    requests, messages, recorded = conversation
    last = requests[-1].json
    assert last["instructions"] == SYSTEM["content"]
    words = json.dumps(last["input"], ensure_ascii=False)
    expected = [
        "What time is it in Tokyo?",
        "See this:",
        f"data:image/png;base64,{RED}",
        "What is on it?",
        "Take a photo of the sea, please.",
        '"developer", "content": [{"type": "input_text", "text": "Keep it short."}]',
        f"data:image/gif;base64,{BLUE}",
        "Still short.",
        "Line\u2028separator and NUL \ufffd.",
        "Please read the file",
        MISSING,
        "Why did you stop?",
        "midnight",
        "A note that is stored.",
        "Say something.",
        '"developer", "content": [{"type": "input_text", "text": "Mind."}]',
        "Goodbye.",
    ]
    places = [words.index(text) for text in expected]
    assert places == sorted(places)

    blocks = [block for one in messages if one["role"] == "assistant" for block in one["content"]][:-2]
    kinds = {"thinking": "reasoning", "text": "message", "tool_call": "function_call"}
    answered = [item["type"] for item in last["input"] if item.get("role", "assistant") == "assistant"]
    assert [kind for kind in answered if kind != "function_call_output"] == [
        kinds[block["type"]] for block in blocks
    ]
    assert not any("id" in item or "status" in item for item in last["input"])
    assert words.count("encrypted_content") == len(requests) - 1, "all reasoning so far is replayed"

    repairs = [data["repairs"] for event, data in recorded if event == "provider:tool_sequence_repaired"]
    assert {one["tool_name"] for one in repairs[-1]} == {"read_file", "get_time"}
    assert repairs[0] == [{"tool_call_id": repairs[0][0]["tool_call_id"], "tool_name": "read_file"}]


async def test_a_fork_starts_with_the_same_bytes_under_its_own_id(sim, config):
    config = {**config, "reasoning_effort": "medium"}
    async with Host(config, TOOLS, session_id="parent", messages=[SYSTEM]) as parent:
        await parent.say("What time is it in Tokyo?")
        inherited = saved(await parent.context.get_messages())
    async with Host(config, TOOLS, session_id="fork", messages=inherited) as fork:
        await fork.say("And now?")
        await fork.say("Thanks.")
    _, of_parent, of_fork, later = sim.requests_to("/codex/responses")
    assert_starts_like(of_fork, of_parent)
    assert_starts_like(later, of_fork)
    ids = [request.headers["session-id"] for request in (of_parent, of_fork, later)]
    assert ids[0] != ids[1] == ids[2]


async def test_in_the_lite_shape_each_request_starts_like_the_one_before(sim, config):
    """The classic shape is refused with its version too, and then no more: the tools are in the input."""
    sim.require_lite = {"gpt-5.6-sol"}
    async with Host({**config, "default_model": "gpt-5.6-sol"}, TOOLS, messages=[SYSTEM]) as host:
        for prompt in ("What time is it in Tokyo?", "Take a photo.", "Goodbye."):
            await host.say(prompt)
    refused, refused_with_version, *requests = sim.requests_to("/codex/responses")
    assert "instructions" in refused.json
    assert "instructions" in refused_with_version.json
    assert [list(request.json)[1] for request in requests] == ["input"] * 5
    inputs = [request.body.split(b'"input":[')[1].split(b'],"tool_choice":')[0] for request in requests]
    for earlier, later in pairwise(inputs):
        assert later.startswith(earlier + b",")
    assert inputs[0].startswith(b'{"type":"additional_tools"')
    assert b'"namespace"' not in inputs[-1].replace(b'"type":"namespace"', b"")
