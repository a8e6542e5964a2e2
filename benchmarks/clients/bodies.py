"""Conversations of a given shape, and the bodies this provider builds from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from amplifier_core.message_models import ChatRequest, Message, ToolSpec
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt.models.model import BUILT_IN, Model
from amplifier_module_provider_openai_chatgpt.protocol import reasoning
from amplifier_module_provider_openai_chatgpt.request.build import build_call
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.settings import Settings

if TYPE_CHECKING:
    from amplifier_module_provider_openai_chatgpt.protocol.call import Call

MODEL = "gpt-6-sol"
ACCOUNT = "account"
MODELS: dict[str, Model] = {model.slug: model for model in BUILT_IN}


@lru_cache(maxsize=32)
def conversation(messages: int, length: int = 0, tools: int = 0, *, brief: bool = False) -> ChatRequest:
    """Return repeated turns of question, tool call, result and answer; then one question of ``length``."""
    turns = [message for number in range(messages // 4) for message in _turn(number, brief=brief)]
    question = [{"role": "user", "content": "word " * (length // 5)}] if length else []
    specs = [_tool(number) for number in range(tools)]
    return ChatRequest(messages=turns + question or [{"role": "user", "content": "hi"}], tools=specs or None)


def _turn(number: int, *, brief: bool) -> list[dict[str, Any]]:
    """Return four messages, realistic: the answer has reasoning, the result is some lines of a file."""
    call = {"type": "tool_call", "id": f"call_{number}", "name": "look", "input": {"at": number}}
    talk = [{"type": "text", "text": "I shall look that up. " * 5}, call]
    lines = 20 if brief else 100
    return [
        {"role": "user", "content": f"{number} " + "What does this file say, please? " * 8},
        {"role": "assistant", "content": talk if brief else [_thought(), *talk]},
        {"role": "tool", "tool_call_id": f"call_{number}", "content": "One line of a result.\n" * lines},
        {"role": "assistant", "content": [{"type": "text", "text": "The answer is written there. " * 5}]},
    ]


def _thought() -> dict[str, Any]:
    item = {"type": "reasoning", "encrypted_content": "gAAAA" * 400, "summary": []}
    state = reasoning.to_block_content(item, MODEL, Secret(ACCOUNT))
    return {"type": "thinking", "thinking": "", "content": state}


def _tool(number: int) -> ToolSpec:
    properties = {f"field_{at}": {"type": "string", "description": "What it is for. " * 4} for at in range(8)}
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return ToolSpec(name=f"tool_{number}", description="Does one thing well. " * 10, parameters=schema)


def _call(request: ChatRequest) -> Call:
    return build_call(
        request,
        {},
        Settings(),
        model=MODEL,
        find=MODELS.__getitem__,
        knows=MODELS.__contains__,
        account_id=Secret(ACCOUNT),
        session_id="session",
        remembered={},
    )


async def build(**shape: int) -> dict[str, Any]:
    """Build the body of a request from the host's objects."""
    return {"bytes": len(_call(conversation(**shape)).body())}


async def floor(**shape: int) -> dict[str, Any]:
    """Write the same items in a bare loop and encode them: nothing is cleaned, paired or left out."""
    items = [item for message in conversation(**shape).messages for item in _items(message)]
    return {"bytes": len(to_json({"model": MODEL, "input": items}))}


def _items(message: Message) -> Iterator[dict[str, Any]]:
    role, content = message.role, message.content
    if role == "tool":
        yield {"type": "function_call_output", "call_id": message.tool_call_id, "output": content}
    elif role == "user":
        yield {"type": "message", "role": role, "content": [{"type": "input_text", "text": content}]}
    else:
        for block in content:
            kind = block.type
            if kind == "text":
                part = {"type": "output_text", "text": block.text}
                yield {"type": "message", "role": role, "content": [part]}
            elif kind == "tool_call":
                call = {"type": "function_call", "name": block.name, "call_id": block.id}
                yield {**call, "arguments": to_json(block.input).decode()}
            else:
                state = block.content[0]["encrypted_content"]
                yield {"type": "reasoning", "summary": [], "encrypted_content": state}


async def encode(**shape: int) -> dict[str, Any]:
    """Only encode that body from its finished dictionary."""
    return {"bytes": len(to_json(_payload(**shape)))}


async def dumps(**shape: int) -> dict[str, Any]:
    """The same with the standard library's encoder."""
    return {"bytes": len(json.dumps(_payload(**shape)).encode())}


@lru_cache(maxsize=8)
def _payload(**shape: int) -> dict[str, Any]:
    return _call(conversation(**shape)).payload()
