"""httpx-sse with the standard library's JSON, like most hand-written clients."""

from __future__ import annotations

import json
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from .floor import BODY, shared


async def stream(url: str) -> dict[str, Any]:
    """Read an answer and join its text."""
    return await _read(shared(), url)


async def calls(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls one after another on one client."""
    for _ in range(count):
        result = await _read(shared(), url)
    return result


async def _read(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    words: list[str] = []
    tokens = 0
    async with aconnect_sse(client, "POST", f"{url}/codex/responses", json=BODY) as source:
        async for sent in source.aiter_sse():
            event = json.loads(sent.data)
            if event["type"] == "response.output_text.delta":
                words.append(event["delta"])
            elif event["type"] == "response.completed":
                tokens = event["response"]["usage"]["output_tokens"]
    return {"text": "".join(words), "output_tokens": tokens}
