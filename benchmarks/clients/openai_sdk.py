"""The OpenAI SDK: ``responses.create(stream=True)``."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import openai


@lru_cache(maxsize=8)
def shared(url: str) -> openai.AsyncOpenAI:
    """Return this process's client for a backend."""
    return openai.AsyncOpenAI(base_url=f"{url}/codex", api_key="none", max_retries=0)


async def stream(url: str) -> dict[str, Any]:
    """Read an answer and join its text."""
    words: list[str] = []
    tokens = 0
    events = await shared(url).responses.create(model="gpt-5.5", input="hi", stream=True)
    async for event in events:
        if event.type == "response.output_text.delta":
            words.append(event.delta)
        elif event.type == "response.completed" and event.response.usage:
            tokens = event.response.usage.output_tokens
    return {"text": "".join(words), "output_tokens": tokens}


async def calls(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls one after another on one client."""
    for _ in range(count):
        result = await stream(url)
    return result
