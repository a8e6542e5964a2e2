"""Signing in through the provider, as hosts do it: line by line, on any loop, stopped at any time."""

import asyncio
import inspect
import re

import pytest
from amplifier_core.llm_errors import AuthenticationError, ConfigurationError, LLMError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.auth import token_file

HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "none.json"


@pytest.fixture
def provider(sim, config, path):
    """A provider of somebody who has never signed in; a simulated person approves at the first poll."""
    sim.device.pending = 0
    return ChatGPTProvider({**config, "token_file_path": str(path)})


def test_a_host_signs_in_lists_models_and_closes_on_a_loop_each(sim, provider, path):
    assert provider.auth_status() == "unauthenticated"
    assert inspect.iscoroutinefunction(provider.login)
    assert asyncio.run(provider.login(lambda line: None)) is True
    assert provider.auth_status() == "authenticated"
    assert asyncio.run(provider.list_models())
    asyncio.run(provider.close())
    assert asyncio.run(provider.list_models())
    assert asyncio.run(provider.complete(HELLO)).text
    asyncio.run(provider.close())
    asyncio.run(provider.close())
    assert asyncio.run(provider.complete(HELLO)).text
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


async def test_without_a_print_function_the_lines_go_to_stderr(sim, provider, capsys):
    await provider.login()
    out, err = capsys.readouterr()
    (code,) = sim.user_codes
    assert out == ""
    assert err.count(code) == 1


async def test_another_provider_of_the_same_file_is_signed_in_as_well(provider, config, path):
    other = ChatGPTProvider({**config, "token_file_path": str(path)})
    with pytest.raises(AuthenticationError):
        await other.list_models()
    await provider.login(lambda line: None)
    assert other.auth_status() == "authenticated"
    assert await other.list_models()


@pytest.mark.parametrize("times", [0, 1])
async def test_it_can_be_stopped_at_any_moment_and_begun_again(sim, provider, path, times):
    sim.device.approve_manually = True
    task = asyncio.create_task(provider.login(lambda line: None))
    await asyncio.to_thread(sim.wait_until, lambda: len(sim.requests_to("/deviceauth/token")) >= times)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert provider.auth_status() == "unauthenticated"
    sim.device.approve()
    assert await provider.login(lambda line: None)


def test_a_keyboard_interrupt_passes(provider):
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


async def test_where_it_could_not_be_stored_a_sign_in_does_not_begin(sim, provider, path):
    path.with_name("real.json").touch()
    path.symlink_to(path.with_name("real.json"))
    with pytest.raises(ConfigurationError, match="symbolic link"):
        await provider.login(lambda line: None)
    assert not sim.requests


async def test_a_new_sign_in_takes_the_place_of_the_old_one(sim, provider, path):
    for _ in range(2):
        await provider.login(lambda line: None)
    stored = token_file.load(path)
    assert provider.credentials.peek() == stored
    assert (await provider.complete(HELLO)).text
    sent = sim.requests_to("/codex/responses")[0].headers["authorization"]
    assert stored is not None
    assert sent == f"Bearer {stored.access_token}"
