"""Every rule of the plan service refuses at least one call; the open points follow their switches."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt.simulator.rules import PlanTerms, Policy, Refused
from amplifier_module_provider_openai_chatgpt.simulator.validation.plan import (
    CAPABILITY,
    OWN_RULES,
    PLAN_RULES,
    judge_plan,
)
from amplifier_module_provider_openai_chatgpt.simulator.worlds import PLAN

from .plan import HEADERS, additional, body
from .requests import ABSENT, PIXEL, TOOL, image, says

POLICY = Policy("user-1", {entry["slug"]: entry for entry in PLAN.catalogue()}, plan=PlanTerms())
SPACE: dict[str, Any] = {"type": "namespace", "name": "functions", "description": "Tools.", "tools": [TOOL]}
CUSTOM = {"type": "custom", "name": "patch"}
LINK = image("https://example.com/a.png")
REFUSED = (
    *("background", "conversation", "max_output_tokens", "max_tool_calls", "metadata", "moderation"),
    *("multi_agent", "prompt", "prompt_cache_retention", "safety_identifier", "temperature"),
    *("top_logprobs", "top_p", "truncation", "user", "previous_response_id", "programmatic_tool_calling"),
)
HOSTED = ("image_generation", "file_search", "code_interpreter", "computer_use", "mcp", "tool_search")
FOREIGN = (
    "chatgpt-account-id",
    "originator",
    "version",
    "session-id",
    "openai-project",
    "openai-organization",
)


def judged(content, headers=(), **terms):
    policy = replace(POLICY, plan=PlanTerms(**terms))
    return judge_plan(to_json(content), {**HEADERS, **dict(headers)}, policy)


def rule_of(content, headers=(), **terms):
    refused = judged(content, headers, **terms)
    assert isinstance(refused, Refused)
    return refused.rule


# By rule: body, headers and open points that break it.
BROKEN: dict[str, list[tuple[Any, dict[str, str], dict[str, Any]]]] = {
    "plan.headers": [(body(), {name: "x"}, {}) for name in FOREIGN],
    "plan.capabilities": [
        *((body(**{field: 1}), {}, {}) for field in REFUSED),
        (body(prompt_cache_key="one"), {}, {"refused_fields": frozenset({"prompt_cache_key"})}),
    ],
    "plan.fields": [(body(client_metadata={"a": "b"}), {}, {}), (body(some_field=1), {}, {})],
    "plan.model": [(body(model="gpt-5.5"), {}, {}), (body(model="gpt-6-sol-fast"), {}, {})],
    "plan.context": [(body(reasoning={"context": "all_turns"}), {}, {})],
    "plan.tools": [
        *((body(tools=[{**tool}]), {}, {}) for tool in (TOOL, CUSTOM)),
        *((body(tools=[{"type": kind}]), {}, {}) for kind in HOSTED),
        (body(), {}, {"additional_tools": False, "flat_tools": True}),
    ],
    "plan.namespaces": [(body(says("Hi"), tools=[{**SPACE, "description": ""}]), {}, {})],
    "plan.named-choice": [
        (body(tool_choice={"type": "function", "name": TOOL["name"]}), {}, {"named_choice": False})
    ],
    "plan.image-links": [(body(LINK), {}, {"image_links": False})],
}
SHARED = {
    "headers.accept": (body(), {"accept": "*/*"}),
    "body.store": (body(store=True), {}),
    "body.stream": (body(stream=ABSENT), {}),
    "body.input": (body(input="Hello"), {}),
    "items.system": (body(says("Hi", "system")), {}),
    "items.additional-tools": (body(says("Hi"), additional(TOOL)), {}),
    "tools.kinds": (body(additional({"type": "file_search"}), says("Hi")), {}),
    "tools.names": (body(additional({**TOOL, "name": "a b"}), says("Hi")), {}),
    "tools.unique-names": (body(additional(TOOL), says("Hi"), tools=[SPACE]), {}),
    "schemas.strict": (body(additional({**TOOL, "strict": True}), says("Hi")), {}),
    "model.effort": (body(reasoning={"effort": "none"}), {}),
    "model.tier": (body(service_tier="ultrafast"), {}),
}


@pytest.mark.parametrize(
    ("rule", "content", "headers", "terms"),
    [(rule, *case) for rule, cases in BROKEN.items() for case in cases],
)
def test_a_rule_of_the_plan_service_refuses(rule, content, headers, terms):
    assert rule_of(content, headers, **terms) == rule


@pytest.mark.parametrize("rule", SHARED)
def test_a_rule_of_both_services_refuses_here_too(rule):
    assert rule_of(*SHARED[rule]) == rule


def test_every_rule_of_the_plan_service_is_broken_by_a_test():
    assert set(BROKEN) == {rule.id for rule in OWN_RULES.values()}
    assert {rule.id for rule in PLAN_RULES} >= set(BROKEN) | set(SHARED)


def test_a_refused_capability_names_its_parameter():
    refused = judged(body(temperature=1))
    assert isinstance(refused, Refused)
    assert refused.status == 400
    assert (refused.body["error"]["code"], refused.body["error"]["param"]) == (CAPABILITY, "temperature")


@pytest.mark.parametrize(
    ("wording", "found"),
    [
        ("capability", {"param": "temperature", "code": CAPABILITY}),
        ("parameter", {"param": "temperature", "code": "unknown_parameter"}),
        ("detail", {}),
    ],
)
def test_a_refused_capability_has_three_wordings(wording, found):
    refused = judged(body(temperature=1), wording=wording)
    assert isinstance(refused, Refused)
    error = refused.body.get("error", {})
    assert {name: error[name] for name in found} == found
    assert "temperature" in str(refused.body)


ACCEPTED: list[tuple[Any, dict[str, str], dict[str, Any]]] = [
    (body(), {}, {}),
    (body(says("Hi"), instructions=ABSENT), {}, {}),
    (body(says("Be brief.", "developer"), says("Hi"), instructions=ABSENT), {}, {}),
    (body(additional(TOOL, CUSTOM), says("Hi")), {}, {}),
    (body(tools=[SPACE, {"type": "web_search"}], input=[says("Hi")]), {}, {}),
    (body(parallel_tool_calls=True, prompt_cache_key="one", text={"verbosity": "low"}), {}, {}),
    (
        body(reasoning={"effort": "high", "summary": "detailed"}, include=["reasoning.encrypted_content"]),
        {},
        {},
    ),
    (body(tool_choice={"type": "function", "name": TOOL["name"]}), {}, {}),
    (body(image(PIXEL)), {}, {}),
    (body(LINK), {}, {}),
    (body(tools=[TOOL], input=[says("Hi")]), {}, {"flat_tools": True}),
    (body(tools=[{**SPACE, "description": ""}], input=[says("Hi")]), {}, {"empty_descriptions": True}),
    (body(), {"session-id": "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"}, {"session_header": True}),
]


@pytest.mark.parametrize(("content", "headers", "terms"), ACCEPTED)
def test_a_valid_call_is_accepted(content, headers, terms):
    assert judged(content, headers, **terms) == content
