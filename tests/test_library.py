"""Use from a program without Amplifier: types, names, ``async with``, and the example of the documents."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from amplifier_core.llm_errors import ConfigurationError
from amplifier_core.message_models import ChatRequest, Message
from amplifier_core.testing import MockCoordinator

import amplifier_module_provider_openai_chatgpt as package
from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.transport.http_sse import HttpSseTransport
from tests import consumer
from tests.conftest import MODEL

HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
EXAMPLE, CONNECT = re.findall(
    r"^```python\n(.*?)^```$",
    (Path(__file__).parents[1] / "docs/library.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)


def test_the_example_of_the_documents_shows_the_answer_as_it_arrives(sim, token_file, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_CHATGPT_BASE_URL", sim.base_url)
    monkeypatch.setenv("OPENAI_CHATGPT_AUTH_URL", sim.auth_url)
    monkeypatch.setenv("OPENAI_CHATGPT_TOKEN_FILE", str(token_file))
    exec(compile(EXAMPLE, "library.md", "exec"), {"__name__": "example"})
    answer, tokens = capsys.readouterr().out.splitlines()
    assert "hello" in answer
    assert re.fullmatch(r"\d+ tokens", tokens)


async def test_a_typed_program_calls_everything_that_is_public(sim, config):
    lines = await consumer.use(config)
    assert "hello" in lines[0]
    assert MODEL in lines
    assert "authenticated" in lines
    await (await consumer.mounted(MockCoordinator(), config))()


class Connections(HttpSseTransport):
    """Counts how often the connections were closed."""

    closed = 0

    async def close(self):
        self.closed += 1
        await super().close()


async def test_a_block_closes_the_connections_and_the_provider_can_be_used_again(config):
    inspected = ChatGPTProvider(config)
    connections = Connections(inspected.settings, inspected.credentials)
    async with ChatGPTProvider(config, transport=connections) as provider:
        await provider.complete(HELLO)
        assert connections.closed == 0
    assert connections.closed == 1
    with pytest.raises(ZeroDivisionError):
        async with provider:
            await provider.complete(HELLO)
            raise ZeroDivisionError
    assert connections.closed == 2


def test_the_version_is_that_of_the_installed_package():
    assert package.__version__ == version("amplifier-module-provider-openai-chatgpt")


def test_dir_shows_the_public_names_and_each_exists():
    names = [name for name in dir(package) if not name.startswith("_")]
    assert names == ["ChatGPTProvider", "mount"]
    assert all(hasattr(package, name) for name in dir(package))
    assert not hasattr(package, "nothing")


def test_a_provider_shows_what_distinguishes_it_and_no_secret(sim, config, token_file):
    provider = ChatGPTProvider({**config, "reasoning_effort": "high"}, tokens=sim.sign_in())
    shown = repr(provider)
    assert shown.startswith(f"ChatGPTProvider(default_model='{MODEL}', reasoning_effort='high', ")
    assert sim.base_url in shown
    assert str(token_file) in shown
    assert not [secret for secret in sim.secrets if secret in shown]


def test_an_address_with_a_password_is_refused_and_not_shown():
    with pytest.raises(ConfigurationError) as raised:
        ChatGPTProvider({"base_url": "https://:hunter2secret@chatgpt.com/backend-api"})
    assert "hunter2" not in str(raised.value)
