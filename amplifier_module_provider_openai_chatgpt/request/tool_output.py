"""The output of a tool as the backend accepts it: text, or a list of parts if there is an image in it.

Wherever an image is in the output (a block, a whole MCP result, a field of an object, JSON text), the model
gets it as an image. Other binary data becomes a short note with type and size, never base64 text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from amplifier_core.message_models import ImageBlock, TextBlock
from pydantic import BaseModel
from pydantic_core import from_json

from ..protocol import items
from ..protocol.text import DEEPEST, clean_text, json_text
from .binary import BASE64_STARTS, SHORTEST_BINARY, Encoded, decoded, found_in_text, kind_of
from .images import TYPE_KEYS, declared_type, described, image_source, type_of
from .lengths import shortened

if TYPE_CHECKING:
    from ..protocol.items import Output, Part
    from .images import Images

_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_TEXT_KEYS = frozenset({"type", "text", "annotations", "visibility", "cache_control", "citations", "_meta"})
_BINARY_TYPES = frozenset(
    {"base64", "audio", "input_audio", "video", "file", "document", "blob", "resource", "image"}
)
_READABLE = re.compile(r"text/|application/(?:[\w.+-]*\+)?(?:json|xml)|application/(?:javascript|yaml)")
# How a text starts that can be, or as JSON (group 1) can contain, binary data.
_START = re.compile(rf"""\s*([\[{{"])|data:|{"|".join(map(re.escape, BASE64_STARTS))}""", re.IGNORECASE)
_MEDIA_MARKS = ('"data"', '"blob"', '"image', "base64,", *BASE64_STARTS)


def read_output(value: object, images: Images) -> Output:
    """Return text unchanged, blocks as text or parts, any other value as JSON; images become parts."""
    if isinstance(value, str) and not _may_have_media(value):
        return shortened(clean_text(value))
    reader, value = _Reader(images), _plain(value)
    blocks = isinstance(value, list) and bool(value) and all(_known(block) is not None for block in value)
    parts = reader.content(value)
    if reader.found or blocks or isinstance(value, str):
        return _joined(parts)
    return shortened(json_text(value))


def _may_have_media(text: str) -> bool:
    start = _START.match(text)
    return start is not None and (start[1] is None or any(mark in text for mark in _MEDIA_MARKS))


def _media_in(text: str) -> object:
    """Return what to read instead of a text that may contain binary data: itself, or its JSON; else None."""
    if found_in_text(text):
        return text
    if not _may_have_media(text):
        return None
    try:
        parsed: object = from_json(text)
    except ValueError:
        return None
    return parsed


def _plain(value: object) -> object:
    """Return the dictionary of a foreign model object, such as an MCP library's result."""
    if isinstance(value, BaseModel) and not isinstance(value, TextBlock | ImageBlock):
        return value.model_dump()
    return value


def _joined(parts: list[Part]) -> Output:
    if any(part["type"] == "input_image" for part in parts):
        return [part for part in parts if part.get("text") != ""]
    return shortened("\n".join(part["text"] for part in parts))


def _known(block: object) -> str | Mapping[str, object] | None:
    """Return the text of a text block or the source of an image block; None for anything else."""
    if isinstance(block, TextBlock):
        return str(block.text)
    if isinstance(block, ImageBlock):
        return dict(block.source)
    if not isinstance(block, Mapping):
        return None
    text = block.get("text")
    if isinstance(text, str) and type_of(block) in _TEXT_TYPES and _TEXT_KEYS.issuperset(block):
        return text
    return image_source(block)


@dataclass(slots=True)
class _Reader:
    """Reads one output. ``found`` counts binary data; ``pending`` are images of the value being read.

    ``links`` is True for real blocks; in JSON, an object with a link to an image is just data.
    """

    images: Images
    links: bool = True
    found: int = 0
    pending: list[Part] = field(default_factory=list)

    def content(self, value: object) -> list[Part]:
        """Return the parts of a whole output: of each block of a list or an MCP result, else of the value."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, list):
            return self.blocks(value)
        if isinstance(value, Mapping) and _is_result(value):
            rest = {key: inner for key, inner in value.items() if key not in {"content", "_meta", "meta"}}
            rest = {key: inner for key, inner in rest.items() if inner not in (None, False)}
            return [*self.blocks(value["content"]), *(self._value(rest) if rest else ())]
        return self._block(value)

    def blocks(self, blocks: list[Any]) -> list[Part]:
        return [part for block in blocks for part in self._block(block)]

    def _block(self, block: object) -> list[Part]:
        block = _plain(block)
        known = _known(block)
        if isinstance(known, str):
            return self._text(known)
        if known is not None and (self.links or _has_data(known)):
            self.found += 1
            return [self.images.part(known)]
        return self._value(block)

    def _text(self, text: str) -> list[Part]:
        """Return the parts of a text: those of its JSON or its data if there is binary data in it."""
        value, before = _media_in(text), self.found
        if value is not None:
            before_links, self.links = self.links, False
            parts = self._value(text) if value is text else self.content(value)
            self.links = before_links
            if self.found > before:
                return parts
        return [items.text_part(shortened(text))]

    def _value(self, value: object) -> list[Part]:
        """Return the parts of any value: its JSON, or its text, followed by the images in it."""
        self.pending = []
        plain = self._without_binary(value, 0)
        if self.pending and isinstance(plain, str):
            return self.pending
        text = plain if isinstance(plain, str) else json_text(plain)
        return [items.text_part(shortened(text)), *self.pending]

    def _without_binary(self, value: object, depth: int) -> object:
        """Copy a value with images and other binary data replaced by short texts."""
        if isinstance(value, str | bytes | bytearray):
            encoded = found_in_text(value) if isinstance(value, str) else decoded(value)
            return value if encoded is None else self._replaced(encoded)
        if depth > DEEPEST:
            return value
        value = _plain(value)
        if isinstance(value, Mapping):
            return self._object(value, depth)
        if isinstance(value, list | tuple):
            return [self._without_binary(inner, depth + 1) for inner in value]
        return value

    def _object(self, value: Mapping[Any, object], depth: int) -> object:
        binary = {key: encoded for key in ("data", "blob") if (encoded := _binary(value, key))}
        return {
            key: self._replaced(binary[key]) if key in binary else self._without_binary(inner, depth + 1)
            for key, inner in value.items()
        }

    def _replaced(self, encoded: Encoded) -> str:
        """Return the text in place of binary data; an image is added to the parts that follow."""
        self.found += 1
        if not (kind_of(encoded.data) or encoded.declared).startswith("image/"):
            return f"[binary data left out: {described(encoded)}]"
        part = self.images.part({"data": encoded.text, "mimeType": encoded.declared})
        if "text" in part:
            return part["text"]
        self.pending.append(part)
        return f"[image {len(self.pending)}, see below]"


def _has_data(source: Mapping[str, object]) -> bool:
    """Return whether an image's source has its data, rather than a link to it."""
    url = source.get("url") or source.get("image_url")
    url = url.get("url") if isinstance(url, Mapping) else url
    return source.get("data") is not None or (isinstance(url, str) and url[:5].lower() == "data:")


def _is_result(value: Mapping[str, object]) -> bool:
    """Return whether an object is an MCP result: its ``content`` is a list of blocks with a type."""
    content = value.get("content")
    return (
        isinstance(content, list)
        and bool(content)
        and all(isinstance(block, Mapping) and isinstance(block.get("type"), str) for block in content)
    )


def _binary(value: Mapping[Any, object], key: str) -> Encoded | None:
    """Return the binary data under ``data`` or ``blob`` of an object that says what it is."""
    text, declared = value.get(key), declared_type(value)
    if not isinstance(text, str) or len(text) < SHORTEST_BINARY or _READABLE.match(declared):
        return None
    says_so = key == "blob" or type_of(value) in _BINARY_TYPES or not TYPE_KEYS.isdisjoint(value)
    return decoded(text, declared) if says_so else None
