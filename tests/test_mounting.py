"""Mounting: signed in or not, at a terminal or not, once, twice, under a name; and the cleanup."""

import asyncio
import contextlib
import io
import json
import os
import pty
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from amplifier_core.events import ALL_EVENTS
from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, LLMError
from amplifier_core.message_models import ChatRequest, Message
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider, mount
from amplifier_module_provider_openai_chatgpt.call.events import EVENTS
from amplifier_module_provider_openai_chatgpt.cli.demo import new_session
from tests.conftest import recorded, write_tokens
from tests.pty_terminal import Terminal

NAME = "openai-chatgpt"
MODULE = "provider-openai-chatgpt"
USER_CODES = "/deviceauth/usercode"
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
CHILD = Path(__file__).with_name("mount_child.py")


@pytest.fixture
def signed_out(config, tmp_path):
    """Settings without a sign-in."""
    settings = {**config, "token_file_path": str(tmp_path / "none.json")}
    del settings["login_on_mount"]
    return settings


def coordinator():
    """Return the coordinator of a real session."""
    return new_session({"module": MODULE}).coordinator


@pytest.fixture
async def mounted():
    """Mount the provider; return it with its cleanup, which is also called at the end of the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def mounted(config, where=None):
            where = where or coordinator()
            cleanup = await mount(where, config)
            stack.push_async_callback(cleanup)
            return where.get("providers")[NAME], cleanup

        yield mounted


class StderrTerminal:
    """A terminal: as a context manager it replaces stderr; ``shown`` is what was written since last time."""

    def __init__(self):
        self._reader, writer = pty.openpty()
        self._stderr = os.fdopen(writer, "w")
        self._redirection = contextlib.redirect_stderr(self._stderr)

    def __enter__(self):
        self._redirection.__enter__()

    def __exit__(self, *_):
        self._redirection.__exit__(None, None, None)

    @property
    def shown(self):
        self._stderr.write("THE END\n")
        self._stderr.flush()
        found = b""
        while not found.endswith(b"THE END\r\n"):
            found += os.read(self._reader, 65536)
        return found.decode().removesuffix("THE END\r\n")

    def close(self):
        self._stderr.close()
        os.close(self._reader)


@pytest.fixture
def stderr_terminal():
    with contextlib.closing(StderrTerminal()) as stderr_terminal:
        yield stderr_terminal


async def test_when_signed_out_it_mounts_without_network_and_output(mounted, sim, signed_out, capfd, caplog):
    provider, _ = await mounted(signed_out)
    assert provider.auth_status() == "unauthenticated"
    assert not sim.requests
    assert tuple(capfd.readouterr()) == ("", "")
    assert not caplog.records
    with pytest.raises(AuthenticationError, match="Run amplifier-openai-chatgpt login"):
        await provider.complete(HELLO)
    assert await provider.list_models()
    assert not sim.requests


async def test_at_a_terminal_a_signed_out_user_is_prompted_and_signed_in(
    mounted, sim, signed_out, stderr_terminal
):
    sim.device.pending = 0
    with stderr_terminal:
        provider, _ = await mounted(signed_out)
    (code,) = sim.user_codes
    shown = stderr_terminal.shown
    assert shown.count(code) == 1
    assert shown.endswith("Signed in.\r\n")
    assert provider.auth_status() == "authenticated"
    assert (await provider.complete(HELLO)).text
    with stderr_terminal:
        await mounted(signed_out)
        assert stderr_terminal.shown == ""
        await provider.credentials.sign_out()
        await mounted(signed_out)
    assert stderr_terminal.shown.startswith("This is not ChatGPT")


def write_expired(sim, path, **changed):
    tokens = {**sim.sign_in(expires_in=-60), **changed}
    write_tokens(path, tokens)
    return tokens


@pytest.mark.world("plan")
async def test_in_the_plan_mode_a_signed_out_user_is_never_prompted(
    mounted, sim, signed_out, stderr_terminal, monkeypatch
):
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_MODE", "chatgpt_plan")
    with stderr_terminal:
        provider, _ = await mounted(signed_out)
        assert stderr_terminal.shown == ""
    with pytest.raises(AuthenticationError, match="Run amplifier-openai-chatgpt login --plan: you are not"):
        await provider.complete(HELLO)
    assert await provider.list_models() == []
    assert sim.requests == []


@pytest.mark.parametrize(
    "why", ["login_on_mount is off", "a refresh is enough", "a token is valid", "validator"]
)
async def test_at_a_terminal_there_is_no_prompt_if(mounted, sim, signed_out, stderr_terminal, why):
    path = Path(signed_out["token_file_path"])
    if why == "login_on_mount is off":
        signed_out["login_on_mount"] = "false"
    elif why == "a refresh is enough":
        write_expired(sim, path)
    elif why == "a token is valid":
        write_tokens(path, {**sim.sign_in(), "refresh_token": ""})
    where = MockCoordinator() if why == "validator" else coordinator()
    with stderr_terminal:
        assert await mounted(signed_out, where)
    assert stderr_terminal.shown == ""
    assert not sim.requests


@pytest.mark.parametrize("stderr", [None, object(), io.StringIO()], ids=["none", "odd", "closed"])
async def test_it_mounts_if_stderr_is_not_a_terminal(mounted, sim, signed_out, stderr):
    if isinstance(stderr, io.StringIO):
        stderr.close()
    with contextlib.redirect_stderr(stderr):
        assert await mounted(signed_out)
    assert not sim.requests


async def test_with_an_expired_token_the_user_is_prompted(mounted, sim, signed_out, stderr_terminal):
    sim.device.pending = 0
    write_expired(sim, Path(signed_out["token_file_path"]), refresh_token="")
    with stderr_terminal:
        provider, _ = await mounted(signed_out)
    assert "Signed in." in stderr_terminal.shown
    assert provider.auth_status() == "authenticated"


@pytest.mark.long
async def test_after_a_failed_sign_in_it_is_mounted_and_the_user_is_not_prompted_again(
    mounted, sim, signed_out, stderr_terminal, caplog, tmp_path
):
    sim.device.refuse()
    with stderr_terminal:
        provider, _ = await mounted(signed_out)
    assert provider.auth_status() == "unauthenticated"
    assert "refused in the browser. To try again, run: amplifier-openai-chatgpt login" in caplog.text
    assert "To sign in" in stderr_terminal.shown
    with stderr_terminal:
        await mounted(signed_out)
    assert stderr_terminal.shown == ""
    assert len(sim.requests_to(USER_CODES)) == 1
    sim.device.refuse()
    with stderr_terminal:
        await mounted({**signed_out, "token_file_path": str(tmp_path / "other.json")})
    assert len(sim.requests_to(USER_CODES)) == 2


async def test_two_sessions_that_mount_in_parallel_prompt_once(mounted, sim, signed_out, stderr_terminal):
    sim.device.pending = 0
    with stderr_terminal:
        await asyncio.gather(*(mounted(signed_out) for _ in range(2)))
    assert len(sim.requests_to(USER_CODES)) == 1
    assert stderr_terminal.shown.count("To sign in") == 1


async def test_cancelling_ends_a_mount_that_waits_for_the_user(mounted, sim, signed_out, stderr_terminal):
    sim.device.approve_manually = True
    with stderr_terminal:
        task = asyncio.create_task(mounted(signed_out))
        await asyncio.to_thread(sim.wait_until, lambda: sim.user_codes)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_session_in_a_real_terminal_signs_in_and_works(sim, signed_out):
    sim.device.approve_manually = True
    with Terminal([sys.executable, str(CHILD), json.dumps(signed_out)]) as terminal:
        terminal.show("is after your account.")
        (code,) = sim.user_codes
        assert f"\n    {code}\n" in terminal.screen.text
        sim.device.approve()
        terminal.show("Signed in.")
        terminal.show("The answer: ")
        assert terminal.end() == 0
    assert "hello" in terminal.screen.text.split("The answer: ")[1].lower()
    assert terminal.raw.count(code) == 1


async def test_a_cleanup_may_be_called_repeatedly_and_the_provider_still_works(mounted, config):
    provider, cleanup = await mounted(config)
    assert (await provider.complete(HELLO)).text
    for _ in range(3):
        assert await cleanup() is None
        assert (await provider.complete(HELLO)).text
        assert await provider.list_models()


async def test_after_a_cleanup_a_signed_out_provider_raises_a_kernel_error(mounted, signed_out):
    provider, cleanup = await mounted(signed_out)
    await cleanup()
    with pytest.raises(LLMError):
        await provider.complete(HELLO)


async def test_it_mounts_twice_in_one_process_and_on_one_coordinator(mounted, config):
    where = coordinator()
    first, one = await mounted(config, where)
    again, two = await mounted(config, where)
    other, _ = await mounted(config)
    await one()
    for provider in (first, again, other):
        assert (await provider.complete(HELLO)).text
    await two()


async def test_several_named_instances_work_in_one_session(sim, config):
    session = new_session({"module": MODULE, "config": config})
    plan = dict(session.config)
    named = {"module": MODULE, "instance_id": "second", "config": {**config, "default_model": "gpt-5.6-luna"}}
    plan["providers"] = [*plan["providers"], named]
    session = type(session)(plan)
    await session.initialize()
    providers = session.coordinator.get("providers")
    assert set(providers) == {NAME, "second"}
    for provider in providers.values():
        assert (await provider.complete(HELLO)).text
    assert [request.json["model"] for request in sim.requests_to("/codex/responses")] == [
        providers[NAME].default_model,
        "gpt-5.6-luna",
    ]
    await session.cleanup()


async def test_only_events_that_the_kernel_does_not_know_are_announced(mounted, config):
    where = coordinator()
    await mounted(config, where)
    [announced] = await where.collect_contributions("observability.events")
    assert announced == [
        *("llm:stream_block_start", "llm:stream_block_delta", "llm:stream_block_end", "llm:stream_aborted"),
        "provider:incomplete_continuation",
    ]
    assert set(announced) == set(EVENTS) - set(ALL_EVENTS)


async def test_a_session_costs_nothing_instead_of_an_unknown_amount(mounted, config):
    where = coordinator()
    await mounted(config, where)
    assert await where.collect_contributions("session.cost") == [{"cost_usd": "0"}]


async def test_a_bad_setting_is_refused_with_key_value_and_what_is_allowed(config):
    where = coordinator()
    with pytest.raises(ConfigurationError) as raised:
        await mount(where, {**config, "timeout": "soon"})
    assert str(raised.value) == (
        "Bad value 'soon' for setting 'timeout': it must be a number of seconds above 0."
    )
    assert not where.get("providers")


async def test_a_bad_environment_variable_is_refused_at_mount_but_not_by_the_constructor(monkeypatch):
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", "http://example.com")
    provider = ChatGPTProvider({})
    where = coordinator()
    for attempt in (mount(where, {}), provider.complete(HELLO), provider.list_models(), provider.login()):
        with pytest.raises(ConfigurationError, match="OPENAI_CHATGPT_BASE_URL: it must be an https"):
            await attempt
    assert not where.get("providers")


async def test_settings_may_be_text(mounted, config):
    words = {"raw": "false", "timeout": "30", "priority": "7", "use_streaming": "no", "max_retries": "0"}
    provider, _ = await mounted({**config, **words})
    assert (provider.raw, provider.timeout, provider.priority) == (False, 30.0, 7)
    assert not provider.settings.use_streaming


async def test_it_mounts_without_a_config_and_on_other_coordinators(sim):
    assert callable(await mount(coordinator(), None))
    foreign = MagicMock()

    async def accept(*_, **__):
        return None

    foreign.mount = accept
    assert callable(await mount(foreign, {}))


async def test_a_token_file_of_the_original_plugin_works_unchanged(mounted, sim, config, tmp_path):
    tokens = sim.sign_in()
    original = {
        "auth_mode": "oauth",
        "access_token": tokens["access_token"],
        "refresh_token": tokens["refresh_token"],
        "id_token": tokens["id_token"],
        "account_id": "user-simulated",
        "plan_type": "",
        "expires_at": tokens["expires_at"],
    }
    path = write_tokens(tmp_path / "original.json", original)
    provider, _ = await mounted({**config, "token_file_path": str(path)})
    assert provider.auth_status() == "authenticated"
    assert (await provider.complete(HELLO)).text
    assert json.loads(path.read_text()) == original
    sent = sim.requests_to("/codex/responses")[0].headers
    assert sent["chatgpt-account-id"] == tokens["account_id"]


STATES = {
    "no file": (None, "unauthenticated"),
    "garbage": (b'\x00\xff{"access_token"', "unauthenticated"),
    "empty": (b"", "unauthenticated"),
    "a list": (b'["access_token"]', "unauthenticated"),
    "nulls": (b'{"access_token": null, "refresh_token": null}', "unauthenticated"),
    "a valid token": ({}, "authenticated"),
    "a valid token that cannot be renewed": ({"refresh_token": ""}, "authenticated"),
    "an expired token": ({"access_token": "old", "expires_at": "2020-01-01T00:00:00+00:00"}, "authenticated"),
    "a lone refresh token": ({"access_token": "", "expires_at": None}, "authenticated"),
    "an expired token that cannot be renewed": (
        {"access_token": "old", "refresh_token": "", "expires_at": "2020-01-01T00:00:00+00:00"},
        "expired",
    ),
    "a token of unknown age that cannot be renewed": (
        {"access_token": "old", "refresh_token": "", "expires_at": "soon"},
        "expired",
    ),
}


@pytest.mark.parametrize("state", STATES)
async def test_the_status_is_known_offline_and_correct(mounted, sim, signed_out, state):
    content, status = STATES[state]
    path = Path(signed_out["token_file_path"])
    if isinstance(content, bytes):
        (await asyncio.to_thread(write_tokens, path, {})).write_bytes(content)
    elif content is not None:
        write_tokens(path, recorded(sim, {**sim.sign_in(), "id_token": "", **content}))
    provider, _ = await mounted(signed_out)
    assert provider.auth_status() == status
    assert not sim.requests
    if status == "authenticated":
        assert (await provider.complete(HELLO)).text
    else:
        with pytest.raises(AuthenticationError, match="Run amplifier-openai-chatgpt login"):
            await provider.complete(HELLO)
    assert provider.auth_status() == status


async def test_with_a_refused_refresh_token_the_status_is_expired(mounted, sim, signed_out):
    path = Path(signed_out["token_file_path"])
    sim.accounts.revoke(write_expired(sim, path)["refresh_token"])
    provider, _ = await mounted(signed_out)
    with pytest.raises(AuthenticationError, match=r"Run amplifier-openai-chatgpt login: .*revoked"):
        await provider.complete(HELLO)
    assert provider.auth_status() == "expired"
