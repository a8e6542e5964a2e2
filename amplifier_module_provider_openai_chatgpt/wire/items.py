"""Input items, each as the JSON bytes that are sent.

An item is encoded once, when it is made: attempts, corrected resends and continuations send the very
same bytes, and a longer conversation begins with the bytes of the shorter one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic_core import to_json

from .text import encode, encode_text

if TYPE_CHECKING:
    from collections.abc import Iterable

Item: TypeAlias = bytes
Part: TypeAlias = bytes

_ROLES = {
    role: b'{"type":"message","role":"%b","content":[' % role.encode() for role in ("user", "developer")
}
_ANSWER = b'{"type":"message","role":"assistant","content":[{"type":"output_text","text":'
_TEXT = b'{"type":"input_text","text":'
_OUTPUT = b'{"type":"function_call_output","call_id":%b,"output":%b}'
_SUMMARY = b'{"type":"summary_text","text":%b}'
_REASONING = b'{"type":"reasoning","summary":[%b],"encrypted_content":%b}'
_IMAGE = b'{"type":"input_image","image_url":'


def text_part(text: str) -> Part:
    """Encode text that the model reads."""
    return _TEXT + encode_text(text) + b"}"


def image_part(url: str) -> Part:
    """Encode an image, given as a data URL."""
    return _IMAGE + encode_text(url) + b"}"


def holds_image(parts: Iterable[Part]) -> bool:
    """Tell whether any of the parts is an image."""
    return any(part.startswith(_IMAGE) for part in parts)


def message(role: str, parts: Iterable[Part]) -> Item:
    """Encode what somebody other than the model said; ``role`` is user or developer."""
    return _ROLES[role] + b",".join(parts) + b"]}"


def answer(text: str, phase: object = None) -> Item:
    """Encode what the model said; ``phase`` tells progress talk from the answer."""
    if isinstance(phase, str) and phase:
        return _ANSWER + encode_text(text) + b'}],"phase":' + encode_text(phase) + b"}"
    return _ANSWER + encode_text(text) + b"}]}"


def call(call_id: str, name: str, arguments: str) -> Item:
    """Encode a tool call, all of it clean text; ``arguments`` is a JSON object as text."""
    return to_json({"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id})


def output(call_id: str, encoded_output: bytes) -> Item:
    """Encode a tool's result, given as the JSON of a text or of a list of parts."""
    return _OUTPUT % (encode_text(call_id), encoded_output)


def reasoning(ciphertext: str, summary: Iterable[str]) -> Item:
    """Encode reasoning, without an id: the backend stores nothing it could look up."""
    texts = [_SUMMARY % encode_text(text) for text in summary]
    return _REASONING % (b",".join(texts), encode_text(ciphertext))


def is_reasoning(item: Item) -> bool:
    """Tell reasoning from everything else."""
    return item.startswith(_REASONING[:20])


def additional_tools(tools: list[Any]) -> Item:
    """Encode the tools of the Lite shape, which travel in the input."""
    return encode({"type": "additional_tools", "role": "developer", "tools": tools})
