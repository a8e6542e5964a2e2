"""The documented service in a real provider and session: whole conversations, and every refusal."""

import base64
import json
import threading

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    ProviderUnavailableError,
    QuotaExceededError,
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
from amplifier_module_provider_openai_chatgpt.simulator import Simulator
from tests.browser import browse
from tests.conftest import write_tokens
from tests.request.pictures import png
from tests.test_routing import ALL_ROLES, chosen

pytestmark = pytest.mark.world("plan")
TOOL = ToolSpec(name="get_time", description="The time.", parameters={"type": "object", "properties": {}})


@pytest.fixture
def plan(sim, tmp_path):
    """The provider's settings for the plan service at ``sim``."""
    return {
        "auth_mode": "chatgpt_plan",
        "base_url": sim.base_url,
        "auth_url": sim.auth_url,
        "token_file_path": str(write_tokens(tmp_path / "plan.json", sim.connect())),
        "max_retries": 0,
        "min_retry_delay": 0,
    }


def hello(**more):
    return ChatRequest(messages=[Message(role="user", content="Say hello.")], **more)


def bodies(sim):
    return [json.loads(one.body) for one in sim.requests if one.path.endswith("/responses")]


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


@pytest.mark.parametrize("details", [False, True])
async def test_every_role_finds_a_model_on_a_plans_list(sim, plan, in_use, details):
    sim.sharing.lists_details = details
    listed = [model.id for model in await in_use(plan).list_models()]
    assert {chosen(role, listed) for role in ALL_ROLES} <= set(listed)


async def test_images_are_sent_as_data_and_links_as_notes(sim, plan, in_use):
    link = ImageBlock(source={"type": "url", "url": "https://example.com/a.png"})
    data = ImageBlock(
        source={"type": "base64", "media_type": "image/png", "data": base64.b64encode(png()).decode()}
    )
    request = ChatRequest(messages=[Message(role="user", content=[data, link])])
    assert (await in_use(plan).complete(request)).text
    [item] = bodies(sim)[-1]["input"]
    assert [part["type"] for part in item["content"]] == ["input_image", "input_text"]


async def test_an_output_cap_is_reported_once_and_not_sent(sim, plan, in_use, caplog):
    provider = in_use(plan)
    for _ in range(2):
        await provider.complete(hello(max_output_tokens=10, temperature=0.5))
    assert "max_output_tokens" not in bodies(sim)[-1]
    assert caplog.text.count("no limit for the length of an answer") == 1


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


ROWS = {
    "usage_limit_exceeded": (QuotaExceededError, False, "settings/usage"),
    "usage_unavailable": (ProviderUnavailableError, True, "not available"),
    "user_unavailable": (ProviderUnavailableError, True, "not available"),
    "user_not_eligible": (AccessDeniedError, False, "Plus and Pro"),
    "unsupported_capability": (InvalidRequestError, False, "does not support text.format"),
    "route_not_supported": (InvalidRequestError, False, "base_url"),
    "invalid_user": (AuthenticationError, False, "login --plan"),
    "chatpass_v2_scope_not_authorized": (AuthenticationError, False, "--enable-plan"),
    "chatpass_v2_invalid_authorization_context": (AuthenticationError, False, "--enable-plan"),
}


@pytest.mark.parametrize("in_stream", [False, True])
@pytest.mark.parametrize("code", ROWS)
async def test_each_refusal_before_and_in_the_stream(sim, plan, in_use, code, in_stream):
    kind, retryable, words = ROWS[code]
    param = "text.format" if code == "unsupported_capability" else None
    sim.sharing.refuse(code, in_stream=in_stream, param=param)
    with pytest.raises(kind) as raised:
        await in_use(plan).complete(hello(), model="gpt-6-sol")
    if param and in_stream:
        words = "does not support"
    assert words in str(raised.value)
    assert raised.value.retryable is retryable


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (401, AuthenticationError, False),
        (403, AccessDeniedError, False),
        (503, ProviderUnavailableError, True),
    ],
)
async def test_each_refusal_at_the_admission(sim, plan, in_use, status, kind, retryable):
    sim.sharing.admission = status
    with pytest.raises(kind) as raised:
        await in_use(plan).complete(hello(), model="gpt-6-sol")
    assert raised.value.retryable is retryable


async def test_a_host_signs_in_with_lines_that_it_shows(sim, plan, in_use, tmp_path):
    new = tmp_path / "new.json"
    places = {"token_file_path": new, "host_file_path": f"{new}.host"}
    provider = in_use({**plan, **places, "app_name": "Ada's host"})
    shown: list[str] = []

    def show(line):
        shown.append(line)
        if line.startswith(sim.auth_url):
            threading.Thread(target=browse, args=(line,)).start()

    assert await provider.login(show)
    assert not [line for line in shown if "\n" in line]
    assert "This app uses your ChatGPT plan from now on." in shown[-2]
    assert provider.auth_status() == "authenticated"
    assert (await provider.complete(hello())).text
    asked = next(one for one in sim.requests if one.path.endswith("/authorize"))
    assert asked.query["agent_name_hint"] == "Ada's host"
    assert {"new.json", "new.json.host"} <= {path.name for path in tmp_path.iterdir()}
