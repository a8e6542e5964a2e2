"""Whatever the plan service refuses, and in whatever order: a call ends, soon and with a kernel error."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from amplifier_core.llm_errors import LLMError
from amplifier_core.message_models import ToolSpec
from hypothesis import given, strategies as st

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider, provider as provider_module
from amplifier_module_provider_openai_chatgpt.errors.refusal import Refusal
from amplifier_module_provider_openai_chatgpt.simulator.validation.plan import CAPABILITY
from amplifier_module_provider_openai_chatgpt.transport.base import Document
from tests.event_recorder import ask

MODEL = "gpt-6-sol"
TOOLS = [
    ToolSpec(name=name, description="Tells it.", parameters={"type": "object", "properties": {}})
    for name in ("get_time", "get_date")
]
CONFIG = {"auth_mode": "chatgpt_plan", "max_retries": 2, "min_retry_delay": 0, "base_url": "http://[::1]:9"}
REQUEST = ask(tools=TOOLS, tool_choice="get_date", model=f"{MODEL}-fast")


class Refusing:
    """A transport that refuses every call, with one refusal after the other."""

    def __init__(self, refusals):
        self.refusals, self.bodies = refusals, []

    @asynccontextmanager
    async def open(self, call):
        self.bodies.append(call.body())
        if self.refusals:
            raise self.refusals[len(self.bodies) % len(self.refusals)]
        yield

    async def models(self, client_version):
        return Document({"models": [{"slug": MODEL, "visibility": "list"}]})

    async def usage(self):
        return Document({})

    async def close(self):
        """Do nothing."""


PARAMS = (
    *("tools", "input[0]", "tool_choice", "prompt_cache_key", "service_tier", "reasoning.effort"),
    "model",
)
refusals = st.builds(
    Refusal,
    status=st.sampled_from([400, 404, 422, 503, None]),
    code=st.sampled_from([CAPABILITY, "invalid_value", "unknown_parameter", "model_not_found", ""]),
    param=st.sampled_from([None, *PARAMS]),
    message=st.sampled_from(["No.", "Unsupported parameter: tools", "prompt_cache_key, tool_choice"]),
    retry_after=st.sampled_from([None, 0.0]),
)


@given(st.lists(refusals, min_size=1, max_size=8))
def test_however_calls_are_refused_the_requests_are_few_and_end_in_a_kernel_error(given_refusals):
    """Each correction once, and at most two retries."""

    async def complete():
        transport = Refusing(given_refusals)
        provider_module._shapes.clear()
        provider = ChatGPTProvider(CONFIG, transport=transport)
        with pytest.raises(LLMError):
            await provider.complete(REQUEST, reasoning_effort="high")
        return transport.bodies

    bodies = asyncio.run(complete())
    assert len(bodies) <= 1 + 4 + 1 + 2
    assert len(set(bodies)) >= len(bodies) - 2, "only a retry sends the same again"
