"""The documented service in a real provider and session: whole conversations, and every refusal."""

import base64
import json
import logging

import pytest
from amplifier_core.llm_errors import (
    ConfigurationError,
    NotFoundError,
    ProviderUnavailableError,
)
from amplifier_core.message_models import (
    ChatRequest,
    ImageBlock,
    Message,
    ToolCallBlock,
    ToolResultBlock,
    ToolSpec,
)

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN
from amplifier_module_provider_openai_chatgpt.settings import read_settings
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Simulator
from amplifier_module_provider_openai_chatgpt.simulator.rules import PlanTerms
from amplifier_module_provider_openai_chatgpt.simulator.validation.plan import _REFUSED_FIELDS
from tests.conftest import write_tokens
from tests.request.pictures import png
from tests.test_routing import ALL_ROLES, EFFORT, resolve

pytestmark = pytest.mark.world("plan")
TOOL = ToolSpec(name="get_time", description="The time.", parameters={"type": "object", "properties": {}})


def hello(**more):
    return ChatRequest(messages=[Message(role="user", content="Say hello.")], **more)


def bodies(sim):
    return [json.loads(one.body) for one in sim.requests if one.path.endswith("/responses")]


async def test_the_warning_about_the_fast_tier_is_about_the_mode(plan, in_use, caplog):
    provider = in_use(plan)
    [first, *_] = await provider.list_models()
    await provider.complete(hello(model=f"{first.id}-fast"))
    warnings = [line for line in caplog.messages if "fast tier" in line]
    assert warnings == ["The plan mode has no fast tier; sending the request without it."]


def test_the_mode_changes_the_defaults_and_is_refused_if_unknown():
    read = read_settings({"auth_mode": "chatgpt_plan"}, {})
    assert read.service is CHATGPT_PLAN
    assert (read.base_url, read.auth_url) == ("https://api.openai.com/v1", "https://auth.openai.com")
    assert read.token_file_path.parts[-2:] == ("chatgpt-plan", "default.json")
    assert read.default_model == "latest"
    assert read_settings({"auth_mode": "legacy_codex"}, {}).auth_mode == "chatgpt_codex"
    for key, value in {"auth_mode": "api_key", "token_file_path": "", "host_file_path": ""}.items():
        with pytest.raises(ConfigurationError, match=key):
            read_settings({"auth_mode": "chatgpt_plan", key: value}, {})


async def test_the_list_is_in_the_servers_order_without_twins_and_without_a_built_in_one(sim, plan, in_use):
    sim.sharing.lists_details = True
    provider = in_use(plan)
    assert provider.get_info().defaults["auth_mode"] == "chatgpt_plan"
    names = [model.id for model in await provider.list_models()]
    assert names[:4] == ["gpt-6.1-sol", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna"]
    assert not [name for name in names if name.endswith("-fast")]


async def test_without_a_list_nothing_is_guessed(sim, plan, in_use):
    sim.sharing.admission = 503
    provider = in_use(plan)
    with pytest.raises(ProviderUnavailableError):
        await provider.list_models()
    with pytest.raises(ProviderUnavailableError):
        await provider.complete(hello())
    assert list(provider.catalogue.known()) == []
    assert bodies(sim) == []


async def test_a_listed_model_that_is_refused_is_replaced_by_the_next_one_of_the_list(sim, plan, in_use):
    """The default model is the first of the list, which may still name it."""
    text = "The model 'gpt-6.1-sol' does not exist or you do not have access to it."
    refusal = {"error": {"code": "model_not_found", "message": text, "param": "model"}}
    sim.misbehave("/responses", Fault(status=404, body=refusal))
    provider = in_use(plan)
    for _ in range(2):
        assert (await provider.complete(hello())).text
    assert [body["model"] for body in bodies(sim)] == ["gpt-6.1-sol", "gpt-6-astra", "gpt-6-astra"]
    sim.misbehave("/responses", Fault(status=404, body=refusal))
    with pytest.raises(NotFoundError, match="choose another, such as gpt-6-astra"):
        await provider.complete(hello(), model="gpt-6.1-sol")


@pytest.mark.parametrize("details", [False, True])
async def test_every_role_is_played_by_a_listed_model_with_the_effort_of_the_role(sim, plan, in_use, details):
    """Without efforts in the list, the effort of a role is sent as it is."""
    sim.sharing.lists_details = details
    listed = [model.id for model in await in_use(plan).list_models()]
    for role in ALL_ROLES:
        model, extra = resolve(role, listed) or ("", {})
        assert model in listed
        await in_use({**plan, "default_model": model, **extra}).complete(hello())
        body = bodies(sim)[-1]
        assert (body["model"], body.get("reasoning", {}).get("effort")) == (model, EFFORT.get(role))
        assert "service_tier" not in body


async def test_an_effort_that_a_model_refuses_is_replaced_by_one_that_it_names(sim, plan, in_use):
    """The list has no efforts: the refusal names them."""
    provider = in_use({**plan, "default_model": "gpt-6-sol"})
    for _ in range(2):
        await provider.complete(hello(), reasoning_effort="minimal")
    assert [body["reasoning"]["effort"] for body in bodies(sim)] == ["minimal", "low", "low"]


@pytest.mark.parametrize("media_type", [None, "text/event-stream", "text/plain", "application/octet-stream"])
async def test_a_stream_is_read_whatever_its_content_type(sim, plan, in_use, media_type):
    sim.sharing.content_type = media_type
    assert (await in_use(plan).complete(hello(), model="gpt-6-sol")).text


async def test_images_are_sent_as_data_and_links_as_notes(sim, plan, in_use):
    link = ImageBlock(source={"type": "url", "url": "https://example.com/a.png"})
    data = ImageBlock(
        source={"type": "base64", "media_type": "image/png", "data": base64.b64encode(png()).decode()}
    )
    request = ChatRequest(messages=[Message(role="user", content=[data, link])])
    assert (await in_use(plan).complete(request)).text
    [item] = bodies(sim)[-1]["input"]
    assert [part["type"] for part in item["content"]] == ["input_image", "input_text"]


CAPS = [({"max_output_tokens": 10}, {}), ({}, {"max_output_tokens": 10}), ({}, {"max_tokens": 10})]


@pytest.mark.parametrize(("fields", "options"), CAPS, ids=["field", "max_output_tokens", "max_tokens"])
async def test_an_output_cap_is_reported_once_and_not_sent(sim, plan, in_use, caplog, fields, options):
    provider = in_use(plan)
    for _ in range(2):
        await provider.complete(hello(**fields), **options)
    assert not [name for name in bodies(sim)[-1] if name.startswith("max_")]
    assert caplog.text.count("no limit for the length of an answer") == 1


async def test_what_the_service_refuses_is_left_out_with_a_line_at_debug_level(sim, plan, in_use, caplog):
    """Every field that is documented as refused, wherever a caller can put it."""
    caplog.set_level(logging.DEBUG, logger="amplifier_module_provider_openai_chatgpt")
    refused = dict.fromkeys(_REFUSED_FIELDS, 1)
    request = hello(temperature=0.5, top_p=0.9, stop=["never"], metadata={"user": "ada"}, user="ada")
    assert (await in_use(plan).complete(request, **refused)).text
    [body] = bodies(sim)
    assert not _REFUSED_FIELDS & set(body)
    assert set(body) == {
        *("model", "instructions", "input", "store", "stream", "include", "prompt_cache_key"),
    }
    left_out = next(line for line in caplog.messages if line.startswith("Ignored keyword arguments"))
    assert all(name in left_out for name in _REFUSED_FIELDS)
    assert "Fields that are not sent, because the backend refuses them: temperature, top_p" in caplog.messages
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [text.split(";")[1] for text in warned] == [" max_output_tokens is not sent."]


async def test_requests_name_no_account_client_or_session(sim, plan, in_use):
    """Only what is documented is sent, to the list and to the answers."""
    sim.sharing.terms = PlanTerms(session_header=True)
    provider = in_use({**plan, "originator": "somebody", "models_client_version": "9.9.9"})
    await provider.list_models()
    await provider.complete(hello())
    sent = [one for one in sim.requests if one.service == "backend"]
    transport = {"host", "accept-encoding", "content-length"}
    own = {"accept", "authorization", "content-type", "user-agent"}
    assert set().union(*(set(one.headers) for one in sent)) == transport | own
    assert [one.query for one in sent] == [{}, {}]
    assert all(one.headers["user-agent"].startswith("amplifier") for one in sent)


async def test_a_hosted_search_is_sent_if_a_tool_or_the_settings_ask_for_it(sim, plan, in_use):
    search = ToolSpec(name="web_search", description="", parameters={}, type="web_search")
    provider = in_use(plan)
    answer = await provider.complete(
        hello(tools=[TOOL, search]).model_copy(
            update={"messages": [Message(role="user", content="Search the web for tea.")]}
        )
    )
    assert "searched the web" in answer.text
    await in_use({**plan, "extra_request_params": {"tools": [{"type": "web_search"}]}}).complete(
        hello(tools=[TOOL])
    )
    for body in bodies(sim):
        assert body["tools"] == [{"type": "web_search"}]
        assert [tool["name"] for tool in body["input"][0]["tools"]] == ["get_time"]


async def test_a_conversation_with_tools_thinking_and_structured_output(sim, plan, in_use):
    provider = in_use(plan)
    first = ChatRequest(messages=[Message(role="user", content="What time is it?")], tools=[TOOL])
    answer = await provider.complete(first, tool_choice="required", reasoning_effort="high")
    [call] = answer.tool_calls
    assert call.name == "get_time"
    result = Message(
        role="tool", content=[ToolResultBlock(tool_call_id=call.id, output="Noon.")], tool_call_id=call.id
    )
    told = Message(role="assistant", content=answer.content)
    assert any(isinstance(block, ToolCallBlock) for block in answer.content)
    second = ChatRequest(messages=[*first.messages, told, result], tools=[TOOL])
    assert (await provider.complete(second, reasoning_effort="high")).text
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    shaped = await provider.complete(
        hello(), response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    )
    assert isinstance(json.loads(shaped.text)["n"], int)
    sent = bodies(sim)
    assert [body["input"][0]["type"] for body in sent] == ["additional_tools", "additional_tools", "message"]
    assert all("tools" not in body and body["prompt_cache_key"] for body in sent)
    assert "reasoning" in [item["type"] for item in sent[1]["input"]]


async def test_reasoning_does_not_cross_to_the_other_service(sim, plan, in_use, tmp_path):
    answer = await in_use(plan).complete(hello(), reasoning_effort="high", model="gpt-6-sol")
    request = ChatRequest(
        messages=[
            *hello().messages,
            Message(role="assistant", content=answer.content),
            Message(role="user", content="Again."),
        ]
    )
    with Simulator() as codex:
        tokens = write_tokens(tmp_path / "codex.json", codex.sign_in())
        config = {"base_url": codex.base_url, "auth_url": codex.auth_url, "token_file_path": str(tokens)}
        assert (await in_use(config).complete(request, model="gpt-6-sol")).text
        [crossed] = bodies(codex)
    await in_use(plan).complete(request, model="gpt-6-sol")
    kinds = [[item["type"] for item in body["input"]] for body in (crossed, bodies(sim)[-1])]
    assert ["reasoning" in kind for kind in kinds] == [False, True]


async def test_a_session_in_plan_mode(plan):
    session = new_session({"module": "provider-openai-chatgpt", "config": plan})
    async with session:
        assert await session.execute("What time is it in Tokyo?")


async def test_a_file_of_the_other_mode_is_not_used(plan, sim, tmp_path):
    tokens = {"auth_mode": "oauth", "access_token": "a.b.c", "refresh_token": "r"}
    other = str(write_tokens(tmp_path / "codex.json", tokens))
    with pytest.raises(ConfigurationError, match="of another kind"):
        await ChatGPTProvider({**plan, "token_file_path": other}).complete(hello())
    assert bodies(sim) == []


async def test_no_request_is_compressed(sim, plan):
    provider = ChatGPTProvider(plan, service=CHATGPT_PLAN.at(sim.base_url, sim.auth_url))
    await provider.complete(ChatRequest(messages=[Message(role="user", content="Say hello. " * 4000)]))
    await provider.close()
    assert "content-encoding" not in sim.requests_to("/responses")[-1].headers
