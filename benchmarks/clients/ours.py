"""This provider, through ``ChatGPTProvider.complete()`` as a session calls it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from amplifier_core import HookResult
from amplifier_core.message_models import ChatRequest, ChatResponse
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.protocol import reasoning
from amplifier_module_provider_openai_chatgpt.secret import Secret

from ..turns import NAME, QUESTION as LONG_QUESTION, live, tool_turn
from ..worker import resident as memory

MODEL = "gpt-6-sol"
DELTA = "llm:stream_block_delta"
QUESTION = {"role": "user", "content": "hi"}

_providers: dict[str, ChatGPTProvider] = {}


def provider(url: str, coordinator: Any = None) -> ChatGPTProvider:
    """Return a provider for a backend; the environment names the token file."""
    config = {"base_url": url, "login_on_mount": False, "max_retries": 0}
    return ChatGPTProvider(config, coordinator or MockCoordinator())


def shared(url: str) -> ChatGPTProvider:
    """Return this process's provider for a backend; it has no listener."""
    if url not in _providers:
        _providers[url] = provider(url)
    return _providers[url]


def _request() -> ChatRequest:
    return ChatRequest(messages=[QUESTION])


def _result(response: ChatResponse) -> dict[str, Any]:
    blocks = response.content
    return {
        "text": "".join(block.text for block in blocks if block.type == "text"),
        "thinking": "".join(block.thinking for block in blocks if block.type == "thinking"),
        "tool_calls": len(response.tool_calls or []),
        "output_tokens": response.usage.output_tokens if response.usage else 0,
    }


async def stream(url: str) -> dict[str, Any]:
    """Complete one request without a listener."""
    return _result(await shared(url).complete(_request()))


async def calls(url: str, count: int) -> dict[str, Any]:
    """Complete ``count`` requests one after another."""
    for _ in range(count):
        result = await stream(url)
    return result


async def parallel(url: str, count: int) -> dict[str, Any]:
    """Complete ``count`` requests in parallel."""
    results = await asyncio.gather(*(stream(url) for _ in range(count)))
    assert all(result == results[0] for result in results)
    return results[0]


async def with_listener(url: str) -> dict[str, Any]:
    """Complete one request with a listener on deltas, which counts them."""
    coordinator, sizes = MockCoordinator(), []

    async def listen(_: str, data: dict[str, Any]) -> HookResult:
        sizes.append(len(data["text"]))
        return HookResult()

    coordinator.hooks.register(DELTA, listen, name="benchmark")
    listened = provider(url, coordinator)
    result = _result(await listened.complete(_request()))
    await listened.close()
    assert sum(sizes) == len(result["text"]) + len(result["thinking"])
    return result | {"emits": len(sizes)}


async def emits(count: int, size: int) -> dict[str, Any]:
    """Emit ``count`` deltas of ``size`` characters to one listener, and nothing else."""
    coordinator, received = MockCoordinator(), 0

    async def listen(_: str, data: dict[str, Any]) -> HookResult:
        nonlocal received
        received += len(data["text"])
        return HookResult()

    coordinator.hooks.register(DELTA, listen, name="benchmark")
    identity = {"provider": "openai-chatgpt", "model": "gpt-5.5", "request_id": "0" * 36}
    place = {"block_index": 0, "block_type": "text"}
    for number in range(count):
        delta = {**identity, **place, "sequence": number, "text": "x" * size}
        await coordinator.hooks.emit(DELTA, delta)
    assert received == count * size
    return {"emits": count}


async def first_delta(url: str) -> dict[str, Any]:
    """Measure the seconds from sending the first delta to the hook that gets it."""
    coordinator, delays = MockCoordinator(), list[float]()

    async def listen(_: str, data: dict[str, Any]) -> HookResult:
        if not delays:
            delays.append((time.monotonic_ns() - int(data["text"])) / 1e9)
        return HookResult()

    coordinator.hooks.register(DELTA, listen, name="benchmark")
    listened = provider(url, coordinator)
    await listened.complete(_request())
    await listened.close()
    return {"delay": delays[0]}


class BareHooks:
    """Takes events in plain Python, so only the provider's own delay is measured."""

    def __init__(self) -> None:
        self.delays: list[float] = []

    def list_handlers(self, event: str) -> dict[str, list[str]]:
        return {event: ["benchmark"]}

    async def emit(self, event: str, data: dict[str, Any]) -> None:
        if event == DELTA and not self.delays:
            self.delays.append((time.monotonic_ns() - int(data["text"])) / 1e9)


class BareCoordinator:
    """Has hooks and nothing else."""

    def __init__(self) -> None:
        self.hooks = BareHooks()


async def bare_first_delta(url: str) -> dict[str, Any]:
    """Measure the same without the kernel's hook registry."""
    coordinator = BareCoordinator()
    heard = provider(url, coordinator)
    await heard.complete(_request())
    await heard.close()
    return {"delay": coordinator.hooks.delays[0]}


async def resident(url: str, count: int) -> dict[str, Any]:
    """Complete ``count`` requests and return the memory of the process afterwards, in MB."""
    result = await calls(url, count)
    return result | {"resident": memory()}


async def life(url: str, turns: int, step: int) -> dict[str, Any]:
    """Run one conversation of tool turns; a session hands over new objects in every turn."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": LONG_QUESTION}]

    def add(number: int) -> ChatRequest:
        messages.extend(_messages(number))
        return ChatRequest(messages=messages, model=MODEL)

    async def send(request: ChatRequest) -> dict[str, Any]:
        return _result(await shared(url).complete(request))

    return await live(turns, step, add, send)


def _messages(number: int) -> list[dict[str, Any]]:
    turn = tool_turn(number)
    item = {"type": "reasoning", "encrypted_content": turn.thought, "summary": []}
    state = reasoning.to_block_content(item, MODEL, Secret("account"))
    call = {"type": "tool_call", "id": turn.call_id, "name": NAME, "input": turn.arguments}
    thought = {"type": "thinking", "thinking": "", "content": state}
    said = [thought, {"type": "text", "text": turn.talk}, call]
    return [
        {"role": "assistant", "content": said},
        {"role": "tool", "tool_call_id": turn.call_id, "content": turn.result},
    ]
