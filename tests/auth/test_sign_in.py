"""Signing in through the provider, as hosts do it: line by line, on any loop, stopped at any time."""

import asyncio
import inspect
import json
import re

import pytest
from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, LLMError, NetworkError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.auth.jwt import jwt
from tests.conftest import write_tokens

HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "none.json"


@pytest.fixture
def provider(sim, config, path):
    """A provider that is signed out; a simulated person approves at the first poll."""
    sim.device.pending = 0
    return ChatGPTProvider({**config, "token_file_path": str(path)})


async def answer(provider):
    try:
        return await provider.complete(HELLO)
    finally:
        await provider.close()


def test_a_host_signs_in_lists_models_and_closes_each_on_its_own_event_loop(sim, config, provider, path):
    other = ChatGPTProvider({**config, "token_file_path": str(path)})
    for signed_out in (provider, other):
        assert signed_out.auth_status() == "unauthenticated"
        with pytest.raises(AuthenticationError):
            asyncio.run(signed_out.list_models())
    assert inspect.iscoroutinefunction(provider.login)
    assert asyncio.run(provider.login(lambda line: None)) is True
    assert provider.auth_status() == "authenticated"
    assert asyncio.run(provider.list_models())
    asyncio.run(provider.close())
    assert asyncio.run(provider.list_models())
    for _ in range(2):
        assert asyncio.run(answer(provider)).text
        asyncio.run(provider.close())
    assert other.auth_status() == "authenticated"
    assert asyncio.run(other.list_models())
    assert len(sim.requests_to("/deviceauth/usercode")) == 1


async def test_the_print_function_gets_one_plain_line_at_a_time(sim, provider):
    heard = []

    def print_line(*given, **options):
        heard.append((given, options))

    await provider.login(print_line)
    assert all(len(given) == 1 and not options for given, options in heard)
    lines = [given[0] for given, _ in heard]
    assert all(type(line) is str and not re.search(r"[\[\]\n\r\x1b]", line) for line in lines)
    assert max(map(len, lines)) < 80
    (code,) = sim.user_codes
    assert [line.strip() for line in lines].count(code) == 1
    assert f"{sim.auth_url}/codex/device" in [line.strip() for line in lines]
    assert lines[-1] == "Signed in."


@pytest.mark.parametrize("moment", ["/deviceauth/usercode", "/deviceauth/token"])
async def test_it_can_be_cancelled_at_any_moment(sim, provider, moment):
    sim.misbehave(moment, Fault(stall_before_headers=True))
    task = asyncio.create_task(provider.login(lambda line: None))
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.auth_status() == "unauthenticated"


def test_a_keyboard_interrupt_passes_through(provider):
    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(provider.login(interrupt))
    assert provider.auth_status() == "unauthenticated"


async def test_a_failure_is_a_sentence(sim, provider):
    sim.device.refuse()
    with pytest.raises(LLMError) as raised:
        await provider.login(lambda line: None)
    assert str(raised.value) == "The sign-in was refused in the browser."
    assert provider.auth_status() == "unauthenticated"


async def test_a_sign_in_that_could_not_be_stored_does_not_start(sim, provider, path):
    path.with_name("real.json").touch()
    path.symlink_to(path.with_name("real.json"))
    with pytest.raises(ConfigurationError, match="symbolic link"):
        await provider.login(lambda line: None)
    assert not sim.requests


@pytest.mark.long
async def test_a_new_sign_in_replaces_the_old_one(sim, config, in_use, token_file):
    sim.device.pending = 0
    provider = in_use(config)
    old = json.loads(token_file.read_text())
    assert (await provider.complete(HELLO)).text
    await provider.login(lambda line: None)
    new = json.loads(token_file.read_text())
    assert (await provider.complete(HELLO)).text
    sent = [request.headers["authorization"] for request in sim.requests_to("/codex/responses")]
    assert sent == [f"Bearer {tokens['access_token']}" for tokens in (old, new)]
    assert old != new


async def test_a_connection_lost_during_the_exchange_does_not_lose_the_approval(sim, provider):
    sim.misbehave("/oauth/token", Fault(drop_connection=True))
    assert await provider.login(lambda line: None)
    assert len(sim.requests_to("/deviceauth/usercode")) == 1
    assert len(sim.requests_to("/oauth/token")) == 2


async def test_an_exchange_that_never_succeeds_ends_with_what_went_wrong(sim, provider):
    sim.misbehave("/oauth/token", Fault(drop_connection=True), times=None)
    with pytest.raises(NetworkError):
        await provider.login(lambda line: None)
    assert len(sim.requests_to("/oauth/token")) == 3


async def test_without_stderr_a_host_is_asked_for_a_print_function_before_anything_is_sent(
    sim, provider, monkeypatch
):
    monkeypatch.setattr("sys.stderr", None)
    with pytest.raises(ConfigurationError, match="print_fn"):
        await provider.login()
    assert not sim.requests


def test_without_a_home_directory_only_the_first_use_fails(monkeypatch, tmp_path):
    def unknown(_):
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("OPENAI_CHATGPT_TOKEN_FILE")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.chdir(tmp_path)
    provider = ChatGPTProvider({"login_on_mount": False})
    assert provider.auth_status() == "unauthenticated"
    for use in (answer, ChatGPTProvider.login):
        with pytest.raises(
            LLMError, match=r"no home directory.*token_file_path or OPENAI_CHATGPT_TOKEN_FILE"
        ):
            asyncio.run(use(provider))
    assert not list(tmp_path.iterdir())


async def test_an_unknown_account_is_left_out_of_the_headers(sim, config, in_use, token_file):
    write_tokens(token_file, {"access_token": jwt(exp=4e9, sub="auth0|1"), "refresh_token": ""})
    with pytest.raises(LLMError):
        await in_use(config).complete(HELLO)
    sent = [request.headers for request in sim.requests_to("/codex/responses")]
    assert sent
    assert not any("chatgpt-account-id" in headers for headers in sent)
