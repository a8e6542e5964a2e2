"""Calls as hosts make them: options in requests, parallel calls, several event loops and instances."""

import asyncio

import pytest
from amplifier_core.llm_errors import InvalidRequestError, LLMTimeoutError
from amplifier_core.message_models import ChatRequest

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import MODEL
from tests.hosts import Host

RESPONSES = "/codex/responses"
LOOK = {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def request(text="Say hello.", **fields):
    return ChatRequest(messages=[{"role": "user", "content": text}], **fields)


def bodies(sim):
    return [request.json for request in sim.requests_to(RESPONSES)]


@pytest.fixture
async def provider(config):
    provider = ChatGPTProvider({**config, "reasoning_effort": "low"})
    yield provider
    await provider.close()


FORMAT = {"format": {"type": "json_schema", "name": "response", "strict": False, "schema": SCHEMA}}
THINKING = {"effort": "low", "summary": "detailed"}
ARGUMENTS = [
    ({}, {"model": MODEL, "reasoning": THINKING, "tool_choice": "auto", "service_tier": None}),
    ({"model": "gpt-5.6-sol"}, {"model": "gpt-5.6-sol", "reasoning": THINKING}),
    ({"model": "gpt-6-luna-fast"}, {"model": "gpt-6-luna", "service_tier": "priority"}),
    ({"reasoning_effort": "high"}, {"reasoning": {**THINKING, "effort": "high"}}),
    ({"model": "gpt-5.6-sol", "reasoning_effort": "none"}, {"model": "gpt-5.6-sol", "reasoning": THINKING}),
    ({"extended_thinking": True}, {"reasoning": THINKING}),
    ({"extended_thinking": False, "reasoning_effort": "high"}, {"reasoning": None}),
    ({"tool_choice": "none"}, {"tool_choice": "none"}),
    (
        {"tool_choice": {"type": "tool", "name": "look"}},
        {"tool_choice": {"type": "function", "name": "look"}},
    ),
    ({"response_format": {"type": "json_schema", "json_schema": SCHEMA}}, {"text": FORMAT}),
    ({"temperature": 0.3, "max_tokens": 5, "anything": object()}, {"temperature": None, "max_tokens": None}),
]


@pytest.mark.parametrize(("kwargs", "expected"), ARGUMENTS)
async def test_options_of_hosts_are_in_the_request(sim, provider, kwargs, expected):
    await provider.complete(request(tools=[LOOK]), **kwargs)
    [body] = bodies(sim)
    assert {field: body.get(field) for field in expected} == expected


async def test_the_timeout_of_a_call_takes_precedence_over_the_setting(sim, config):
    """The setting is five minutes."""
    provider = ChatGPTProvider({**config, "max_retries": 0})
    sim.misbehave(RESPONSES, Fault(stall_before_headers=True), times=2)
    async with asyncio.timeout(60):
        for options in ({"request": request(), "timeout": 0.2}, {"request": request(timeout=0.2)}):
            with pytest.raises(LLMTimeoutError):
                await provider.complete(**options)
    await provider.close()


async def test_a_child_session_uses_the_model_and_effort_of_its_role(sim, config):
    """Routing merges the config of a role into the mount config of the child."""
    role = {"priority": 0, "default_model": "gpt-5.6-terra", "reasoning_effort": "xhigh"}
    async with Host({**config, **role}) as child:
        await child.say("Say hello.")
    async with Host({**config, "priority": "0", "effort": "medium", "filtered": False}) as other:
        await other.say("Say hello.")
    first, second = bodies(sim)
    assert (first["model"], first["reasoning"]["effort"]) == ("gpt-5.6-terra", "xhigh")
    assert (second["model"], second["reasoning"]["effort"]) == (MODEL, "medium")
    assert first["prompt_cache_key"] != second["prompt_cache_key"]


@pytest.mark.parametrize("effort", ["low", "none"])
async def test_an_effort_that_a_model_does_not_support_is_refused(sim, provider, effort):
    with pytest.raises(InvalidRequestError, match=r"gpt-5\.5-pro does not take .* medium, high, xhigh"):
        await provider.complete(request(model="gpt-5.5-pro"), reasoning_effort=effort)
    assert bodies(sim) == []


async def test_a_model_without_the_fast_tier_is_called_without_it_with_one_warning(sim, provider, caplog):
    [luna] = (model for model in sim.models if model["slug"] == "gpt-6-luna")
    luna |= {"service_tiers": [], "additional_speed_tiers": []}
    await provider.list_models()
    for _ in range(2):
        await provider.complete(request(model="gpt-6-luna-fast"))
    assert [(body["model"], body.get("service_tier")) for body in bodies(sim)] == [("gpt-6-luna", None)] * 2
    assert [line for line in caplog.messages if "fast tier" in line] == [
        "gpt-6-luna has no fast tier on this subscription; sending the request without it."
    ]


async def test_latest_is_the_first_of_the_live_list(sim, config):
    provider = ChatGPTProvider({**config, "default_model": "latest"})
    next(model for model in sim.models if model["slug"] == "gpt-5.6-terra")["priority"] = 0
    await provider.complete(request())
    await provider.complete(request(model="gpt-6-luna"))
    await provider.close()
    assert [body["model"] for body in bodies(sim)] == ["gpt-5.6-terra", "gpt-6-luna"]


async def test_another_default_model_may_be_assigned(sim, provider):
    provider.default_model = "gpt-5.6-terra"
    await provider.complete(request())
    assert bodies(sim)[0]["model"] == provider.get_info().defaults["model"] == "gpt-5.6-terra"


def test_one_instance_serves_several_loops_in_turn(sim, config):
    provider = ChatGPTProvider(config)

    async def two_calls():
        texts = [(await provider.complete(request())).text for _ in (1, 2)]
        await provider.list_models()
        await provider.close()
        return texts

    answers = [asyncio.run(two_calls()) for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert len(bodies(sim)) == 6


async def test_one_instance_serves_many_tasks_in_parallel(sim, provider):
    """Each gets its own answer: the instance has no state of a call."""
    questions = [f"Question number{number}" for number in range(24)]
    models = ["gpt-6-sol", "gpt-6-luna-fast", "gpt-5.6-sol"]
    responses = await asyncio.gather(
        *(
            provider.complete(request(text, metadata={"stream": place % 2 == 0}), model=models[place % 3])
            for place, text in enumerate(questions)
        )
    )
    assert [text in response.text for text, response in zip(questions, responses, strict=True)] == [True] * 24
    assert [response.metadata["openai-chatgpt:model"] for response in responses[:3]] == [
        "gpt-6-sol",
        "gpt-6-luna",
        "gpt-5.6-sol",
    ]


async def test_two_instances_keep_their_own_settings(sim, config):
    one, two = (ChatGPTProvider({**config, "default_model": slug}) for slug in ("gpt-6-sol", "gpt-6-luna"))
    await asyncio.gather(*(provider.complete(request()) for provider in (one, two, one)))
    await one.close()
    await two.complete(request())
    await two.close()
    assert sorted(body["model"] for body in bodies(sim)) == [
        "gpt-6-luna",
        "gpt-6-luna",
        "gpt-6-sol",
        "gpt-6-sol",
    ]


async def test_a_closed_provider_can_be_used_again(sim, provider):
    await provider.close()
    await provider.complete(request())
    await provider.close()
    await provider.close()
    assert (await provider.complete(request())).text
