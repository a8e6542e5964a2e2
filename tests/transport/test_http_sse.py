"""Connections of calls that are made at once."""

import asyncio

import pytest
from amplifier_core.message_models import ChatRequest

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider

RESPONSES = "/codex/responses"


def hello():
    return ChatRequest(messages=[{"role": "user", "content": "Say hello."}])


@pytest.fixture
async def provider(config):
    provider = ChatGPTProvider(config)
    yield provider
    await provider.close()


async def test_calls_at_once_have_a_connection_each_which_serve_the_next_calls(sim, provider):
    await asyncio.gather(*(provider.complete(hello()) for _ in range(4)))
    first = {request.peer for request in sim.requests_to(RESPONSES)}
    await asyncio.gather(*(provider.complete(hello()) for _ in range(4)))
    assert {request.peer for request in sim.requests_to(RESPONSES)} == first
