"""Input items and their content parts, as the Responses API spells them.

Text is cleaned here. The keys of an item always have the same order, so a longer conversation starts
with the bytes of the shorter one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable

Item: TypeAlias = dict[str, Any]
Part: TypeAlias = dict[str, str]
Output: TypeAlias = str | list[Part]

PHASES = frozenset({"commentary", "final_answer"})


def text_part(text: str) -> Part:
    """Text that the model reads."""
    return {"type": "input_text", "text": clean_text(text)}


def image_part(url: str) -> Part:
    """An image, given as a data URL."""
    return {"type": "input_image", "image_url": url}


def message(role: str, parts: list[Part]) -> Item:
    """A message that is not from the model; ``role`` is user or developer."""
    return {"type": "message", "role": role, "content": parts}


def answer(text: str, phase: object = None) -> Item:
    """A message from the model; ``phase`` marks progress or the answer; unknown ones are left out."""
    content = [{"type": "output_text", "text": clean_text(text)}]
    if isinstance(phase, str) and phase in PHASES:
        return {"type": "message", "role": "assistant", "content": content, "phase": phase}
    return {"type": "message", "role": "assistant", "content": content}


def call(call_id: str, name: str, arguments: str) -> Item:
    """A tool call; ``arguments`` is text, usually a JSON object. All strings must be clean."""
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}


def output(call_id: str, result: Output) -> Item:
    """A tool's result. All strings must be clean."""
    return {"type": "function_call_output", "call_id": call_id, "output": result}


def reasoning(ciphertext: str, summary: Iterable[str]) -> Item:
    """Reasoning, without an id: with ``store: false`` the backend cannot look it up."""
    parts = [{"type": "summary_text", "text": clean_text(text)} for text in summary]
    return {"type": "reasoning", "summary": parts, "encrypted_content": clean_text(ciphertext)}


def additional_tools(tools: list[Any]) -> Item:
    """The tools of the Lite shape, which are part of the input."""
    return {"type": "additional_tools", "role": "developer", "tools": tools}
