"""codex-auth-helper with pydantic-ai: ``request_stream()``."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from codex_auth_helper import create_codex_responses_model
from codex_auth_helper.auth.config import CodexAuthConfig
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import ModelRequestParameters

from ..turns import NAME, QUESTION, live, tool_turn


@lru_cache(maxsize=8)
def shared(url: str) -> Any:
    """Return the model for a backend."""
    config = CodexAuthConfig(auth_path=Path.home() / ".codex" / "auth.json", api_base_url=f"{url}/codex")
    return create_codex_responses_model("gpt-5.5", config=config, instructions="Be brief.")


async def stream(url: str) -> dict[str, Any]:
    """Read an answer and join its text."""
    return await _read(url, [ModelRequest.user_text_prompt("hi")])


async def _read(url: str, conversation: list[Any]) -> dict[str, Any]:
    async with _opened(url, conversation) as events:
        async for _ in events:
            pass
    answer = events.get()
    text = "".join(part.content for part in answer.parts if isinstance(part, TextPart))
    return {"text": text, "output_tokens": answer.usage.output_tokens}


async def calls(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls one after another on one client."""
    for _ in range(count):
        result = await stream(url)
    return result


async def parallel(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls in parallel."""
    results = await asyncio.gather(*(stream(url) for _ in range(count)))
    assert all(result == results[0] for result in results)
    return results[0]


async def first_delta(url: str) -> dict[str, Any]:
    """Measure the seconds from sending the first delta to the program that reads it."""
    delays = list[float]()
    async with _opened(url, [ModelRequest.user_text_prompt("hi")]) as events:
        async for event in events:
            text = _text(event)
            if text.isdecimal() and not delays:
                delays.append((time.monotonic_ns() - int(text)) / 1e9)
    return {"delay": delays[0]}


async def life(url: str, turns: int, step: int) -> dict[str, Any]:
    """Run one conversation of tool turns."""
    messages: list[Any] = [ModelRequest.user_text_prompt(QUESTION)]

    def add(number: int) -> list[Any]:
        messages.extend(_messages(number))
        return messages

    async def send(conversation: list[Any]) -> dict[str, Any]:
        return await _read(url, conversation)

    return await live(turns, step, add, send)


def _messages(number: int) -> list[Any]:
    turn = tool_turn(number)
    thought = ThinkingPart("", id=f"rs_{number}", signature=turn.thought, provider_name="openai")
    call = ToolCallPart(NAME, turn.arguments, tool_call_id=turn.call_id)
    return [
        ModelResponse([thought, TextPart(turn.talk), call]),
        ModelRequest([ToolReturnPart(NAME, turn.result, tool_call_id=turn.call_id)]),
    ]


def _opened(url: str, conversation: list[Any]) -> Any:
    return shared(url).request_stream(conversation, None, ModelRequestParameters())


def _text(event: object) -> str:
    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return str(event.part.content)
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return str(event.delta.content_delta)
    return ""
