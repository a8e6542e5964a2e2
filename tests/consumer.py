"""A program that uses the package, for type checkers: it is checked strictly and runs in a test.

``assert_type`` fails the check if an annotation becomes less exact.
"""
# mypy: disallow-untyped-defs, disallow-incomplete-defs, disallow-untyped-calls, disallow-any-generics

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, assert_type

from amplifier_core.message_models import ChatRequest, Message

import amplifier_module_provider_openai_chatgpt as package
from amplifier_module_provider_openai_chatgpt import ChatGPTProvider, mount

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


async def use(config: Mapping[str, object]) -> list[str]:
    """Call everything that is public once; return an answer, and what is left to say."""
    request = ChatRequest(messages=[Message(role="user", content="Say hello.")])
    lines: list[str] = []
    async with ChatGPTProvider(config) as provider:
        assert_type(provider, ChatGPTProvider)
        budget = provider.request_budget(request, context_estimate=10, request_options={"effort": "low"})
        if budget is not None:
            assert_type(budget["estimated_input_tokens"], int)
            assert_type(budget["input_limit_tokens"], int)
            assert_type(budget["context_token_budget"], int)
        response = await provider.complete(request, effort="low")
        assert_type(response.text, str)
        smaller = provider.recover_context_overflow(request, ValueError(), context_estimate=10)
        lines.append(f"{response.text} {smaller}")
        lines.extend(call.name for call in provider.parse_tool_calls(response))
        lines.extend(info.id for info in await provider.list_models())
        status = provider.auth_status()
        lines.append(assert_type(status, Literal["authenticated", "expired", "unauthenticated"]))
        quota = await provider.usage()
        lines.extend(window.name for window in quota.windows)
    return [*lines, assert_type(package.__version__, str), repr(provider)]


async def mounted(coordinator: object, config: Mapping[str, object]) -> Callable[[], Awaitable[None]]:
    """Mount as a host does."""
    return await mount(coordinator, config)
