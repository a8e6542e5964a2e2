"""A conversation of 40 turns in a real session: nothing that tools and models put into it ends it."""

import base64
import json

import pytest
from amplifier_core.message_models import ImageBlock
from amplifier_core.models import ToolResult

from amplifier_module_provider_openai_chatgpt.simulator import Reply
from tests.event_recorder import RESPONSES
from tests.hosts import Host

SVG = base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode()
PAGE = base64.b64encode(b"<!doctype html><title>404</title>").decode()
HALF = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"
AUDIO = base64.b64encode(bytes(3 * 2**20)).decode()
MARKED = "It rained\ue200cite\ue202turn0search0\ue201 in Tokyo."


def picture(data, media_type):
    return ImageBlock(source={"type": "base64", "media_type": media_type, "data": data})


RESULTS = {
    "an SVG": ToolResult(content=[picture(SVG, "image/svg+xml")], output="drawn"),
    "a web page called PNG": ToolResult(content=[picture(PAGE, "image/png")], output="shot"),
    "half an image": ToolResult(content=[picture(HALF, "image/png")], output="shot"),
    "three megabytes of audio": ToolResult(
        output={"content": [{"type": "audio", "data": AUDIO, "mimeType": "audio/wav"}]}
    ),
    "a megabyte of arguments": ToolResult(output="stored"),
    "arguments that are not JSON": ToolResult(output="stored"),
    "an odd text": ToolResult(output="\x00\ud800\ufeff\u2028" * 50),
}
ARGUMENTS = {
    "a megabyte of arguments": json.dumps({"what": "x" * 1_200_000}),
    "arguments that are not JSON": '{"what": ',
}
POISONS = [*RESULTS, "citation marks"]


class Store:
    """A tool whose schema the backend would refuse, and whose results contain the poison of the turn."""

    name, description = "store", "Keeps a thing."

    def __init__(self):
        self.input_schema = {"type": "object", "properties": {"what": {"type": "array"}}, "required": None}
        self.poison = ""

    async def execute(self, _arguments):
        return RESULTS[self.poison]


def message(text):
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [part]}


def tool_call(arguments, number):
    return {"type": "function_call", "name": "store", "call_id": f"call_{number}", "arguments": arguments}


@pytest.mark.timeout(120)
async def test_forty_turns_with_a_poison_in_every_fifth_get_forty_answers(sim, config):
    tool, answers = Store(), []
    async with Host(config, [tool]) as host:
        for turn in range(1, 41):
            tool.poison = POISONS[turn // 5 - 1] if turn % 5 == 0 else ""
            if tool.poison == "citation marks":
                sim.reply_with(Reply(items=[message(MARKED)]))
            elif tool.poison:
                sim.reply_with(
                    Reply(items=[tool_call(ARGUMENTS.get(tool.poison, "{}"), turn)]),
                    Reply(items=[message(f"Answer {turn}.")]),
                )
            else:
                sim.reply_with(Reply(items=[message(f"Answer {turn}.")]))
            answers.append(await host.say(f"Question {turn}."))
        statuses = [data["status"] for event, data in host.heard if event == "llm:response"]
    expected = [f"Answer {turn}." for turn in range(1, 41)]
    expected[39] = "It rained in Tokyo."
    assert answers == expected
    assert set(statuses) == {"ok"}
    last = sim.requests_to(RESPONSES)[-1].body
    assert len(last) < 2_000_000, "no poison is sent at its full size"
    assert b"AAAAAAAAAAAAAAAA" * 100 not in last
