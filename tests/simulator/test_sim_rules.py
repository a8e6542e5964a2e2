"""Every rule has an id and refuses at least one request; the rules in force are the ones that are listed."""

import gzip
import importlib.util
from typing import Any

import pytest
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt.simulator.rules import Incoming, Policy, Refused, seal
from amplifier_module_provider_openai_chatgpt.simulator.validation.request import PENDING, RULES, judge
from amplifier_module_provider_openai_chatgpt.simulator.validation.rule import first_refusal

from .pictures import GIF, JPEG, PNG, WEBP, data_url
from .requests import (
    ABSENT,
    CLOSED,
    EMPTY,
    JSON,
    LITE,
    PIXEL,
    RULES as POLICY,
    SESSION,
    TOOL,
    call,
    classic,
    image,
    lite,
    result,
    says,
    thought,
)

STRICT = Policy("acc_1", POLICY.models, version_gate="strict")
OTHER_SESSION = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2c"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


def function(**schema):
    return classic(tools=[{**TOOL, "parameters": {**EMPTY, **schema}}])


def strict(parameters):
    return classic(tools=[{**TOOL, "strict": True, "parameters": parameters}])


def tool(changes):
    return classic(tools=[{**TOOL, **changes}])


def asks(*items):
    return classic(input=[*items])


def picture(kind, content):
    return classic(input=[image(data_url(kind, content))])


def part(**fields):
    return classic(input=[{**says("Hi"), "content": [fields]}])


def detailed(body, detail):
    body["input"][-1] = {
        **says("Hi"),
        "content": [{"type": "input_image", "image_url": PIXEL, "detail": detail}],
    }
    return body


READABLE = seal("hm", POLICY, "gpt-6-sol")
# Rule -> requests that break it and no rule before it: a body, or a body with headers and policy.
BROKEN: dict[str, list[Any]] = {
    "headers.content-type": [(classic(), {**JSON, "Content-Type": "application/json; charset=utf-8"})],
    "headers.accept": [
        (classic(), {**JSON, "accept": "application/json"}),
        (classic(), {**JSON, "accept": "*/*"}),
    ],
    "headers.session-id": [
        (classic(), {**JSON, "session-id": "0199a1b2-c3d4-4e5f-8a6b-7c8d9e0f1a2b"}),
        (classic(), {**JSON, "session-id": ""}),
    ],
    "headers.thread-id": [
        (classic(), {**JSON, "session-id": SESSION, "thread-id": OTHER_SESSION}),
        (classic(), {**JSON, "thread-id": SESSION}),
    ],
    "headers.turn-state": [(classic(), {**JSON, "x-codex-turn-state": "ts_made_up"})],
    "body.fields": [classic(temperature=1), classic(x=None), (lite(tools=[]), LITE)],
    "body.instructions": [classic(instructions=" \n"), classic(instructions=ABSENT), classic(instructions=7)],
    "body.store": [classic(store=True), classic(store=ABSENT)],
    "body.stream": [classic(stream=False), classic(stream=ABSENT)],
    "body.input": [classic(input="Hi"), asks(), asks("Hi")],
    "body.model": [classic(model=""), classic(model=ABSENT), classic(model=7)],
    "body.include": [classic(include="x"), classic(include=["x"])],
    "body.stream-options": [classic(stream_options={"include_usage": True})],
    "body.client-metadata": [classic(client_metadata={"a": 1})],
    "body.cache-key": [classic(prompt_cache_key="x" * 65), classic(prompt_cache_key=7)],
    "body.context-window": [asks(says("word " * 300_000))],
    "model.known": [classic(model="gpt-6-sol-high")],
    "model.version": [
        (classic(), {**JSON, "version": "0.123.9"}),
        (classic(), {**JSON, "User-Agent": "codex_cli_rs/0.0.0"}),
        (classic(model="gpt-6.1-sol"), JSON, STRICT),
    ],
    "model.request-shape": [
        (lite(model="gpt-5.5"), LITE),
        (classic(), JSON, Policy("acc_1", POLICY.models, require_lite=frozenset({"gpt-6-sol"}))),
    ],
    "model.parallel-calls": [classic(parallel_tool_calls="yes"), (lite(parallel_tool_calls=ABSENT), LITE)],
    "model.reasoning": [classic(reasoning="high"), classic(reasoning={"budget": 1})],
    "model.effort": [
        classic(reasoning={"effort": "minimal"}),
        classic(reasoning={"effort": 7}),
        classic(model="gpt-6.1-sol", reasoning={"effort": "ultra"}),
    ],
    "model.summary": [classic(reasoning={"summary": "none"})],
    "model.context": [classic(reasoning={"context": "all_turns"}), (lite(reasoning=ABSENT), LITE)],
    "model.tier": [classic(service_tier="fast"), classic(service_tier="flex")],
    "model.text": [classic(text={"length": 1}), classic(text={"verbosity": "max"})],
    "tools.lite-shape": [(lite(input=[says("Hello")]), LITE)],
    "tools.kinds": [
        classic(tools={}),
        classic(tools=[7]),
        classic(tools=[{"type": "browser"}]),
        classic(tools=[{"type": "namespace", "name": "a", "tools": [{"type": "web_search"}]}]),
        (lite({"type": "web_search"}), LITE),
    ],
    "tools.names": [
        tool({"name": "get time"}),
        tool({"name": "x" * 65}),
    ],
    "tools.fields": [
        tool({"input_schema": {}}),
        tool({"description": 1}),
    ],
    "tools.parameters": [
        tool({"parameters": None}),
        tool({"parameters": []}),
        tool({"strict": "no"}),
    ],
    "tools.grammar": [
        classic(tools=[{"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "peg"}}])
    ],
    "schemas.root": [
        tool({"parameters": {}}),
        function(type="array"),
        function(type=["object", "null"]),
    ],
    "schemas.union": [function(anyOf=[EMPTY]), function(oneOf=[]), function(enum=[{}])],
    "schemas.nulls": [
        function(properties=None),
        function(properties={"a": None}),
        function(properties={"a": {"type": "string", "description": None}}),
    ],
    "schemas.types": [
        function(properties={"a": {"type": "banana"}}),
        function(properties={"a": {"type": ["string", "any"]}}),
        function(properties={"a": {"type": "array", "items": {"type": "str"}}}),
    ],
    "schemas.properties": [
        tool({"parameters": {"type": "object"}}),
        function(properties=[]),
        function(properties={"a": {"type": "object", "properties": ["b"]}}),
    ],
    "schemas.items": [
        function(properties={"a": {"type": "array"}}),
        function(properties={"a": {"anyOf": [{"type": "string"}, {"type": "array"}]}}),
        function(properties={"a": {"$ref": "#/$defs/b"}}, **{"$defs": {"b": {"type": "array"}}}),
    ],
    "schemas.strict": [
        strict(EMPTY),
        strict({**CLOSED, "properties": {"a": {"type": "string"}}}),
        classic(tools=[{name: value for name, value in TOOL.items() if name != "strict"}]),
        tool({"strict": None}),
    ],
    "tools.unique-names": [classic(tools=[TOOL, TOOL]), (lite(TOOL, TOOL), LITE)],
    "tools.choice": [classic(tools=[TOOL], tool_choice="any"), classic(tool_choice="required")],
    "items.system": [asks(says("Hi", "system"))],
    "items.types": [
        asks({"type": "thinking"}),
        asks({"type": "item_reference", "id": "rs_1"}),
    ],
    "items.required": [asks({"type": "message", "role": "user"})],
    "items.fields": [
        asks({**says("Hi"), "cache_control": {}}),
        asks(call(arguments={}), result()),
    ],
    "items.ids": [
        asks({**says("Hi", "assistant"), "id": "msg_1"}),
        asks(call(id="fc_1"), result()),
        asks(thought(READABLE, id="rs_1"), says("Hi", "assistant")),
        asks({**says("Hi", "assistant"), "id": "rs_1"}),
    ],
    "items.status": [
        asks({**says("Hi", "assistant"), "status": "completed"}),
        asks(call(status="completed"), result()),
    ],
    "items.additional-tools": [
        asks({"type": "additional_tools", "role": "developer", "tools": []}),
        (lite(input=[*lite()["input"], lite()["input"][0]]), LITE),
    ],
    "items.roles": [
        asks(says("Hi", "tool")),
        asks({**says("Hi"), "phase": "final_answer"}),
    ],
    "parts.types": [
        part(type="output_text", text="Hi"),
        part(text="Hi"),
        asks({**says(""), "content": [7]}),
    ],
    "parts.fields": [part(type="input_text"), part(type="input_text", text="Hi", cache_control={})],
    "parts.empty": [
        asks(says("")),
        asks({**says("Hi"), "content": []}),
        asks({**says("Hi"), "content": ""}),
    ],
    "images.modality": [classic(model="gpt-5.3-codex-spark", input=[image(PIXEL)])],
    "images.detail": [detailed(classic(), "x"), (detailed(lite(), "auto"), LITE)],
    "images.address": [
        asks(image("http://example.com/a.png")),
        asks(image(data_url("svg+xml", SVG))),
        asks(image("data:image/png;base64,")),
        (lite(input=[*lite()["input"], image("https://example.com/a.png")]), LITE),
    ],
    "images.bytes": [
        picture("png", b"not an image"),
        picture("png", JPEG),
        picture("png", SVG),
        picture("png", PNG[:8]),
        picture("png", PNG[:-1]),
        picture("png", PNG[:8] + PNG[-12:]),
        picture("jpeg", PNG),
        picture("jpeg", JPEG[:-2]),
        picture("gif", GIF[:-1]),
        picture("gif", b"GIF88a" + GIF[6:]),
        picture("webp", WEBP[:-1]),
        picture("webp", WEBP[:4]),
        asks(image("data:image/png;base64,***")),
        asks(call(), result(output=[{"type": "input_image", "image_url": data_url("png", SVG)}])),
    ],
    "items.names": [asks(call(name="get.time"), result())],
    "items.length": [
        asks(call(arguments=f'"{"x" * 1_048_575}"'), result()),
        asks(call(), result(output="x" * 10_485_761)),
        asks(call(), result(output=[{"type": "input_text", "text": "x" * 10_485_761}])),
    ],
    "items.arguments": [
        asks(call(arguments='{"a": '), result()),
        asks(call(arguments=""), result()),
    ],
    "pairs.call-ids": [asks(call(""), result("")), asks(call(), call(), result())],
    "pairs.complete": [asks(call()), asks(result()), asks(result(), call())],
    "pairs.namespaces": [asks(call(namespace="mcp"), result())],
    "reasoning.hollow": [asks(thought(), says("Hm.", "assistant"))],
    "reasoning.readable": [asks(thought("gAAAAABx"), says("Hm.", "assistant"))],
}


def cases():
    for rule, broken in BROKEN.items():
        for number, case in enumerate(broken, 1):
            body, headers, policy = (*case, POLICY)[:3] if isinstance(case, tuple) else (case, JSON, POLICY)
            yield pytest.param(rule, body, headers, policy, id=f"{rule} {number}")


@pytest.mark.parametrize(("rule", "body", "headers", "policy"), [*cases()])
def test_a_request_that_breaks_a_rule_is_refused_by_it(rule, body, headers, policy):
    lowered = {name.lower(): value for name, value in headers.items()}
    refused = first_refusal(RULES, Incoming(body, lowered, policy), frozenset())
    assert refused is not None
    assert refused.rule == rule
    assert refused.status in {200, 400, 404, 406}


def test_every_rule_is_broken_by_a_request():
    assert sorted(BROKEN) == sorted(rule.id for rule in RULES)
    assert not PENDING


def test_a_pending_rule_refuses_nothing():
    body = classic(temperature=1)
    request = Incoming(body, {name.lower(): value for name, value in JSON.items()}, POLICY)
    assert first_refusal(RULES, request, frozenset({"body.fields"})) is None


def plain(**changes):
    return to_json(classic(**changes))


UNREADABLE = {
    "json.valid": [
        b"",
        b"{",
        plain()[:-1],
        plain().replace(b"false", b"NaN"),
        plain().replace(b"Hello", b"\xff"),
    ],
    "json.object": [b"[]", b"null", b'"text"'],
    "json.nul": [plain(instructions="a\0b"), plain(client_metadata={"a\0": "b"})],
    "json.duplicate-key": [plain().replace(b'"store":', b'"store":true,"store":'), b'{"a":{"b":1,"b":1}}'],
}


@pytest.mark.parametrize(("rule", "raw"), [(rule, raw) for rule, raws in UNREADABLE.items() for raw in raws])
def test_an_ambiguous_or_broken_body_is_refused(rule, raw):
    refused = judge(raw, JSON, POLICY)
    assert isinstance(refused, Refused)
    assert (refused.rule, refused.status) == (rule, 400)


def test_the_content_type_is_checked_before_the_body_is_read():
    refused = judge(b"{", {**JSON, "Content-Type": "text/plain"}, POLICY)
    assert isinstance(refused, Refused)
    assert refused.rule == "headers.content-type"


def test_a_compressed_body_is_read():
    packed = gzip.compress(plain())
    assert judge(packed, {**JSON, "Content-Encoding": "gzip"}, POLICY) == classic()
    assert judge(plain(), {**JSON, "Content-Encoding": "identity"}, POLICY) == classic()


@pytest.mark.parametrize(
    ("encoding", "raw", "status"),
    [
        ("gzip", plain(), 400),
        ("gzip", gzip.compress(plain())[:-4], 400),
        ("br", plain(), 415),
        ("gzip, gzip", plain(), 415),
    ],
)
def test_an_unknown_or_broken_encoding_is_refused(encoding, raw, status):
    refused = judge(raw, {**JSON, "Content-Encoding": encoding}, POLICY)
    assert isinstance(refused, Refused)
    assert (refused.rule, refused.status) == ("json.encoding", status)


def test_zstd_is_read_where_python_has_it():
    """A frame of one raw block, made by hand: magic, single segment, size, last block."""
    content = plain()
    frame = b"\x28\xb5\x2f\xfd\xa0" + len(content).to_bytes(4, "little")
    frame += (len(content) << 3 | 1).to_bytes(3, "little") + content
    judged = judge(frame, {**JSON, "Content-Encoding": "zstd"}, POLICY)
    has_zstd = any(importlib.util.find_spec(name) for name in ("compression", "zstandard"))
    if has_zstd:
        assert judged == classic()
    else:
        assert isinstance(judged, Refused)
        assert judged.status == 415
