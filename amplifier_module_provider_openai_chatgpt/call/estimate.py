"""How many tokens a call will probably have: texts by their characters, images by size, reasoning by length.

No tokenizer is used. An estimate should rather be too high than too low: a low one lets a call fail, a high
one only shortens the conversation earlier (docs/requests.md, Budget).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Final

from ..protocol import items
from ..protocol.text import encode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..protocol.call import Call
    from ..protocol.items import Item

# A word, which ends at white space, and each of its bytes, in tokens. What is longer than words are (base64,
# hexadecimal text, minified code) costs more.
_WORD: Final = 0.72
_BYTE: Final = 0.13
_LONG_WORD: Final = 15
_BEYOND: Final = 0.15
# What a byte of these classes costs more than a lower-case letter.
_ASCII_CLASSES: Final = {
    ord("A"): 0.32,  # upper case: a token often ends where the case changes
    ord("0"): 0.62,  # digits: up to three share a token, fewer in dates, ids and hexadecimal text
    ord("."): 0.46,  # punctuation, control characters
    ord("\n"): 0.42,
}
_OTHER_CLASSES: Final = {
    ord("1"): 0.35,  # first of two bytes, letters with accents, which divide words
    ord("2"): 0.25,  # first of two bytes: Greek, Cyrillic, Hebrew, Arabic
    ord("3"): 0.77,  # first of three bytes: Chinese, Japanese, Korean
    ord("4"): 2.27,  # first of four bytes: emoji
    ord("+"): -_BYTE,  # the bytes that follow
}
_ITEM: Final = 6
_TOOL: Final = 10
# Base64 of four bytes for each token of hidden reasoning, as the official client assumes, and a margin.
_CHARACTERS_OF_REASONING: Final = 4
# An image has a token for each 700 pixels, within these bounds; one of unknown size is the largest.
_PIXELS: Final = 700
_SMALLEST_IMAGE: Final = 800
_LARGEST_IMAGE: Final = 1_600
_PNG: Final = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a call: its tokens, and a hash that identifies its content within this process."""

    tokens: int
    content: int
    is_models: bool = False
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class CallEstimate:
    """The tokens of a call, part by part.

    ``instructions`` come from messages like the ``items``, ``fixed`` (tools, output format) does not.
    ``longest_text`` is in characters.
    """

    items: tuple[Part, ...]
    instructions: Part
    fixed: Part
    longest_text: int

    @property
    def total(self) -> int:
        """All tokens."""
        return self.instructions.tokens + self.fixed.tokens + tokens_of(self.items)


def tokens_of(parts: Iterable[Part]) -> int:
    """Return the tokens of some parts."""
    return sum(part.tokens for part in parts)


def estimate_call(call: Call) -> CallEstimate:
    """Estimate a call."""
    texts = [_item_texts(item) for item in call.items]
    return CallEstimate(
        items=tuple(map(_item, call.items, texts)),
        instructions=Part(_ITEM + text_tokens(call.instructions), hash(call.instructions)),
        fixed=_fixed(call),
        longest_text=max(map(len, (call.instructions, *chain.from_iterable(texts)))),
    )


def _item(item: Item, texts: Sequence[str]) -> Part:
    kind = item["type"]
    if kind == "reasoning":
        ciphertext = item["encrypted_content"]
        tokens = _ITEM + len(ciphertext) // _CHARACTERS_OF_REASONING
        return Part(tokens, hash(ciphertext), is_models=True, is_reasoning=True)
    images = [part["image_url"] for part in items.image_parts(item)]
    tokens = _ITEM + sum(map(image_tokens, images)) + sum(map(text_tokens, texts))
    is_models = kind == "function_call" or item.get("role") == "assistant"
    return Part(tokens, hash((kind, *texts, *images)), is_models=is_models)


def text_tokens(text: str) -> int:
    """Estimate a text."""
    classes = text.encode("utf-8", "replace").translate(_CLASSES)
    words = len(text.split())
    tokens = _BYTE * len(classes) + _WORD * words + _BEYOND * max(0, len(text) - _LONG_WORD * words)
    tokens += sum(more * classes.count(kind) for kind, more in _ASCII_CLASSES.items())
    if not text.isascii():
        tokens += sum(more * classes.count(kind) for kind, more in _OTHER_CLASSES.items())
    return round(tokens)


def image_tokens(url: str) -> int:
    """Estimate an image, by its size where it is a PNG."""
    _, _, data = url.partition(";base64,")
    start = base64.b64decode(data[:32]) if url.startswith("data:image/png") and len(data) >= 32 else b""
    if not start.startswith(_PNG):
        return _LARGEST_IMAGE
    pixels = int.from_bytes(start[16:20]) * int.from_bytes(start[20:24])
    return min(_LARGEST_IMAGE, max(_SMALLEST_IMAGE, pixels // _PIXELS))


def _fixed(call: Call) -> Part:
    values = (*call.tools, *(value for value in (call.text_format, call.extra) if value))
    texts = [encode(value).decode() for value in values]
    return Part(_ITEM + sum(_TOOL + text_tokens(text) for text in texts), hash(tuple(texts)))


def _item_texts(item: Item) -> list[str]:
    """Return the texts of a message, a call or a result."""
    match item["type"]:
        case "message":
            return [part["text"] for part in item["content"] if "text" in part]
        case "function_call":
            return [item["name"], item["arguments"]]
        case "function_call_output" if isinstance(item["output"], str):
            return [item["output"]]
        case "function_call_output":
            return [part["text"] for part in item["output"] if "text" in part]
        case _:
            return []


def _byte_classes() -> bytes:
    """Return the class of each byte of UTF-8 text; ``a`` is for lower case and spaces."""
    upper, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
    plain = dict.fromkeys(f"{upper.lower()} \t", "a")
    named = {**plain, **dict.fromkeys(upper, "A"), **dict.fromkeys(digits, "0"), "\n": "\n"}
    ascii_classes = "".join(named.get(chr(byte), ".") for byte in range(0x80))
    lengths = "+" * 0x40 + "1" * 0x0B + "2" * 0x15 + "3" * 0x10 + "4" * 0x10
    return (ascii_classes + lengths).encode()


_CLASSES: Final = _byte_classes()
