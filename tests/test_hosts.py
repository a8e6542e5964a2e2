"""What hosts do with a provider: Amplifier's command line, its wizards, the routing hook, agents.

Each test makes the calls of one host, with a provider that is signed out, signed in or expired.
"""

import asyncio
import fnmatch
import importlib
import inspect
import json
import subprocess
import sys
from importlib.metadata import entry_points
from unittest.mock import MagicMock

import pytest
from amplifier_core.llm_errors import AuthenticationError, LLMError
from amplifier_core.message_models import ChatRequest, Message
from amplifier_core.models import ModelInfo, ProviderInfo
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider, mount
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session
from amplifier_module_provider_openai_chatgpt.services import SERVICES
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from tests.conftest import MODEL, write_tokens
from tests.test_routing import MATRIX, version_key

MODULE = "provider-openai-chatgpt"
# Used instead of the default model gpt-5.5 while there is no list.
CURRENT_DEFAULT = "gpt-6-sol"
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
STATES = {"signed out": "unauthenticated", "signed in": "authenticated", "ended": "expired"}

# The arguments with which the command line tries to build a class, in order; a TypeError, ValueError or
# RuntimeError means "try the next".
ATTEMPTS: tuple[dict, ...] = (
    {"api_key": "x", "config": {}},
    {"base_url": "x", "api_key": "x", "config": {}},
    {"base_url": "x", "config": {}},
    {"host": "x", "config": {}},
    {"config": {}},
    {},
)


@pytest.fixture(params=STATES)
def state(request, sim, token_file, monkeypatch):
    """Set the sign-in state by the environment, because hosts inspect providers without configuration."""
    if request.param == "signed out":
        token_file.unlink()
    elif request.param == "ended":
        token_file.write_text(json.dumps({**sim.sign_in(expires_in=-60), "refresh_token": ""}))
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    return request.param


def find_class():
    """Find the class like the command line: entry point, its package, the first matching name in __all__."""
    (point,) = (one for one in entry_points(group="amplifier.modules") if one.name == MODULE)
    package = importlib.import_module(point.load().__module__.rpartition(".")[0] or point.value.split(":")[0])
    assert not hasattr(package, "OpenaiChatgptProvider")
    return getattr(package, next(name for name in package.__all__ if name.endswith("Provider")))


def build():
    for attempt in ATTEMPTS:
        try:
            return find_class()(**attempt), attempt
        except (TypeError, ValueError, RuntimeError):
            continue
    raise AssertionError("the constructor accepts none of the arguments")


async def ask_and_close(provider):
    """One command of a command line, in its own event loop."""
    try:
        return await provider.list_models()
    finally:
        await provider.close()


# Inspecting the class


def test_the_class_is_found_by_entry_point_and_by_import():
    assert find_class() is ChatGPTProvider
    package = importlib.import_module("amplifier_module_" + MODULE.replace("-", "_"))
    assert [name for name in package.__all__ if name.endswith("Provider")] == ["ChatGPTProvider"]
    assert package.__amplifier_module_type__ == "provider"
    assert not any(name.endswith("Provider") for name in dir(package) if name != "ChatGPTProvider")


def test_it_is_built_with_a_config_and_inspected_without_loop_or_coordinator(state):
    provider, attempt = build()
    assert attempt == {"config": {}}
    assert provider.coordinator is None
    assert isinstance(provider.get_info(), ProviderInfo)
    assert isinstance(provider.get_model_info(), ModelInfo)
    assert provider.auth_status() == STATES[state]
    assert (provider.name, provider.priority, provider.config) == ("openai-chatgpt", 100, {})
    assert ChatGPTProvider().get_info() == ChatGPTProvider({"filtered": False}).get_info()


def test_a_host_can_inspect_a_provider_with_a_bad_environment_variable(monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", "http://example.com")
    provider, _ = build()
    assert provider.get_info().id == "openai-chatgpt"
    with pytest.raises(LLMError, match="OPENAI_CHATGPT_BASE_URL"):
        asyncio.run(provider.list_models())


def test_get_info_has_what_hosts_read_and_may_be_changed_by_them(state):
    provider, _ = build()
    info = provider.get_info()
    assert (info.id, info.display_name, info.credential_env_vars) == ("openai-chatgpt", "OpenAI ChatGPT", [])
    assert {"streaming", "tools", "thinking", "vision"} <= set(info.capabilities)
    assert any(word.startswith("auth:") for word in info.capabilities)
    assert info.defaults["model"] == CURRENT_DEFAULT
    assert info.defaults["context_window"] == 272_000
    assert info.defaults["max_output_tokens"] == 128_000
    info.defaults["model"] = "changed"
    info.capabilities.clear()
    info.config_fields.clear()
    assert provider.get_info().defaults["model"] == CURRENT_DEFAULT
    assert provider.get_info().capabilities
    assert provider.get_info().config_fields


def test_the_wizard_asks_for_sign_in_and_effort_and_every_choice_is_accepted():
    questions = ChatGPTProvider().get_info().config_fields
    asked = [(question.id, question.field_type, question.requires_model) for question in questions]
    assert asked == [("auth_mode", "choice", False), ("reasoning_effort", "choice", True)]
    for question in questions:
        assert question.default in question.choices
        for choice in question.choices:
            assert isinstance(choice, str)
            assert getattr(ChatGPTProvider({question.id: choice}).settings, question.id) == choice


def test_a_device_code_is_offered_only_where_it_signs_in():
    modes = {mode: ChatGPTProvider({"auth_mode": mode}).get_info().capabilities for mode in SERVICES}
    assert {mode: "auth:oauth-device-code" in found for mode, found in modes.items()} == {
        "chatgpt_codex": True,
        "chatgpt_plan": False,
    }


def test_methods_are_coroutine_functions_or_not_as_hosts_expect():
    coroutines = {"list_models", "complete", "login", "close"}
    plain = {"get_info", "get_model_info", "parse_tool_calls", "auth_status"}
    assert all(inspect.iscoroutinefunction(getattr(ChatGPTProvider, name)) for name in coroutines)
    assert not any(inspect.iscoroutinefunction(getattr(ChatGPTProvider, name)) for name in plain)
    assert inspect.iscoroutinefunction(mount)
    for absent in ("stream", "model"):
        assert not hasattr(ChatGPTProvider(), absent)


# Listing models


def test_the_list_is_fetched_in_several_event_loops_in_turn(state):
    provider, _ = build()
    for _ in range(2):
        if state == "signed in":
            infos = asyncio.run(ask_and_close(provider))
            assert {CURRENT_DEFAULT, CURRENT_DEFAULT + "-fast"} <= {info.id for info in infos}
        else:
            with pytest.raises(AuthenticationError) as caught:
                asyncio.run(ask_and_close(provider))
            assert "amplifier-openai-chatgpt login" in f"AuthenticationError: {caught.value}"[:57]


class Display:
    """The display system of a host."""

    def __init__(self):
        self.shown = []

    def show_message(self, message, level, source="hook"):
        self.shown.append(message)


async def connectivity(provider):
    """Return a row of the command line's table: a mark, and a text that is cut off."""
    try:
        models = await provider.list_models()
    except Exception as error:  # noqa: BLE001 - as the host does
        text = f"{type(error).__name__}: {error}"
        return "✗", text if len(text) <= 60 else text[:57] + "..."
    return "✓", f"{len(models)} model(s) available"


KNOWN = "The models listed are those last known. "
SIGN_IN = "Run amplifier-openai-chatgpt login"
LIMIT = {"error": {"type": "usage_limit_reached", "message": "Limit.", "plan_type": "plus"}}
REFUSED_CONNECTION = "The server refuses connections: check base_url and any proxy."
# What happened, the row of a program that only tests the provider, and the notice in a session.
TESTS = {
    "signed in": ("✓", "18 model(s) available", None),
    "signed out": ("✗", f"AuthenticationError: {SIGN_IN}: ...", f"{KNOWN}{SIGN_IN}: you are not signed in."),
    "ended": ("✗", f"AuthenticationError: {SIGN_IN}: ...", f"{KNOWN}{SIGN_IN}: you are not signed in."),
    "offline": ("✗", f"NetworkError: {REFUSED_CONNECTION[:43]}...", KNOWN + REFUSED_CONNECTION),
    "limited": ("✗", "QuotaExceededError: ChatGPT usage limit reached on the Pl...", f"{KNOWN}ChatGPT usage"),
}


@pytest.fixture(params=TESTS)
def condition(request, sim, config, token_file):
    """The settings of a provider in one of five states."""
    match request.param:
        case "signed out":
            token_file.unlink()
        case "ended":
            token_file.write_text(json.dumps({**sim.sign_in(expires_in=-60), "refresh_token": ""}))
        case "offline":
            sim.close()
        case "limited":
            sim.misbehave("/codex/models", Fault(status=429, body=LIMIT), times=None)
    return request.param, config


async def test_a_provider_test_without_a_session_shows_what_is_wrong(condition):
    state, config = condition
    provider = ChatGPTProvider(config)
    assert await connectivity(provider) == TESTS[state][:2]
    await provider.close()


async def test_a_provider_test_in_a_session_lists_models_and_a_notice_says_what_is_wrong(condition):
    """The list must not fail there, because roles could not be resolved; so a notice says what is wrong."""
    state, config = condition
    session, display = new_session({"module": MODULE, "config": config}), Display()
    session.coordinator.display_system = display
    async with session:
        (provider,) = session.coordinator.get("providers").values()
        mark, text = await asyncio.wait_for(connectivity(provider), 15)
        assert (mark, text.partition(" ")[2]) == ("✓", "model(s) available")
        await connectivity(provider)
    expected = TESTS[state][2]
    assert len(display.shown) == (0 if expected is None else 1)
    assert expected is None or display.shown[0].startswith(expected)


# Roles


async def resolve_roles(coordinator):
    """Resolve every role as the routing hook does: it asks for the list again until it has one."""
    providers = coordinator.get("providers")
    lists: dict[str, list[str]] = {}
    roles = {}
    for role, entry in MATRIX["roles"].items():
        for candidate in entry["candidates"]:
            provider = providers[candidate["provider"]]
            if not lists.get(candidate["provider"]):
                found = await provider.list_models()
                lists[candidate["provider"]] = [info.id for info in found]
            matches = fnmatch.filter(lists[candidate["provider"]], candidate["model"])
            if matches:
                roles[role] = (max(matches, key=version_key), candidate.get("config", {}))
                break
    return roles


async def test_all_roles_resolve_before_the_user_signs_in_and_work_afterwards(
    sim, config, token_file, caplog
):
    """No traceback, and the same session goes on after a sign-in in another terminal."""
    tokens = token_file.read_text()
    token_file.unlink()
    session = new_session({"module": MODULE, "config": config})
    async with session:
        roles = await resolve_roles(session.coordinator)
        assert set(roles) == set(MATRIX["roles"])
        assert len(roles) == 13
        assert [record.exc_info for record in caplog.records] == [None]
        (provider,) = session.coordinator.get("providers").values()
        with pytest.raises(AuthenticationError, match=SIGN_IN):
            await provider.complete(HELLO)

        write_tokens(token_file, json.loads(tokens))
        assert (await provider.complete(HELLO)).text
        for model, settings in roles.values():
            # The session of an agent with this role.
            agent = new_session({"module": MODULE, "config": {**config, "default_model": model, **settings}})
            async with agent:
                assert await agent.execute("Say hello.")
        assert {info.id for info in await provider.list_models()} >= {slug["slug"] for slug in listed(sim)}


def listed(sim):
    return [model for model in sim.models if model.get("visibility") == "list"]


# Signing in


def test_a_host_signs_in_and_lists_models_with_the_same_instance(state, sim, token_file):
    sim.device.pending = 0
    provider, _ = build()
    lines = []

    def print_fn(line):
        lines.append(line)

    assert asyncio.run(provider.login(print_fn=print_fn)) is True
    assert provider.auth_status() == "authenticated"
    assert json.loads(token_file.read_text())["access_token"]
    assert not any(bracket in line for line in lines for bracket in "[]"), "rich would treat it as markup"
    assert all(line.isprintable() for line in lines), "no codes for colours or the cursor"
    assert any(code in line for line in lines for code in sim.user_codes)
    assert asyncio.run(ask_and_close(provider))


def test_without_a_print_fn_the_code_goes_to_stderr_and_nothing_to_stdout(config, capsys, sim):
    sim.device.pending = 0
    asyncio.run(ChatGPTProvider(config).login())
    out, err = capsys.readouterr()
    assert out == ""
    assert any(code in err for code in sim.user_codes)


async def test_a_sign_in_can_be_cancelled_and_leaves_the_state_unchanged(state, sim):
    sim.device.approve_manually = True
    provider, _ = build()
    shown = asyncio.Event()
    task = asyncio.create_task(provider.login(lambda _: shown.set()))
    await asyncio.wait_for(shown.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.auth_status() == STATES[state]


# Mounting and configuring


async def test_it_is_mounted_twice_per_session_and_cleaned_up_repeatedly(state):
    """First by a validator, then by the session; without network, signed in or not."""
    for _ in range(2):
        coordinator = MockCoordinator()
        cleanup = await mount(coordinator, {})
        (provider,) = coordinator.get("providers").values()
        assert provider.coordinator is coordinator
        assert inspect.iscoroutinefunction(cleanup)
        await cleanup()
        await cleanup()
        assert provider.auth_status() == STATES[state]


async def test_mounting_sends_no_request(state, sim):
    await (await mount(MockCoordinator(), None))()
    assert sim.requests == []


async def test_settings_written_as_text_or_added_by_hosts_are_accepted_without_a_warning(config, caplog):
    """Wizards write text; hosts add `raw: true`, `max_tokens` and `filtered`."""
    written = {
        "default_model": "gpt-6-luna",
        "priority": "0",
        "timeout": "30",
        "use_streaming": "true",
        "login_on_mount": "false",
        "max_retries": "1",
        "effort": "high",
        "raw": True,
        "max_tokens": 4096,
        "filtered": False,
    }
    provider = ChatGPTProvider({**config, **written})
    assert provider.priority == 0
    assert provider.config["default_model"] == "gpt-6-luna"
    assert provider.settings.reasoning_effort == "high"
    assert (provider.raw, provider.timeout) == (True, 30.0)
    assert caplog.records == []


async def test_two_instances_of_the_module_are_mounted_under_their_own_names(sim, config):
    entry = {"module": MODULE, "config": config}
    session = new_session(entry)
    second = {**entry, "instance_id": "openai-chatgpt-2", "config": {**config, "default_model": "gpt-6-luna"}}
    session.config["providers"].append(second)
    await session.initialize()
    providers = session.coordinator.get("providers")
    assert set(providers) == {"openai-chatgpt", "openai-chatgpt-2"}
    assert {name: one.default_model for name, one in providers.items()} == {
        "openai-chatgpt": MODEL,
        "openai-chatgpt-2": "gpt-6-luna",
    }
    assert {one.name for one in providers.values()} == {"openai-chatgpt"}
    await providers["openai-chatgpt-2"].complete(HELLO)
    assert sim.requests_to("/codex/responses")[0].json["model"] == "gpt-6-luna"
    await session.cleanup()


# Calling


async def test_a_default_model_assigned_by_a_ui_takes_effect_immediately(sim, config):
    provider = ChatGPTProvider(config)
    sim.models[-2] |= {"slug": "gpt-small", "visibility": "list", "context_window": 64_000}
    await provider.list_models()
    provider.default_model = "gpt-small-fast"
    assert (provider.get_model_info().id, provider.get_model_info().context_window) == ("gpt-small", 64_000)
    assert provider.get_info().defaults["context_window"] == 64_000
    provider.default_model = "gpt-6-luna"
    await provider.complete(HELLO)
    assert sim.requests_to("/codex/responses")[-1].json["model"] == "gpt-6-luna"
    await provider.close()


async def test_unknown_arguments_are_ignored_and_known_ones_take_precedence_over_the_request(sim, config):
    provider = ChatGPTProvider(config)
    request = HELLO.model_copy(update={"model": MODEL, "reasoning_effort": "low"})
    await provider.complete(
        request, model="gpt-6-luna", reasoning_effort="high", iteration=3, temperature=1, anything=object()
    )
    body = sim.requests_to("/codex/responses")[0].json
    assert (body["model"], body["reasoning"]["effort"]) == ("gpt-6-luna", "high")
    await provider.close()


async def test_a_utility_call_does_not_reason_and_does_not_stream(sim, config):
    """Hosts name sessions and evaluate goals like this."""
    coordinator = MockCoordinator()
    emitted = []

    async def record(event, data):
        emitted.append(event)

    for event in ("llm:request", "llm:response", "llm:stream_block_start", "llm:stream_block_delta"):
        coordinator.hooks.register(event, record, name=event)
    provider = ChatGPTProvider({**config, "reasoning_effort": "high"}, coordinator)
    request = HELLO.model_copy(update={"metadata": {"stream": False}, "max_output_tokens": 16})
    await provider.complete(request, model="gpt-6-luna", extended_thinking=False)
    assert emitted == ["llm:request", "llm:response"]
    assert "effort" not in sim.requests_to("/codex/responses")[0].json.get("reasoning", {})
    await provider.close()


@pytest.mark.parametrize("coordinator", [None, MagicMock(), object()], ids=["none", "magic", "bare"])
async def test_any_coordinator_is_accepted(sim, config, coordinator):
    """All attributes of a MagicMock are true and not awaitable."""
    provider = ChatGPTProvider({**config, "raw": True}, coordinator)
    response = await provider.complete(HELLO)
    assert response.text
    assert provider.parse_tool_calls(response) == []
    await provider.close()


async def test_mounting_with_a_mock_coordinator_does_not_sign_in(sim, config, monkeypatch):
    coordinator = MagicMock()
    mounted = []

    async def mount_into(*arguments, **named):
        mounted.append((arguments, named))

    coordinator.mount = mount_into
    await (await mount(coordinator, config))()
    ((arguments, named),) = mounted
    assert (arguments[0], named) == ("providers", {"name": "openai-chatgpt"})


async def test_a_tool_call_is_in_all_three_places_with_the_same_id(sim, config):
    """Each loop reads one of them; one reads a call with `.get`, like a dictionary."""
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "now", "arguments": "{}"}
    sim.reply_with(Reply(items=[{**call, "status": "completed"}]))
    provider = ChatGPTProvider(config)
    response = await provider.complete(HELLO)
    (block,), (parsed,), (listed,) = (
        response.content,
        provider.parse_tool_calls(response),
        response.tool_calls,
    )
    assert block.id == parsed.id == listed.id == "call_1"
    assert listed.get("name") == "now"
    assert [one.type.value for one in response.content_blocks] == ["tool_call"]
    provider.parse_tool_calls(response).clear()
    assert provider.parse_tool_calls(response)
    await provider.close()


def test_a_closed_provider_can_be_used_again(sim, config):
    provider = ChatGPTProvider(config)

    async def ask():
        response = await provider.complete(HELLO)
        await provider.close()
        await provider.close()
        return response.text

    assert asyncio.run(ask())
    assert asyncio.run(ask())


def test_importing_the_package_imports_neither_network_nor_command_line():
    code = (
        "import sys, amplifier_module_provider_openai_chatgpt as p;"
        "print(sorted({'httpx', 'click', 'rich', 'filelock', 'uvicorn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
