"""Whatever tools, pictures and schemas put into a conversation, every later request is accepted."""

import base64
import binascii
import json
import re

import pytest
from amplifier_core.message_models import ChatRequest, Message
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.protocol.call import Call
from amplifier_module_provider_openai_chatgpt.request import images as limits
from amplifier_module_provider_openai_chatgpt.request.binary import is_complete, kind_of
from amplifier_module_provider_openai_chatgpt.request.lengths import LONGEST_ARGUMENTS, LONGEST_TEXT
from tests.conftest import MODEL

from .conversations import assistant, call_for, calls, text, tool, user
from .pictures import GIF, HEIC, HTML, JPEG, PDF, SVG, UNKNOWN, WAV, WEBP, b64, png
from .schema_checker import schema_fault
from .test_accepted import refusal
from .test_tool_schemas import objects

DATA = [
    png(),
    png(1),
    png()[:-9],
    JPEG,
    JPEG[:-3],
    GIF,
    WEBP,
    WEBP[:20],
    SVG,
    HTML,
    HEIC,
    PDF,
    WAV,
    UNKNOWN,
    b"",
]


def datum(number: int) -> bytes:
    return DATA[number]


data = st.integers(0, len(DATA) - 1).map(datum)
encoded = st.one_of(
    data.map(b64),
    data.map(lambda some: b64(some).rstrip("=")),
    data.map(lambda some: base64.urlsafe_b64encode(some).decode()),
    data.map(lambda some: base64.encodebytes(some).decode()),
    data.map(lambda some: f"data:image/png;base64,{b64(some)}"),
    st.sampled_from(["", "not base64!", "x", "data:image/png,x", "data:;base64,"]),
)
declared = st.sampled_from(
    ["image/png", "IMAGE/JPEG; q=1", "image/svg+xml", "audio/wav", "text/plain", "", "x" * 99]
)
addresses = data.map(lambda some: f"data:image/png;base64,{b64(some)}")
links = addresses | st.sampled_from(
    ["https://x.test/a.png", "http://x.test/a", "file:///a.png", "https://", "", "ftp://x"]
)
sources = st.one_of(
    st.builds(lambda kind, some: {"type": "base64", "media_type": kind, "data": some}, declared, encoded),
    st.builds(lambda kind, some: {"mimeType": kind, "data": some}, declared, encoded),
    st.builds(lambda link: {"type": "url", "url": link}, links),
    st.builds(lambda link: {"image_url": {"url": link}}, links),
    st.sampled_from([{}, {"type": "file", "file_id": "f"}, {"data": None}, {"data": 7}, {"url": ["x"]}]),
)
images = st.builds(lambda source: {"type": "image", "source": source}, sources)
# Base64 that does not say what it is; only the kinds that show it can be recognised.
bare = st.integers(0, 6).map(datum).map(b64) | addresses
words = st.sampled_from(["a", "", "x" * 200, "{", '{"data":', "\ue200cite\ue201", "iVBORw0KGgo"])
mcp = st.one_of(
    st.builds(lambda kind, some: {"type": "image", "mimeType": kind, "data": some}, declared, encoded),
    st.builds(lambda kind, some: {"type": "audio", "mimeType": kind, "data": some}, declared, encoded),
    st.builds(lambda some: {"type": "resource", "resource": {"uri": "u", "blob": some}}, encoded),
    st.builds(lambda some: {"type": "resource", "resource": {"uri": "u", "text": some}}, words),
    st.builds(lambda link: {"type": "image_url", "image_url": {"url": link}}, links),
    st.just({"type": "resource_link", "uri": "file:///x", "name": "x"}),
    words.map(text),
    images,
)
contents = st.lists(mcp, max_size=3)
values = st.recursive(
    st.one_of(mcp, contents, bare, words, st.none(), st.builds(lambda some: {"content": some}, contents)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
outputs = values | values.map(json.dumps)
ids = st.sampled_from(["c1", "c2", ""])
results = st.builds(
    lambda i, value: {"type": "tool_result", "tool_call_id": i, "output": value}, ids, outputs
)
huge = st.sampled_from([LONGEST_ARGUMENTS + 1, 3_000_000]).map(lambda size: {"x": "y" * size})
tool_calls = st.builds(lambda i, arguments: {**calls(i), "input": arguments}, ids, st.just({}) | huge)
said = st.lists(words.map(text) | images, min_size=1, max_size=3)
messages = st.one_of(
    st.builds(
        lambda role, blocks: {"role": role, "content": blocks}, st.sampled_from(["user", "developer"]), said
    ),
    st.builds(lambda blocks: assistant(*blocks), st.lists(tool_calls | words.map(text) | images, max_size=3)),
    st.builds(lambda blocks: {"role": "user", "content": blocks}, st.lists(results, min_size=1, max_size=2)),
    st.builds(tool, ids, st.lists(results, min_size=1, max_size=2) | said),
    st.builds(lambda i, value: tool(i, json.dumps(value)), ids, values),
)
conversations = st.lists(messages, min_size=1, max_size=7).map(lambda some: [*some, user("and now?")])
tools = st.lists(
    st.builds(lambda name, one: {"name": name, "parameters": one}, st.sampled_from("ab"), objects),
    max_size=2,
)
LONG_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{90,}")


def image_fault(url: str) -> str | None:
    if url.startswith("https://"):
        return None
    head, _, body = url.partition(";base64,")
    media_type = head.removeprefix("data:")
    try:
        found = binascii.a2b_base64(body, strict_mode=True)
    except ValueError:
        return "not strict base64"
    return None if kind_of(found) == media_type and is_complete(found, media_type) else f"not a {media_type}"


def strings(value: object, key: str = ""):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from strings(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)
    elif isinstance(value, str):
        yield key, value


def fault(call: Call) -> str | None:
    """What a strict backend would refuse, or what should not have been sent."""
    payload = call.payload()
    for key, value in strings(payload["input"]):
        if key == "image_url" and (found := image_fault(value)):
            return found
        if len(value) > (LONGEST_ARGUMENTS if key == "arguments" else LONGEST_TEXT):
            return f"{key} is too long"
        if key in {"text", "output"} and any(set(run) > set("xy") for run in LONG_BASE64.findall(value)):
            return f"base64 in {key}"
    schemas = [schema_fault(tool["parameters"]) for tool in payload.get("tools", ())]
    return next(filter(None, schemas), None)


def hidden_elsewhere(conversation: list) -> bool:
    """Whether base64 is where it is text by right: in a text block that says so, or not declared."""
    return "text/plain" in json.dumps(conversation, default=str)


def check(conversation: list, specs: list) -> None:
    asked = ChatRequest(messages=[Message(**one) for one in conversation], tools=specs)
    before = asked.model_dump_json()
    remembered: dict[str, str] = {}
    call = call_for(asked, remembered=remembered, model=MODEL)
    again = call_for(asked, remembered=remembered, model=MODEL)

    assert call.body() == again.body()
    assert asked.model_dump_json() == before
    assert fault(call) is None or (str(fault(call)).startswith("base64") and hidden_elsewhere(conversation))
    assert refusal(call) is None
    assert refusal(call.without_images(keep_newest=True)) is None
    without = call.without_images(keep_newest=False)
    assert refusal(without) is None
    assert not without.has_images


@settings(max_examples=60, deadline=None)
@given(conversations, tools)
def test_any_poison_in_the_history_leaves_a_request_that_is_accepted(conversation, specs):
    check(conversation, specs)


@pytest.mark.long
def test_five_thousand_poisoned_histories_are_accepted():
    settings(max_examples=5000, deadline=None)(given(conversations, tools)(check))()


def test_forty_turns_with_a_poison_in_every_fifth_start_with_the_bytes_of_the_turn_before():
    poison = [
        tool("c", [{"type": "image", "source": {"media_type": "image/svg+xml", "data": b64(SVG)}}]),
        tool("c", json.dumps({"content": [{"type": "image", "mimeType": "image/png", "data": b64(HTML)}]})),
        tool(
            "c", json.dumps({"type": "audio", "mimeType": "audio/wav", "data": b64(WAV + bytes(2_000_000))})
        ),
        tool("c", "x" * (LONGEST_TEXT + 1)),
        tool("c", [{"type": "image", "source": {"data": b64(png(size=limits.MAX_IMAGE_BYTES))}}]),
        tool("c", "\ue200cite\ue202turn0search0\ue201"),
        tool("c", [{"type": "image", "source": {"data": b64(png()[:-20])}}]),
        tool("c", b64(UNKNOWN)),
    ]
    messages: list[dict] = []
    before = b""
    for turn in range(40):
        messages.append(user(f"turn {turn}"))
        call = call_for(ChatRequest(messages=messages), model=MODEL)
        assert fault(call) is None
        assert refusal(call) is None
        body = call.body().split(b'"input":[')[1].partition(b'],"store":')[0]
        assert body.startswith(before)
        before = body
        arguments = {"x": "y" * 1_200_000} if turn == 7 else {}
        messages.append(assistant(text("so"), {**calls("c"), "input": arguments}))
        messages.append(poison[turn // 5] if turn % 5 == 4 else tool("c", "fine"))
