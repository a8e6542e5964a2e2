"""Large requests are compressed for the service's own address, and sent again plain after a refusal."""

import pytest
from amplifier_core.llm_errors import InvalidRequestError

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.http.zstd import compressor
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.transport.compression import SMALLEST
from tests.event_recorder import RESPONSES, ask

pytestmark = pytest.mark.skipif(compressor() is None, reason="this Python has no zstd")
LONG = "Read this line. " * (SMALLEST // 16)
ENCODING = "content-encoding"
UNREADABLE = {"detail": "Unsupported content encoding: zstd"}
NOT_JSON = {"error": {"message": "We could not parse the JSON body of your request.", "type": "x"}}
SCHEMA = {
    "error": {
        "message": "Invalid schema for function 'read': In context=('properties', 'content_encoding')",
        "param": "tools[0].parameters",
        "code": "invalid_function_parameters",
    }
}


@pytest.fixture
async def at_home(sim, config):
    """Return a provider for which the simulator has the service's own address."""
    providers = []

    def build(**settings):
        service = CHATGPT_CODEX.at(sim.base_url, sim.auth_url)
        providers.append(ChatGPTProvider({**config, **settings}, service=service))
        return providers[-1]

    yield build
    for provider in providers:
        await provider.close()


def sent(sim):
    return [request.headers.get(ENCODING) for request in sim.requests_to(RESPONSES)]


async def test_a_large_request_is_compressed_and_says_the_same(sim, at_home):
    await at_home().complete(ask(LONG))
    await at_home(compress_requests="never").complete(ask(LONG))
    compressed, plain = sim.requests_to(RESPONSES)
    assert sent(sim) == ["zstd", None]
    assert len(compressed.body) < len(plain.body) / 10
    assert compressed.json["input"] == plain.json["input"]
    assert compressed.headers["content-type"] == plain.headers["content-type"] == "application/json"


async def test_a_small_request_is_plain(sim, at_home):
    await at_home().complete(ask("x" * (SMALLEST // 4)))
    assert sent(sim) == [None]


async def test_a_request_to_any_other_address_is_plain(sim, config, in_use):
    await in_use(config).complete(ask(LONG))
    assert sent(sim) == [None]


@pytest.mark.parametrize(
    ("status", "body"), [(400, UNREADABLE), (415, UNREADABLE), (400, NOT_JSON), (415, {})]
)
async def test_after_a_refusal_requests_are_plain(sim, at_home, status, body):
    sim.misbehave(RESPONSES, Fault(status=status, body=body))
    response = await at_home().complete(ask(LONG))
    assert response.text
    await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", None, None]


async def test_the_refusal_of_the_plain_request_is_reported(sim, at_home):
    sim.misbehave(RESPONSES, Fault(status=415, body=UNREADABLE), times=2)
    with pytest.raises(InvalidRequestError):
        await at_home().complete(ask(LONG))
    await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", None, "zstd"]


@pytest.mark.parametrize("body", [SCHEMA, {"error": {"code": "x", "message": "Bad tool."}}])
async def test_after_another_refusal_nothing_is_sent_again(sim, at_home, body):
    sim.misbehave(RESPONSES, Fault(status=400, body=body))
    with pytest.raises(InvalidRequestError):
        await at_home().complete(ask(LONG))
    await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", "zstd"]


async def test_an_overloaded_server_is_asked_again_in_the_same_form(sim, at_home):
    sim.misbehave(RESPONSES, Fault(status=503))
    await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", "zstd"]
