"""The simulator refuses what the real backend refuses, with the same status and body."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt.simulator.rules import Policy, Refused, opens, seal
from amplifier_module_provider_openai_chatgpt.simulator.validation.request import judge, refuse

from .pictures import IMAGES, PNG, data_url
from .requests import (
    ABSENT,
    JSON,
    LITE,
    PIXEL,
    RULES,
    SESSION,
    TOOL,
    call,
    classic,
    code_of,
    image,
    lite,
    message_of,
    result,
    says,
    thought,
)

WHOLE = IMAGES.items()
LEAD = {
    "type": "additional_tools",
    "role": "developer",
    "tools": [
        {"type": "namespace", "name": "functions", "description": "", "tools": [TOOL]},
        {"type": "web_search"},
    ],
}
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
    "own reasoning": classic(
        input=[thought(seal("hm", RULES, "gpt-6-sol")), says("Hm.", "assistant"), says("Hi")]
    ),
    "items with a phase": classic(input=[{**says("Hi", "assistant"), "phase": "final_answer"}]),
    "a message without type": classic(
        input=[{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]
    ),
    "content that is one text": classic(input=[{"type": "message", "role": "user", "content": "Hi"}]),
    "the official client's metadata": classic(
        input=[{**says("Hi"), "internal_chat_message_metadata_passthrough": {"turn_id": "t_1"}}]
    ),
    "a cache key of another form than the session's": classic(prompt_cache_key="a" * 64),
    "an image at an https address": classic(input=[image("https://example.com/a.png")]),
    "effort none, which no list has": classic(model="gpt-5.6-sol", reasoning={"effort": "none"}),
    "reasoning that nothing follows": classic(
        input=[says("Hi"), thought(seal("hm", RULES, "gpt-6-sol")), says("And?")]
    ),
    "reasoning of the same family": classic(
        model="gpt-6.1-sol",
        input=[thought(seal("hm", RULES, "gpt-6.1-luna")), says("Hm.", "assistant"), says("Hi")],
    ),
    **{
        f"a {kind} image": classic(input=[image(data_url(kind, content))]) for kind, content in IMAGES.items()
    },
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
def test_a_valid_request_is_accepted(body):
    assert refuse(body, JSON, RULES) is None


def test_the_public_apis_limits_for_images_do_not_apply():
    wide = {"gpt-6-sol": {**RULES.models["gpt-6-sol"], "context_window": 10**9}}
    large = PNG[:-12] + (21 * 2**20).to_bytes(4, "big") + b"teXt" + bytes(21 * 2**20 + 4) + PNG[-12:]
    for images in ([image(PIXEL)] * 501, [image(data_url("png", large))]):
        assert refuse(classic(input=images), JSON, Policy("acc_1", wide)) is None


def test_both_request_shapes_are_open_to_a_model_flagged_for_lite():
    assert refuse(lite(TOOL), LITE, RULES) is None
    assert refuse(lite(input=[LEAD, says("Hello")]), LITE, RULES) is None, "instructions are optional"
    assert refuse(classic(model="gpt-6.1-sol"), JSON, RULES) is None


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
        classic(model="gpt-6-sol-high"),
        "The 'gpt-6-sol-high' model is not supported when using Codex with a ChatGPT account.",
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
def test_only_the_exact_content_type_is_accepted(sent):
    assert message_of(refuse(classic(), {"content-type": sent}, RULES)) == "Unsupported content type"


def test_instructions_are_checked_first_then_store_then_stream():
    texts = []
    body: dict[str, Any] = classic(instructions=ABSENT, store=ABSENT, stream=ABSENT)
    for field, value in (("instructions", "Hi"), ("store", False), ("stream", True)):
        texts.append(message_of(refuse(body, JSON, RULES)).split()[0])
        body[field] = value
    assert texts == ["Instructions", "Store", "Stream"]


UNSUPPORTED = {
    "an unlisted effort": classic(model="gpt-5.6-sol", reasoning={"effort": "minimal"}),
    "the context of the other shape": classic(reasoning={"context": "all_turns"}),
    "an unlisted tier": classic(service_tier="flex"),
    "the tier by its display name": classic(service_tier="fast"),
    "verbosity where there is none": classic(model="gpt-5.3-codex-spark", text={"verbosity": "low"}),
}


@pytest.mark.parametrize("body", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_value_that_the_model_does_not_support_is_unsupported(body):
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
        seal("hm", Policy("acc_2", {}), "gpt-6-sol"),
        seal("hm", RULES, "gpt-5.2"),
        seal("hm", Policy("acc_1", {}, encryption_key="newer"), "gpt-6-sol"),
        "gAAAAAB",
        "gAAAAABx",
        "made up",
    ],
)
def test_reasoning_of_another_account_model_or_key_is_not_readable(blob):
    body = classic(input=[thought(blob), says("Hm.", "assistant"), says("Hi")])
    assert code_of(refuse(body, JSON, RULES)) == "invalid_encrypted_content"


def test_ciphertext_is_readable_where_it_was_made_and_the_key_stays_hidden():
    blob = seal("a thought", RULES, "gpt-6-sol")
    assert blob.startswith("gAAA")
    assert opens(blob, RULES, "gpt-6-sol")
    assert not opens(blob[:-4] + "AAAA", RULES, "gpt-6-sol")
    assert "a key" not in repr(Policy("acc_1", {}, encryption_key="a key"))


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
}


@pytest.mark.parametrize(("body", "text"), LITE_FAULTS.values(), ids=LITE_FAULTS)
def test_lite_has_its_own_shape(body, text):
    assert message_of(refuse(body, LITE, RULES)).startswith(text)


def test_a_model_that_requires_lite_is_not_found_in_the_classic_shape():
    rules = Policy("acc_1", RULES.models, require_lite=frozenset({"gpt-6.1-sol"}))
    refused = refuse(classic(model="gpt-6.1-sol"), JSON, rules)
    assert refused is not None
    assert (refused.status, message_of(refused)) == (404, "Model not found gpt-6.1-sol")
    assert refuse(lite(), LITE, rules) is None


@pytest.mark.parametrize(
    ("gate", "headers", "expected"),
    [
        ("open", {}, None),
        ("open", {"version": "0.144.0"}, None),
        ("open", {"version": "0.1000.0"}, None),
        ("open", {"version": "0.99.9"}, 400),
        ("open", {"version": "newest"}, 400),
        ("open", {"User-Agent": "codex_cli_rs/0.0.0 (Linux)"}, 400),
        ("strict", {}, 404),
        ("strict", {"version": "0.144.0"}, None),
        ("strict", {"version": "0.143.9"}, 400),
    ],
)
def test_the_gate_compares_versions_part_by_part(gate, headers, expected):
    rules = Policy("acc_1", RULES.models, version_gate=gate)
    refused = refuse(classic(model="gpt-5.6-terra"), {**JSON, **headers}, rules)
    assert (refused and refused.status) == expected


def test_a_refused_tier_is_an_unsupported_parameter():
    rules = Policy("acc_1", RULES.models, tier_refused=True)
    refused = refuse(classic(service_tier="priority"), JSON, rules)
    assert message_of(refused) == "Unsupported parameter: service_tier"


@pytest.mark.parametrize(
    ("session", "key", "taken"),
    [
        (SESSION, SESSION, True),
        (SESSION, ABSENT, True),
        (SESSION, "another", True),
        ("0199a1b2-c3d4-4e5f-8a6b-7c8d9e0f1a2b", ABSENT, False),
        ("session", ABSENT, False),
    ],
)
def test_the_session_header_is_a_uuid7_whatever_the_cache_key(session, key, taken):
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


@settings(max_examples=150)
@given(body=ANY_JSON, near=NEAR, field=st.sampled_from([*sorted(classic()), "tools", "text", "tool_choice"]))
def test_no_json_value_raises(body, near, field):
    assert isinstance(judge(to_json(body), JSON, RULES), Refused)
    for value in (near, [near], {"type": near}, [{"type": "message", "role": "user", "content": near}]):
        refuse(classic(**{field: value}), JSON, RULES)
        refuse(lite(**{field: value}), LITE, RULES)
