"""The simulator refuses what the real backend refuses, with its status and body."""

import base64
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt.simulator.catalogue import default_models
from amplifier_module_provider_openai_chatgpt.simulator.rules import LITE_HEADER
from amplifier_module_provider_openai_chatgpt.simulator.strict import Rules, opens, refuse, seal

SESSION = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
JSON = {"Content-Type": "application/json"}
LITE = {**JSON, LITE_HEADER: "true"}
RULES = Rules("acc_1", {model["slug"]: model for model in default_models()})
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
TOOL = {"type": "function", "name": "get_time", "strict": False, "parameters": {"type": "object"}}
CLOSED = {"type": "object", "additionalProperties": False}
OPEN_INSIDE = {**CLOSED, "properties": {"a": {"type": "object"}}, "required": ["a"]}
ABSENT = object()


def says(text, role="user"):
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def call(call_id="call_1", **more):
    return {"type": "function_call", "name": "get_time", "arguments": "{}", "call_id": call_id, **more}


def result(call_id="call_1", output: Any = "noon"):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def image(url):
    return {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": url}]}


def thought(blob=None, **more):
    return {"type": "reasoning", "summary": [], "encrypted_content": blob, **more}


def classic(**changes):
    body = {
        "model": "gpt-5.5",
        "instructions": "Be brief.",
        "input": [says("Hello")],
        "store": False,
        "stream": True,
        **changes,
    }
    return {field: value for field, value in body.items() if value is not ABSENT}


def lite(*tools, **changes):
    space = {"type": "namespace", "name": "functions", "description": "", "tools": list(tools)}
    lead = {"type": "additional_tools", "role": "developer", "tools": [space]}
    body = classic(
        model="gpt-5.6-sol",
        instructions=ABSENT,
        input=[lead, says("Be brief.", "developer"), says("Hello")],
        parallel_tool_calls=False,
        reasoning={"effort": "low", "context": "all_turns"},
    )
    return {field: value for field, value in {**body, **changes}.items() if value is not ABSENT}


def message_of(refused):
    assert refused is not None
    return refused.body["detail"] if "detail" in refused.body else refused.body["error"]["message"]


def code_of(refused):
    assert refused is not None
    return refused.body["error"]["code"]


ACCEPTED = {
    "the smallest request": classic(),
    "every optional field": classic(
        tools=[TOOL, {"type": "web_search", "external_web_access": True}],
        tool_choice="auto",
        parallel_tool_calls=True,
        reasoning={"effort": "high", "summary": "detailed"},
        include=["reasoning.encrypted_content"],
        service_tier="priority",
        prompt_cache_key=SESSION,
        text={"verbosity": "low", "format": {"type": "text"}},
        client_metadata={"a": "b"},
        stream_options={"reasoning_summary_delivery": "sequential_cutoff"},
    ),
    "a named tool": classic(tools=[TOOL], tool_choice={"type": "function", "name": "get_time"}),
    "a call with its result": classic(input=[says("Hi"), call(), result()]),
    "a result with an image": classic(
        input=[call(), result(output=[{"type": "input_image", "image_url": PIXEL}])]
    ),
    "an image": classic(input=[image(PIXEL)]),
    "own reasoning": classic(input=[thought(seal("hm", RULES, "gpt-5.5")), says("Hi")]),
    "items with id and content": classic(
        input=[{**says("Hi", "assistant"), "id": "msg_1", "status": "completed", "phase": "final_answer"}]
    ),
    "a declared namespace": classic(
        tools=[{"type": "namespace", "name": "mcp", "description": "", "tools": [TOOL]}],
        input=[call(namespace="mcp"), result()],
    ),
    "a strict tool": classic(
        tools=[
            {
                **TOOL,
                "strict": True,
                "parameters": {
                    "type": "object",
                    "properties": {"a": {"type": "string"}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
            }
        ]
    ),
    "an unknown level that the catalogue lists": classic(
        model="gpt-5.3-codex-spark", reasoning={"effort": "hyper"}
    ),
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_a_right_request_is_accepted(body):
    assert refuse(body, JSON, RULES) is None


def test_both_lanes_are_open_to_a_model_flagged_for_lite():
    assert refuse(lite(TOOL), LITE, RULES) is None
    assert refuse(classic(model="gpt-5.6-sol"), JSON, RULES) is None


DETAILS = {
    "no instructions": (classic(instructions=ABSENT), "Instructions are required"),
    "empty instructions": (classic(instructions=""), "Instructions are required"),
    "store missing": (classic(store=ABSENT), "Store must be set to false"),
    "store true": (classic(store=True), "Store must be set to false"),
    "stream false": (classic(stream=False), "Stream must be set to true"),
    "stream missing": (classic(stream=ABSENT), "Stream must be set to true"),
    "a text as input": (classic(input="Hello"), "Input must be a list"),
    "role system": (classic(input=[says("Hi", "system")]), "System messages are not allowed"),
    "an unknown model": (
        classic(model="gpt-5.5-high"),
        "The 'gpt-5.5-high' model is not supported when using Codex with a ChatGPT account.",
    ),
    **{
        field: (classic(**{field: 1}), f"Unsupported parameter: {field}")
        for field in ("max_output_tokens", "temperature", "top_p", "previous_response_id", "metadata", "x")
    },
}


@pytest.mark.parametrize(("body", "text"), DETAILS.values(), ids=DETAILS)
def test_a_refusal_in_the_fastapi_shape_has_the_exact_body(body, text):
    refused = refuse(body, JSON, RULES)
    assert refused is not None
    assert (refused.status, refused.body) == (400, {"detail": text})


@pytest.mark.parametrize("sent", ["application/json; charset=utf-8", "text/plain", ""])
def test_only_the_exact_content_type_is_taken(sent):
    assert message_of(refuse(classic(), {"content-type": sent}, RULES)) == "Unsupported content type"


def test_instructions_come_before_store_and_store_before_stream():
    texts = []
    body: dict[str, Any] = classic(instructions=ABSENT, store=ABSENT, stream=ABSENT)
    for field, value in (("instructions", "Hi"), ("store", False), ("stream", True)):
        texts.append(message_of(refuse(body, JSON, RULES)).split()[0])
        body[field] = value
    assert texts == ["Instructions", "Store", "Stream"]


ERRORS = {
    "a call without result": (
        classic(input=[call()]),
        "No tool output found for function call call_1.",
    ),
    "a result without call": (
        classic(input=[result()]),
        "No tool call found for function call output with call_id call_1.",
    ),
    "a result before its call": (
        classic(input=[result(), call()]),
        "No tool call found for function call output with call_id call_1.",
    ),
    "two calls of one id": (classic(input=[call(), call(), result()]), "Duplicate item found"),
    "a namespace nobody declared": (
        classic(input=[call(namespace="mcp"), result()]),
        "Unknown parameter: 'input[0].namespace'.",
    ),
    "a namespace left out": (
        classic(
            tools=[{"type": "namespace", "name": "mcp", "tools": [TOOL]}],
            input=[call(), result()],
        ),
        "Missing namespace for function_call 'get_time'. It does not exist in the default namespace.",
    ),
    "an unknown item field": (
        classic(input=[{**says("Hi"), "cache_control": {}}]),
        "Unknown parameter: 'input[0].cache_control'.",
    ),
    "an item without type": (
        classic(input=[{"role": "user"}]),
        "Missing required parameter: 'input[0].type'.",
    ),
    "an unknown item type": (classic(input=[{"type": "thinking"}]), "Invalid value: 'thinking'."),
    "a message of one text": (
        classic(input=[{"type": "message", "role": "user", "content": "Hi"}]),
        "Invalid type for 'input[0].content': expected an array.",
    ),
    "output text of a user": (
        classic(input=[{**says("Hi", "assistant"), "role": "user"}]),
        "Invalid value: 'output_text'.",
    ),
    "input text of the assistant": (
        classic(input=[{**says("Hi"), "role": "assistant"}]),
        "Invalid value: 'input_text'.",
    ),
    "an image at a web address": (classic(input=[image("https://example.com/a.png")]), "The image data you"),
    "an image that is not base64": (
        classic(input=[image("data:image/png;base64,***")]),
        "The image data you",
    ),
    "an empty image": (classic(input=[image("data:image/png;base64,")]), "The image data you"),
    "a bitmap": (classic(input=[image("data:image/bmp;base64,AAAA")]), "The image data you"),
    "an image for a blind model": (
        classic(model="gpt-5.3-codex-spark", input=[image(PIXEL)]),
        "Unsupported value: 'input_image'",
    ),
    "a bad name in the history": (
        classic(input=[call(name="get.time"), result()]),
        "Invalid 'input[0].name': string does not match pattern.",
    ),
    "a bad tool name": (classic(tools=[{**TOOL, "name": "get time"}]), "Invalid 'tools[0].name'"),
    "a long tool name": (
        classic(tools=[{**TOOL, "name": "x" * 65}]),
        "Invalid 'tools[0].name': string too long",
    ),
    "a nested function": (
        classic(tools=[{"type": "function", "function": {"name": "x"}}]),
        "Missing required parameter: 'tools[0].name'.",
    ),
    "an unknown tool field": (
        classic(tools=[{**TOOL, "input_schema": {}}]),
        "Unknown parameter: 'tools[0].input_schema'.",
    ),
    "parameters that are no object": (
        classic(tools=[{**TOOL, "parameters": {"type": "string"}}]),
        "Invalid schema",
    ),
    "an unclosed strict schema": (
        classic(tools=[{**TOOL, "strict": True}]),
        "Invalid schema for function 'get_time': In context=(), 'additionalProperties' is required",
    ),
    "a choice of no tool": (
        classic(tools=[TOOL], tool_choice={"type": "function", "name": "other"}),
        "Tool choice 'function' not found in 'tools' parameter.",
    ),
    "required without tools": (classic(tool_choice="required"), "Tool choice 'required' must be"),
    "an unknown choice": (classic(tools=[TOOL], tool_choice="any"), "Invalid value: 'any'."),
    "a word for parallel calls": (
        classic(parallel_tool_calls="yes"),
        "Invalid type for 'parallel_tool_calls'",
    ),
    "an unknown include": (classic(include=["x"]), "Invalid value: 'x'."),
    "a long cache key": (classic(prompt_cache_key="x" * 65), "Invalid 'prompt_cache_key': string too long."),
    "json_object without the word": (
        classic(text={"format": {"type": "json_object"}}),
        "Response input messages must contain the word 'json'",
    ),
    "a schema without name": (
        classic(text={"format": {"type": "json_schema", "schema": {}}}),
        "Missing required parameter: 'text.format.name'.",
    ),
    "a description that is no text": (
        classic(tools=[{**TOOL, "description": 1}]),
        "Invalid type for 'tools[0].desc",
    ),
    "a tool without parameters": (
        classic(tools=[{"type": "function", "name": "x"}]),
        "Missing required parameter: 'tools[0].parameters'.",
    ),
    "strict by a word": (classic(tools=[{**TOOL, "strict": "yes"}]), "Invalid type for 'tools[0].strict'"),
    "a strict schema that leaves one optional": (
        classic(tools=[{**TOOL, "strict": True, "parameters": {**CLOSED, "properties": {"a": {}}}}]),
        "Invalid schema for function 'get_time': In context=(), 'required' is required",
    ),
    "a strict schema that is open inside": (
        classic(text={"format": {"type": "json_schema", "name": "x", "strict": True, "schema": OPEN_INSIDE}}),
        "Invalid schema for response_format 'x': In context=('properties', 'a')",
    ),
    "an unknown grammar": (
        classic(tools=[{"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "peg"}}]),
        "Invalid value: 'peg'.",
    ),
    "a grammar without definition": (
        classic(tools=[{"type": "custom", "name": "x", "format": {"type": "grammar", "syntax": "lark"}}]),
        "Missing required parameter: 'tools[0].format.definition'.",
    ),
    "an unknown kind of tool": (classic(tools=[{"type": "browser"}]), "Invalid value: 'browser'."),
    "a choice with the name inside": (
        classic(tools=[TOOL], tool_choice={"type": "function", "name": "get_time", "function": {}}),
        "Unknown parameter: 'tool_choice.function'.",
    ),
    "an unknown reasoning field": (
        classic(reasoning={"budget": 1}),
        "Unknown parameter: 'reasoning.budget'.",
    ),
    "an unknown summary": (classic(reasoning={"summary": "none"}), "Invalid value: 'none'."),
    "an unknown text field": (classic(text={"length": 1}), "Unknown parameter: 'text.length'."),
    "an unknown verbosity": (classic(text={"verbosity": "max"}), "Invalid value: 'max'."),
    "an unknown format": (classic(text={"format": {"type": "xml"}}), "Invalid value: 'xml'."),
    "an unknown format field": (
        classic(text={"format": {"type": "text", "json_schema": {}}}),
        "Unknown parameter: 'text.format.json_schema'.",
    ),
    "a bad format name": (
        classic(text={"format": {"type": "json_schema", "name": "a b", "schema": {}}}),
        "Invalid value: 'a b'.",
    ),
    "metadata that is no text": (classic(client_metadata={"a": 1}), "Invalid type for 'client_metadata'"),
    "an unknown stream option": (classic(stream_options={"include_usage": True}), "Invalid value: {"),
    "an id of another kind": (
        classic(input=[{**says("Hi", "assistant"), "id": "rs_1"}]),
        "Invalid 'input[0].id': 'rs_1'. Expected an ID that begins with 'msg'.",
    ),
    "an unknown status": (classic(input=[{**says("Hi"), "status": "done"}]), "Invalid value: 'done'."),
    "a phase of the user": (
        classic(input=[{**says("Hi"), "phase": "commentary"}]),
        "Invalid value: 'commentary'.",
    ),
    "role tool": (classic(input=[says("Hi", "tool")]), "Invalid value: 'tool'."),
    "an unknown detail": (
        classic(
            input=[{**says(""), "content": [{"type": "input_image", "image_url": PIXEL, "detail": "x"}]}]
        ),
        "Invalid value: 'x'.",
    ),
    "an unknown part field": (
        classic(input=[{**says(""), "content": [{"type": "input_text", "text": "Hi", "cache_control": {}}]}]),
        "Unknown parameter: 'input[0].content[0].cache_control'.",
    ),
    "a text part without text": (
        classic(input=[{**says(""), "content": [{"type": "input_text"}]}]),
        "Missing required parameter: 'input[0].content[0].text'.",
    ),
    "an empty call id": (classic(input=[call(""), result("")]), "Invalid 'input[0].call_id'"),
    "a custom call without result": (
        classic(input=[{"type": "custom_tool_call", "name": "x", "input": "", "call_id": "call_1"}]),
        "No tool output found for custom tool call call_1.",
    ),
    "the result of another kind of call": (
        classic(input=[call(), {"type": "custom_tool_call_output", "call_id": "call_1", "output": ""}]),
        "No tool call found for custom tool call output with call_id call_1.",
    ),
    "nothing to answer": (classic(input=[]), 'One of "input"'),
    "additional tools on the classic lane": (
        classic(input=[{"type": "additional_tools", "role": "developer", "tools": []}]),
        "Invalid value: 'additional_tools'.",
    ),
}


@pytest.mark.parametrize(("body", "text"), ERRORS.values(), ids=ERRORS)
def test_a_refusal_in_the_responses_shape_names_what_is_wrong(body, text):
    refused = refuse(body, JSON, RULES)
    assert refused is not None
    assert refused.status == 400
    assert refused.body["error"]["type"] == "invalid_request_error"
    assert refused.body["error"]["message"].startswith(text)


UNSUPPORTED = {
    "an unlisted effort": classic(reasoning={"effort": "minimal"}),
    "ultra, which is max on the wire": classic(model="gpt-5.6-sol", reasoning={"effort": "ultra"}),
    "the context of the other lane": classic(reasoning={"context": "all_turns"}),
    "an unlisted tier": classic(service_tier="flex"),
    "the tier by its user word": classic(service_tier="fast"),
    "verbosity where there is none": classic(model="gpt-5.3-codex-spark", text={"verbosity": "low"}),
}


@pytest.mark.parametrize("body", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_value_that_the_model_does_not_take_is_unsupported(body):
    assert code_of(refuse(body, JSON, RULES)) == "unsupported_value"


@pytest.mark.parametrize(
    "item",
    [
        thought(id="rs_1"),
        {"type": "message", "role": "user", "id": "msg_1"},
        {"type": "item_reference", "id": "rs_1"},
    ],
)
def test_an_id_without_its_content_is_not_found(item):
    refused = refuse(classic(input=[item]), JSON, RULES)
    assert refused is not None
    assert refused.status == 404
    assert message_of(refused) == (
        f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )


@pytest.mark.parametrize(
    "blob",
    [
        seal("hm", Rules("acc_2", {}), "gpt-5.5"),
        seal("hm", RULES, "gpt-5.2"),
        seal("hm", Rules("acc_1", {}, encryption_key="newer"), "gpt-5.5"),
        "gAAAAAB",
        "gAAAAABx",
        "made up",
        "",
    ],
)
def test_reasoning_of_another_account_model_or_key_does_not_open(blob):
    assert (
        code_of(refuse(classic(input=[thought(blob), says("Hi")]), JSON, RULES))
        == "invalid_encrypted_content"
    )


def test_a_seal_opens_where_it_was_made_and_shows_nothing_in_the_rules():
    blob = seal("a thought", RULES, "gpt-5.5")
    assert blob.startswith("gAAA")
    assert opens(blob, RULES, "gpt-5.5")
    assert not opens(blob[:-4] + "AAAA", RULES, "gpt-5.5")
    assert "a key" not in repr(Rules("acc_1", {}, encryption_key="a key"))


LITE_FAULTS = {
    "instructions": (lite(instructions="Hi"), "Unsupported parameter: instructions"),
    "tools": (lite(tools=[TOOL]), "Unsupported parameter: tools"),
    "parallel calls": (
        lite(parallel_tool_calls=ABSENT),
        "X-OpenAI-Internal-Codex-Responses-Lite requires `parallel_tool_calls` to be false.",
    ),
    "no context": (lite(reasoning={"effort": "low"}), "Unsupported value: None"),
    "no leading tools": (lite(input=[says("Hello")]), "Invalid value: 'message'."),
    "a model without Lite": (lite(model="gpt-5.5"), "Unsupported value: 'gpt-5.5'"),
    "a hosted tool": (
        lite(input=[{"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}]),
        "Invalid value: 'web_search'.",
    ),
}


@pytest.mark.parametrize(("body", "text"), LITE_FAULTS.values(), ids=LITE_FAULTS)
def test_the_lite_lane_has_its_own_shape(body, text):
    assert message_of(refuse(body, LITE, RULES)).startswith(text)


def test_a_model_that_requires_lite_is_not_found_on_the_classic_lane():
    rules = Rules("acc_1", RULES.models, require_lite=frozenset({"gpt-5.6-sol"}))
    refused = refuse(classic(model="gpt-5.6-sol"), JSON, rules)
    assert refused is not None
    assert (refused.status, message_of(refused)) == (404, "Model not found gpt-5.6-sol")
    assert refuse(lite(), LITE, rules) is None


@pytest.mark.parametrize(
    ("gate", "headers", "expected"),
    [
        ("open", {}, None),
        ("open", {"version": "0.153.0"}, None),
        ("open", {"version": "0.1000.0"}, None),
        ("open", {"version": "0.99.9"}, 400),
        ("open", {"version": "newest"}, 400),
        ("open", {"User-Agent": "codex_cli_rs/0.0.0 (Linux)"}, 400),
        ("strict", {}, 404),
        ("strict", {"version": "0.153.0"}, None),
        ("strict", {"version": "0.152.0"}, 400),
    ],
)
def test_the_gate_compares_versions_part_by_part(gate, headers, expected):
    rules = Rules("acc_1", RULES.models, version_gate=gate)
    refused = refuse(classic(model="gpt-6-astra"), {**JSON, **headers}, rules)
    assert (refused and refused.status) == expected


def test_a_refused_tier_is_an_unsupported_parameter():
    rules = Rules("acc_1", RULES.models, tier_refused=True)
    refused = refuse(classic(service_tier="priority"), JSON, rules)
    assert message_of(refused) == "Unsupported parameter: service_tier"


@pytest.mark.parametrize(
    ("session", "key", "taken"),
    [
        (SESSION, SESSION, True),
        (SESSION, ABSENT, True),
        (SESSION, "another", False),
        ("0199a1b2-c3d4-4e5f-8a6b-7c8d9e0f1a2b", ABSENT, False),
        ("session", ABSENT, False),
    ],
)
def test_the_session_header_is_a_uuid7_that_the_cache_key_repeats(session, key, taken):
    refused = refuse(classic(prompt_cache_key=key), {**JSON, "session-id": session}, RULES)
    assert (refused is None) == taken


def test_an_input_beyond_the_context_window_is_refused_with_its_code():
    refused = refuse(classic(input=[says("word " * 300_000)]), JSON, RULES)
    assert code_of(refused) == "context_length_exceeded"
    assert "exceeds the context window" in message_of(refused)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = sorted(
    {
        *("type", "role", "content", "name", "arguments", "call_id", "output", "summary", "tools", "format"),
        *("parameters", "strict", "encrypted_content", "id", "status", "namespace", "text", "image_url"),
        *("message", "function_call", "function_call_output", "reasoning", "function", "custom", "user"),
        *("assistant", "input_text", "input_image", "json_schema", "schema", "effort", "additional_tools"),
    }
)
NEAR = st.recursive(
    st.sampled_from(WORDS) | ANY_JSON,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WORDS), st.sampled_from(WORDS) | inner, max_size=6)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(body=ANY_JSON, near=NEAR, field=st.sampled_from([*sorted(classic()), "tools", "text", "tool_choice"]))
def test_no_json_value_makes_it_raise(body, near, field):
    assert refuse(body, JSON, RULES) is not None
    for value in (near, [near], {"type": near}, [{"type": "message", "role": "user", "content": near}]):
        refuse(classic(**{field: value}), JSON, RULES)
        refuse(lite(**{field: value}), LITE, RULES)
