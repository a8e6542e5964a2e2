"""llm-openai-codex, a plugin of llm: ``model.prompt()``. It makes a new client for each call."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Any

import llm
import llm_openai_codex


@lru_cache(maxsize=8)
def shared(url: str) -> llm.Model:
    """Return the model for a backend, whose address is a constant of that plugin."""
    llm_openai_codex.CODEX_BASE_URL = f"{url}/codex"
    return llm_openai_codex.CodexResponsesModel("gpt-5.5")


async def stream(url: str) -> dict[str, Any]:
    """Read an answer and join its text."""
    return _read(url)


async def calls(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls one after another."""
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
    delays = [
        (time.monotonic_ns() - int(text)) / 1e9 for text in shared(url).prompt("hi") if text.isdecimal()
    ]
    return {"delay": delays[0]}


def _read(url: str) -> dict[str, Any]:
    response = shared(url).prompt("hi", stream=True)
    return {"text": "".join(response), "output_tokens": response.usage().output}
