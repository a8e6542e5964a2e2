"""Large requests are compressed for the service's own address, and sent again plain if that is refused."""

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


@pytest.mark.parametrize("status", [400, 415])
async def test_after_a_refusal_requests_are_plain(sim, at_home, status):
    sim.misbehave(RESPONSES, Fault(status=status, body=UNREADABLE))
    response = await at_home().complete(ask(LONG))
    assert response.text
    await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", None, None]


async def test_a_plain_request_that_is_refused_too_is_told_as_it_is(sim, at_home):
    sim.misbehave(RESPONSES, Fault(status=415, body=UNREADABLE), times=2)
    with pytest.raises(InvalidRequestError):
        await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", None]


async def test_another_refusal_is_no_reason_to_send_again(sim, at_home):
    sim.misbehave(RESPONSES, Fault(status=400, body={"error": {"code": "x", "message": "Bad tool."}}))
    with pytest.raises(InvalidRequestError, match="Bad tool"):
        await at_home().complete(ask(LONG))
    await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", "zstd"]


async def test_an_overloaded_server_is_asked_again_in_the_same_form(sim, at_home):
    sim.misbehave(RESPONSES, Fault(status=503))
    await at_home().complete(ask(LONG))
    assert sent(sim) == ["zstd", "zstd"]
