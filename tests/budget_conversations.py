"""Generated conversations for the tests of budgets: prose, code, JSON, ciphers, pictures, tools."""

import base64
import json
import re
import struct
import zlib
from dataclasses import dataclass, field
from random import Random

from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, look_up
from amplifier_module_provider_openai_chatgpt.request.build import build_call
from amplifier_module_provider_openai_chatgpt.response.accumulator import ResponseAccumulator
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.settings import Settings
from amplifier_module_provider_openai_chatgpt.simulator.rules import Policy, seal
from amplifier_module_provider_openai_chatgpt.simulator.stream import events
from amplifier_module_provider_openai_chatgpt.simulator.usage import usage
from tests.request.pictures import chunk

ACCOUNT = "acc-1"
KNOWN = {model.slug: model for model in BUILT_IN}
MODELS = ("gpt-6-sol", "gpt-6-luna")
POLICY = Policy(ACCOUNT, {})
COMMON = re.findall(r"\w+", "the of and to in is it you that was for on are with as at be have from by")
LONGER = re.findall(r"\w+", "conversation implementation environment understanding responsibility")
RUSSIAN = re.findall(r"\w+", "сегодня хорошая погода поэтому мы пойдём гулять в парк и потом домой")
GERMAN = re.findall(r"\w+", "über die Brücke führt der Weg nach Süden und wird größer für später")
CODE = "def read_all(self, path: str) -> list[Row]:\n    return [Row(*line.split(',')) for line in path]\n\n"
LOG = "2026-11-28 18:31:{:02},{:03} INFO worker[{}]: job {} done in {:.2f}s\n"


def words(random, count, of):
    return " ".join(random.choice(of) for _ in range(count)) + "."


def rows(random, count):
    row = {"id": 12, "name": "Ann Example", "at": "2026-11-28T18:31:46Z", "tags": ["a", "b"], "share": 0.25}
    return json.dumps([{**row, "id": random.randrange(10**6)} for _ in range(count)])


WRITERS = (
    lambda random, size: words(random, size // 5, COMMON),
    lambda random, size: words(random, size // 8, [*COMMON, *LONGER]),
    lambda random, size: words(random, size // 6, RUSSIAN),
    lambda random, size: words(random, size // 6, GERMAN),
    lambda random, size: CODE * (size // 90 + 1),
    lambda random, size: rows(random, size // 100 + 1),
    lambda random, size: base64.b64encode(random.randbytes(size // 2)).decode(),
    lambda random, size: random.randbytes(size // 3).hex(),
    lambda random, size: "今天天气很好我们去公园散步吧。" * (size // 20 + 1),
    lambda random, size: "Done \U0001f600\U0001f389, see https://example.com/a/b?c=1&d=2 " * (size // 50 + 1),
    lambda random, size: "".join(
        LOG.format(n % 60, n % 1000, n, n * 7, n / 3) for n in range(size // 60 + 1)
    ),
)


def writing(random, most, writers=WRITERS):
    """One text, rarely long."""
    return random.choice(writers)(random, random.choice((20, 200, most // 4, most)))


def picture(random):
    width, height = (random.choice((1, 64, 512, 800, 1024, 1920)) for _ in range(2))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = zlib.compress(bytes((width + 1) * height), 1)
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(png).decode()}
    return {"type": "image", "source": source}


def tool_spec(random, number):
    fields = {
        f"{random.choice(LONGER)}_{place}": {"type": "string", "description": words(random, 12, COMMON)}
        for place in range(random.randrange(6))
    }
    schema = {"type": "object", "properties": fields, "required": sorted(fields)}
    return {"name": f"tool_{number}", "description": words(random, 30, COMMON), "parameters": schema}


def output_of(random, model, tools):
    """The items of one answer."""
    hidden = seal(writing(random, 2000, WRITERS[:5]), POLICY, model)
    summary = [{"type": "summary_text", "text": words(random, 20, COMMON)}]
    items = [{"type": "reasoning", "summary": summary, "encrypted_content": hidden}]
    part = {"type": "output_text", "annotations": [], "text": writing(random, 1500)}
    items.append({"type": "message", "role": "assistant", "content": [part]})
    if tools and random.random() < 0.5:
        arguments = json.dumps({"text": writing(random, 800)})
        name = random.choice(tools)["name"]
        call_id = f"call_{random.randrange(10**9)}"
        items.append({"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id})
    return items


@dataclass
class Talk:
    """One conversation; ``changed`` is set while its next request is not the last one continued."""

    random: Random
    number: int
    messages: list = field(default_factory=list)
    tools: list = field(default_factory=list)
    remembered: dict = field(default_factory=dict)
    model: str = MODELS[0]
    lite: bool = False
    changed: bool = False

    def start(self):
        self.lite = self.random.random() < 0.5
        self.tools = [tool_spec(self.random, number) for number in range(self.random.choice((0, 2, 6)))]
        self.messages.append({"role": "system", "content": writing(self.random, 3000)})

    def ask(self):
        """Append results of open calls, or a question."""
        open_calls = [call["id"] for call in (self.messages[-1].get("tool_calls") or ())]
        for call_id in open_calls:
            result = {"role": "tool", "tool_call_id": call_id, "content": writing(self.random, 4000)}
            self.messages.append(result)
        if not open_calls:
            content = [{"type": "text", "text": writing(self.random, 2500)}]
            content += [picture(self.random)] if self.random.random() < 0.15 else []
            self.messages.append({"role": "user", "content": content})

    def change(self):
        """Do what hosts do between turns, now and then."""
        self.changed = True
        match self.random.randrange(12):
            case 0 if len(self.messages) > 3:
                self.messages[1:3] = [{"role": "user", "content": "[earlier messages were removed]"}]
            case 1:
                self.messages[0] = {"role": "system", "content": writing(self.random, 3000)}
            case 2:
                self.tools = [*self.tools[1:], tool_spec(self.random, 99)]
            case 3:
                self.model = self.random.choice(MODELS)
            case _:
                self.changed = False

    def call(self, *, reminder=False):
        messages = [Message(**message) for message in self.messages]
        if reminder:
            messages.append(Message(role="user", content=words(self.random, 40, COMMON)))
        call = self.call_for(ChatRequest(messages=messages, tools=self.tools or None))
        return call.as_lite() if self.lite else call

    def call_for(self, request):
        return build_call(
            request,
            {},
            Settings(),
            model=self.model,
            find=lambda slug: look_up(KNOWN, slug),
            knows=KNOWN.__contains__,
            account_id=Secret(ACCOUNT),
            session_id=f"session-{self.number}",
            remembered=self.remembered,
        )

    def answer(self, call, counted):
        """Append the answer as loops store it; return its usage. ``counted`` is the size of the call."""
        output = output_of(self.random, call.slug, self.tools)
        accumulator = ResponseAccumulator()
        given = usage({}, output, 0) | {"input_tokens": counted}
        accumulator.feed(events(output, response_id="resp_1", model=call.slug, usage=given))
        accumulator.outcome()
        response = accumulator.response(call)
        calls = [
            {"id": one.id, "tool": one.name, "arguments": one.arguments} for one in response.tool_calls or ()
        ]
        self.messages.append(
            {
                "role": "assistant",
                "content": [block.model_dump() for block in response.content],
                "tool_calls": calls,
                "metadata": response.metadata,
            }
        )
        return accumulator.attempt_usage
