"""codex-backend-sdk, which is synchronous: ``responses.create(stream=True)``."""

from __future__ import annotations

import asyncio
import json
import time
from functools import lru_cache
from typing import Any

from codex_backend_sdk import CodexClient, _client
from codex_backend_sdk.storage import TokenStore

from ..turns import NAME, QUESTION, live, tool_turn


@lru_cache(maxsize=8)
def shared(url: str) -> CodexClient:
    """Return this process's client for a backend, whose address is a constant of that package."""
    _client.BASE_URL = f"{url}/codex"
    store = TokenStore("token", "none", "", account_id="account")
    return CodexClient(store=store, max_retries=0, instructions="Be brief.")


async def stream(url: str) -> dict[str, Any]:
    """Read an answer and join its text."""
    return _read(url)


async def calls(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls one after another on one client."""
    for _ in range(count):
        result = _read(url)
    return result


async def parallel(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls in parallel, each in a thread."""
    shared(url)
    results = await asyncio.gather(*(asyncio.to_thread(_read, url) for _ in range(count)))
    assert all(result == results[0] for result in results)
    return results[0]


async def first_delta(url: str) -> dict[str, Any]:
    """Measure the seconds from sending the first delta to the program that reads it."""
    delays = list[float]()
    for event in shared(url).responses.create(input="hi", stream=True):
        if event.type == "response.output_text.delta" and not delays:
            delays.append((time.monotonic_ns() - int(event.delta)) / 1e9)
    return {"delay": delays[0]}


async def life(url: str, turns: int, step: int) -> dict[str, Any]:
    """Run one conversation of tool turns."""
    items: list[dict[str, Any]] = [_message("user", "input_text", QUESTION)]

    def add(number: int) -> list[dict[str, Any]]:
        items.extend(_items(number))
        return items

    async def send(conversation: list[dict[str, Any]]) -> dict[str, Any]:
        return _read(url, conversation)

    return await live(turns, step, add, send)


def _items(number: int) -> list[dict[str, Any]]:
    turn = tool_turn(number)
    call = {"type": "function_call", "name": NAME, "call_id": turn.call_id}
    return [
        {"type": "reasoning", "summary": [], "encrypted_content": turn.thought},
        _message("assistant", "output_text", turn.talk),
        {**call, "arguments": json.dumps(turn.arguments)},
        {"type": "function_call_output", "call_id": turn.call_id, "output": turn.result},
    ]


def _message(role: str, kind: str, text: str) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}


def _read(url: str, conversation: Any = "hi") -> dict[str, Any]:
    words: list[str] = []
    tokens = 0
    for event in shared(url).responses.create(input=conversation, stream=True):
        if event.type == "response.output_text.delta":
            words.append(event.delta)
        elif event.type == "response.output_item.done" and not words:
            words += [part["text"] for part in event.item.get("content", ())]
        elif event.type == "response.completed":
            tokens = event.response["usage"]["output_tokens"]
    return {"text": "".join(words), "output_tokens": tokens}
