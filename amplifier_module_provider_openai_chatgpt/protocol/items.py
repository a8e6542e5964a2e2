"""Input items and their parts, as the Responses API spells them.

Every text that comes in here goes out clean; the keys of an item always have one order, so that a
longer conversation begins with the bytes of the shorter one.
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
    """What somebody other than the model said; ``role`` is user or developer."""
    return {"type": "message", "role": role, "content": parts}


def answer(text: str, phase: object = None) -> Item:
    """What the model said; ``phase`` tells progress talk from the answer, and only a known one is sent."""
    content = [{"type": "output_text", "text": clean_text(text)}]
    if isinstance(phase, str) and phase in PHASES:
        return {"type": "message", "role": "assistant", "content": content, "phase": phase}
    return {"type": "message", "role": "assistant", "content": content}


def call(call_id: str, name: str, arguments: str) -> Item:
    """A tool call, all of it clean; ``arguments`` are text, usually of a JSON object."""
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}


def output(call_id: str, result: Output) -> Item:
    """A tool's result, clean."""
    return {"type": "function_call_output", "call_id": call_id, "output": result}


def reasoning(ciphertext: str, summary: Iterable[str]) -> Item:
    """Reasoning, without an id: the backend stores nothing it could look up."""
    parts = [{"type": "summary_text", "text": clean_text(text)} for text in summary]
    return {"type": "reasoning", "summary": parts, "encrypted_content": clean_text(ciphertext)}


def additional_tools(tools: list[Any]) -> Item:
    """The tools of the Lite shape, which travel in the input."""
    return {"type": "additional_tools", "role": "developer", "tools": tools}
