"""Input items and their content parts, as the Responses API spells them.

Text is cleaned here. The keys of an item always have the same order, so a longer conversation starts
with the bytes of the shorter one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from .text import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Item: TypeAlias = dict[str, Any]
Part: TypeAlias = dict[str, str]
Output: TypeAlias = str | list[Part]

REFUSED_IMAGE = "[image left out: the backend could not read an image of this conversation]"
LINKED_IMAGE = "[image left out: it is a link, which this model does not accept]"
PHASES = frozenset({"commentary", "final_answer"})


def text_part(text: str) -> Part:
    """Text that the model reads."""
    return {"type": "input_text", "text": clean_text(text)}


def image_part(url: str) -> Part:
    """An image, given as a data URL or, in the classic shape, as an https link."""
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


def image_parts(item: Item) -> list[Part]:
    """Return the images of a message or of a tool's output."""
    parts = item.get("content" if item["type"] == "message" else "output")
    return [part for part in parts if part["type"] == "input_image"] if isinstance(parts, list) else []


def with_notes(item: Item, note: str, applies: Callable[[Part], bool] | None = None) -> Item:
    """Return a copy of an item with a text in place of its images, or of those that ``applies`` selects."""
    key = "content" if item["type"] == "message" else "output"
    replaced = text_part(note)
    parts = [
        replaced if part["type"] == "input_image" and (applies is None or applies(part)) else part
        for part in item[key]
    ]
    return {**item, key: parts}


def without_images(given: Sequence[Item], *, keep_newest: bool) -> tuple[Item, ...]:
    """Return the items with a note in place of each image, except those of the newest item that has any."""
    last = len(given) - 1
    newest = next((last - back for back in range(len(given)) if image_parts(given[last - back])), None)
    kept = newest if keep_newest else None
    return tuple(
        with_notes(item, REFUSED_IMAGE) if place != kept and image_parts(item) else item
        for place, item in enumerate(given)
    )


def without_links(given: Sequence[Item]) -> tuple[Item, ...]:
    """Return the items with a note in place of each image that is a link."""
    return tuple(
        with_notes(item, LINKED_IMAGE, is_link) if any(map(is_link, image_parts(item))) else item
        for item in given
    )


def is_link(part: Part) -> bool:
    """Return whether an image part has a link instead of data."""
    return not part["image_url"].startswith("data:")
