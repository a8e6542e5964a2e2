"""Connections: used again where that is possible, given up where it is not."""

import asyncio

import pytest
from amplifier_core.message_models import ChatRequest

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault

RESPONSES = "/codex/responses"
FAR_BEHIND_THE_LAST = 10_000


def hello():
    return ChatRequest(messages=[{"role": "user", "content": "Say hello."}])


@pytest.fixture
async def provider(config):
    provider = ChatGPTProvider(config)
    yield provider
    await provider.close()


async def test_calls_one_after_another_share_one_connection(sim, provider):
    for _ in range(5):
        await provider.complete(hello())
    assert len({request.peer for request in sim.requests_to(RESPONSES)}) == 1


async def test_calls_at_once_have_a_connection_each_which_serve_the_next_calls(sim, provider):
    await asyncio.gather(*(provider.complete(hello()) for _ in range(4)))
    first = {request.peer for request in sim.requests_to(RESPONSES)}
    await asyncio.gather(*(provider.complete(hello()) for _ in range(4)))
    assert {request.peer for request in sim.requests_to(RESPONSES)} == first


async def test_an_answer_is_not_kept_back_by_a_stream_that_stays_open_behind_it(sim, provider):
    sim.misbehave(RESPONSES, Fault(stall_after_event=FAR_BEHIND_THE_LAST))
    answer = await provider.complete(hello())
    assert answer.text
    assert sim.wait_until(lambda: not sim.stalled), "the connection was closed"
    assert (await provider.complete(hello())).text
