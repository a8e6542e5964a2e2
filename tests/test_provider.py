"""``complete()``: from the bytes of a stream to what the caller and the hooks get."""

import asyncio
import random

import pytest
from amplifier_core import HookResult
from amplifier_core.llm_errors import StreamError
from amplifier_core.message_models import ChatRequest
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call.events import EVENTS
from amplifier_module_provider_openai_chatgpt.simulator import HARMLESS, Fault, Reply
from amplifier_module_provider_openai_chatgpt.simulator.framings import no_deltas, no_finished_items
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode, events

RESPONSES = "/codex/responses"
DELTA = "llm:stream_block_delta"
ODD = "a\u2028b\u2029c\x85d\r\ne\rf\ufeffg \U0001f600 data: x\n\n: no comment"
USAGE = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 7},
    "output_tokens": 64,
    "output_tokens_details": {"reasoning_tokens": 32},
    "total_tokens": 1264,
}
CITATION = {"type": "url_citation", "url": "https://example.com", "title": "x"}


def message(text, phase="final_answer", **part):
    content = [{"type": "output_text", "text": text, "annotations": [], **part}]
    return {"type": "message", "role": "assistant", "phase": phase, "content": content}


def reasoning(*texts):
    parts = [{"type": "summary_text", "text": text} for text in texts]
    return {"type": "reasoning", "summary": parts, "encrypted_content": "gAAAsealed"}


def tool_call(arguments='{"at": 1}', name="look", call_id="call_1"):
    return {"type": "function_call", "name": name, "call_id": call_id, "arguments": arguments}


def script(*items, end="completed", **more):
    return events(items, response_id="resp_1", model="gpt-5.5", usage=USAGE, end=end, **more)


def encoded_script(*items, **more):
    return [encode(event) for event in script(*items, **more)]


class Listener:
    """Records all events with the kernel's own hooks."""

    def __init__(self):
        self.coordinator = MockCoordinator()
        self.recorded = []
        self.first_delta = asyncio.Event()
        for event in EVENTS:
            self.coordinator.hooks.register(event, self._record, name=f"test:{event}")

    async def _record(self, event, data):
        self.recorded.append((event, data))
        if event == DELTA:
            self.first_delta.set()
        return HookResult()

    def of(self, event):
        return [data for name, data in self.recorded if name == event]

    def shown(self):
        """Return the text of each block as a user interface shows it, by index."""
        texts: dict[int, str] = {}
        for data in self.of(DELTA):
            texts[data["block_index"]] = texts.get(data["block_index"], "") + data["text"]
        return texts


def request(text="Say hello.", **fields):
    return ChatRequest(messages=[{"role": "user", "content": text}], **fields)


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
async def provider(config, listener):
    provider = ChatGPTProvider({**config, "max_retries": 0}, listener.coordinator)
    yield provider
    await provider.close()


SHORT = [
    {"type": "response.output_text.delta", "output_index": 0, "delta": ODD[:9]},
    {"type": "response.output_item.done", "output_index": 0, "item": message(ODD)},
    {"type": "response.output_item.done", "output_index": 1, "item": tool_call()},
    {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 2}}},
]


def cut(data, way):
    if way == "whole":
        return (data,)
    if way == "bytes":
        return tuple(data[at : at + 1] for at in range(len(data)))
    places = sorted(random.Random(len(data)).sample(range(1, len(data)), 60))
    return tuple(data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True))


@pytest.mark.parametrize("way", ["whole", "bytes", "random pieces"])
async def test_the_answer_does_not_depend_on_framing_and_reads(sim, config, way):
    """BOM, comments, CRLF, CR, lines without ``event:`` or without a space, ``[DONE]`` and the rest."""
    provider = ChatGPTProvider(config)
    answers = {}
    for name, framing in {"plain": list, **HARMLESS}.items():
        stream = b"".join(framing([encode(event) for event in SHORT]))
        sim.misbehave(RESPONSES, Fault(pieces=cut(stream, way)))
        answers[name] = (await provider.complete(request())).model_dump(exclude={"metadata"})
    await provider.close()
    assert answers["plain"]["text"] == answers["plain"]["content"][0]["text"] == ODD
    assert answers["plain"]["usage"]["total_tokens"] == 5
    assert answers["plain"]["tool_calls"][0]["arguments"] == {"at": 1}
    assert [name for name, answer in answers.items() if answer != answers["plain"]] == []


async def test_the_first_delta_is_emitted_before_the_backend_has_sent_the_second(sim, provider, listener):
    script = encoded_script(message("One two three"))
    first = next(place for place, frame in enumerate(script, 1) if b"output_text.delta" in frame)
    sim.reply_with(Reply(raw=b"".join(script)))
    sim.misbehave(RESPONSES, Fault(framing=lambda _: script, stall_after_event=first))
    call = asyncio.create_task(provider.complete(request()))
    async with asyncio.timeout(20):
        await listener.first_delta.wait()
        assert listener.shown() == {0: "One"}
        assert not call.done()
        await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
        sim.release()
        assert (await call).text == "One two three"
    assert listener.shown() == {0: "One two three"}


@pytest.mark.parametrize("ending", ["completed", "done"])
async def test_the_usage_in_the_closing_event_is_returned_and_emitted(sim, provider, listener, ending):
    sim.reply_with(Reply(events=script(message("Hi"), end=ending)))
    usage = (await provider.complete(request())).usage
    assert usage.model_dump(exclude={"cost_usd"}) == {
        "input_tokens": 1200,
        "output_tokens": 64,
        "total_tokens": 1264,
        "reasoning_tokens": 32,
        "cache_read_tokens": 1024,
        "cache_write_tokens": 7,
    }
    [emitted] = listener.of("llm:response")
    assert emitted["usage"] == usage.model_dump(mode="json")


async def test_every_kind_of_item_becomes_a_block_with_the_index_of_the_stream_events(
    sim, provider, listener
):
    items = [
        reasoning("First.", "Second."),
        message("Let me look.", "commentary"),
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "unknown_kind", "payload": [1]},
        message("Found it.", annotations=[CITATION]),
        tool_call(),
        {"type": "custom_tool_call", "name": "patch", "call_id": "call_2", "input": "*** Begin"},
    ]
    sim.reply_with(Reply(events=script(*items)))
    response = await provider.complete(request())

    kinds = ["thinking", "text", "text", "tool_call", "tool_call"]
    assert [block.type for block in response.content] == kinds
    assert [block.type.value for block in response.content_blocks] == kinds
    started = [(data["block_index"], data["block_type"]) for data in listener.of("llm:stream_block_start")]
    assert started == list(enumerate(["thinking", "text", "text", "tool_use", "tool_use"]))
    assert sorted(data["block_index"] for data in listener.of("llm:stream_block_end")) == [0, 1, 2, 3, 4]
    assert listener.shown() == {0: "First.\n\nSecond.", 1: "Let me look.", 2: "Found it."}
    assert response.text == "Found it."
    assert (response.content[1].phase, response.content[2].annotations) == ("commentary", [CITATION])
    assert response.content[0].content[0]["encrypted_content"] == "gAAAsealed"
    assert [(one.name, one.arguments) for one in provider.parse_tool_calls(response)] == [
        ("look", {"at": 1}),
        ("patch", {"_raw": "*** Begin"}),
    ]
    assert [block.to_dict()["type"] for block in response.content_blocks] == kinds
    assert response.metadata["openai-chatgpt:response_id"] == "resp_1"
    assert response.metadata["openai-chatgpt:model"] == "gpt-5.5"
    assert "gAAAsealed" not in str(listener.recorded), "encrypted reasoning is never emitted"


async def test_a_stop_sequence_ends_the_answer_and_is_neither_sent_nor_shown(sim, provider, listener):
    sim.reply_with(Reply(events=script(message("One two ST OP STOP three"), tool_call())))
    response = await provider.complete(request(stop=["STOP"]))
    assert (response.text, response.finish_reason, response.tool_calls) == ("One two ST OP ", "stop", None)
    assert listener.shown() == {0: "One two ST OP "}
    assert "stop" not in sim.requests_to(RESPONSES)[0].json


REFUSAL = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]}
ENDINGS = {
    "an answer": ([message("Hi")], {}, "stop", "Hi"),
    "a call": ([message("Wait.", "commentary"), tool_call()], {}, "tool_calls", "Wait."),
    "a refusal": ([REFUSAL], {}, "content_filter", "I will not."),
    "cut": ([message("Hal")], {"end": "incomplete", "reason": "max_output_tokens"}, "length", "Hal"),
    "filtered": (
        [message("Hal")],
        {"end": "incomplete", "reason": "content_filter"},
        "content_filter",
        "Hal",
    ),
    "only commentary": ([message("Hm.", "commentary")], {}, "stop", "Hm."),
    "only thinking": ([reasoning("Hm.")], {}, "stop", ""),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_each_ending_has_its_finish_reason_and_text(sim, config, ending):
    items, how, reason, text = ENDINGS[ending]
    provider = ChatGPTProvider({**config, "max_continuations": 0})
    sim.reply_with(Reply(events=script(*items, **how)))
    response = await provider.complete(request())
    await provider.close()
    assert (response.finish_reason, response.text) == (reason, text)


async def test_text_without_deltas_is_streamed_from_the_finished_item(sim, provider, listener):
    sim.reply_with(Reply(items=[reasoning("Hm."), message("Hello there.")]))
    sim.misbehave(RESPONSES, Fault(framing=no_deltas))
    assert (await provider.complete(request())).text == "Hello there."
    assert listener.shown() == {0: "Hm.", 1: "Hello there."}


async def test_an_item_finished_only_by_the_events_of_its_parts_is_the_answer(sim, provider, listener):
    """Some relays leave out ``response.output_item.done``."""
    sim.misbehave(RESPONSES, Fault(framing=no_finished_items))
    response = await provider.complete(request())
    assert response.text == "".join(listener.shown().values())
    assert listener.of("llm:stream_aborted") == []


async def test_an_unfinished_item_is_not_an_answer(sim, provider, listener):
    events = script(message("Hello."))
    sim.reply_with(Reply(events=[one for one in events if not one["type"].endswith((".done", "part.added"))]))
    with pytest.raises(StreamError):
        await provider.complete(request())
    assert len(listener.of("llm:stream_aborted")) == 1


async def test_items_that_are_only_in_the_closing_event_are_the_answer(sim, provider, listener):
    closing = script(message("Hello."))[-1]
    closing["response"]["output"] = [reasoning("Hm."), message("Hello.")]
    sim.reply_with(Reply(events=[closing]))
    assert (await provider.complete(request())).text == "Hello."
    assert listener.shown() == {0: "Hm.", 1: "Hello."}


async def test_the_text_of_an_item_without_item_events_is_the_answer(sim, provider):
    bare = [event for event in script(message("Hello.")) if "output_item" not in event["type"]]
    sim.reply_with(Reply(events=bare))
    assert (await provider.complete(request())).text == "Hello."


RAW = [
    ("", {}, "{}"),
    ("{}", {}, "{}"),
    ('{"at":1}', {"at": 1}, '{"at":1}'),
    ('{"at": ', {"_raw": '{"at": '}, '{"_raw":"{\\"at\\": "}'),
    ("[1, 2]", {"_raw": "[1, 2]"}, "[1, 2]"),
    ("null", {"_raw": "null"}, "null"),
]


@pytest.mark.parametrize(("arguments", "read", "replayed"), RAW)
async def test_arguments_are_unchanged_in_the_next_request(sim, provider, arguments, read, replayed):
    """Loops read a call with ``get``, and store its block in the history."""
    sim.reply_with(Reply(events=script(tool_call(arguments))))
    response = await provider.complete(request())
    [call] = response.tool_calls
    assert (call.get("id"), call.get("name"), call.get("arguments"), call.get("tool", "?")) == (
        "call_1",
        "look",
        read,
        "?",
    )
    history = [
        {"role": "user", "content": "Say hello."},
        {
            "role": "assistant",
            "content": [block.model_dump() for block in response.content],
            "tool_calls": [{"id": call.id, "tool": call.name, "arguments": call.arguments}],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "nothing there"},
    ]
    await provider.complete(ChatRequest(messages=history))
    sent = sim.requests_to(RESPONSES)[-1].json["input"]
    assert sent[1] == {"type": "function_call", "name": "look", "arguments": replayed, "call_id": "call_1"}
    assert sent[2]["output"] == "nothing there"


async def test_a_tool_name_that_the_backend_refuses_is_restored_in_the_answer(sim, provider, listener):
    odd = {"name": "srv.get/time", "description": "", "parameters": {"type": "object", "properties": {}}}
    response = await provider.complete(request("Use the srv get time tool.", tools=[odd]))
    assert [call.name for call in response.tool_calls] == ["srv.get/time"]
    assert "srv.get/time" in [data.get("name") for data in listener.of("llm:stream_block_start")]
