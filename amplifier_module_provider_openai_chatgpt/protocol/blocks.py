"""One output item as one content block, and the steps that report its growth to a listener."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic_core import from_json, to_json

from .citations import MarkFilter, shifted
from .text import clean_text, json_text

Kind: TypeAlias = Literal["text", "thinking", "tool_use"]

KINDS: Mapping[str, Kind] = {
    "message": "text",
    "reasoning": "thinking",
    "function_call": "tool_use",
    "custom_tool_call": "tool_use",
}
RAW = "_raw"


@dataclass(frozen=True, slots=True)
class BlockStart:
    """A block started; ``name`` is the tool's name, else empty."""

    index: int
    kind: Kind
    name: str = ""


@dataclass(frozen=True, slots=True)
class BlockDelta:
    """A block grew by ``text``, never empty."""

    index: int
    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """A block is complete, or its stream was interrupted."""

    index: int
    kind: Kind


Step: TypeAlias = BlockStart | BlockDelta | BlockEnd


@dataclass(slots=True)
class Block:
    """One item while it arrives. ``item`` is None until the finished item has arrived.

    ``announced`` is the item as it began; ``fragments`` wait to be shown, ``pieces`` were; ``parts_done``
    are the texts, or the arguments, that events other than the finished item called complete.
    """

    index: int
    kind: Kind
    name: str = ""
    item: Mapping[str, Any] | None = None
    ended: bool = False
    section: object = None
    announced: Mapping[str, Any] = field(default_factory=dict)
    fragments: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    parts_done: list[str] = field(default_factory=list)
    marks: MarkFilter = field(default_factory=MarkFilter)

    @property
    def text(self) -> str:
        """The text emitted so far."""
        return "".join(self.pieces)

    def take_fragments(self) -> str:
        """Join what arrived since the last call; half of a surrogate pair waits for the other half."""
        text = "".join(self.fragments)
        self.fragments.clear()
        if text and "\ud800" <= text[-1] <= "\udbff":
            self.fragments.append(text[-1])
            text = text[:-1]
        return clean_text(text)

    def output_item(self) -> dict[str, Any] | None:
        """Return the output item that a continuation starts from; None if there is nothing to send back."""
        if self.item is None:
            if self.kind != "text" or not self.text:
                return None
            part = {"type": "output_text", "text": self.text}
            return {"type": "message", "role": "assistant", "content": [part]}
        if self.kind == "thinking" and not isinstance(self.item.get("encrypted_content"), str):
            return None
        return dict(self.item)


def item_text(item: Mapping[str, Any], kind: Kind) -> str:
    """Return the visible text of a finished message or reasoning item.

    Parts of a message are joined without a separator, sections of a summary by an empty line.
    """
    if kind == "text":
        return "".join(_texts(item.get("content")))
    return "\n\n".join(filter(None, _texts(item.get("summary")))) or "".join(_texts(item.get("content")))


def is_refusal(item: Mapping[str, Any]) -> bool:
    """Return whether the model declined to answer in this message."""
    return any(part.get("type") == "refusal" for part in _parts(item.get("content")))


def citations(item: Mapping[str, Any]) -> list[Any]:
    """Return the citations of a message, in order."""
    found = [
        shifted(notes, text if isinstance(text := part.get("text"), str) else "")
        for part in _parts(item.get("content"))
        if isinstance(notes := part.get("annotations"), list)
    ]
    return [note for notes in found for note in notes]


def call_id(item: Mapping[str, Any]) -> str:
    """Return the id that pairs a call with its result; never empty, because hosts fail on an empty one."""
    for key in ("call_id", "id"):
        if isinstance(value := item.get(key), str) and value:
            return clean_text(value)
    return f"call_{uuid.uuid4().hex}"


def call_arguments(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments as an object; anything else is kept unchanged under ``_raw``."""
    if item.get("type") == "custom_tool_call":
        return {RAW: item.get("input")}
    raw = item.get("arguments")
    if isinstance(raw, dict):
        return raw
    if not isinstance(raw, str):
        return {} if raw is None else {RAW: raw}
    raw = clean_text(raw)
    if not raw.strip():
        return {}
    try:
        parsed = from_json(raw, allow_inf_nan=False)
    except ValueError:
        return {RAW: raw}
    return parsed if isinstance(parsed, dict) and _is_finite(parsed) else {RAW: raw}


def _is_finite(parsed: dict[str, Any]) -> bool:
    """Return whether every number fits JSON: 1e999 is parsed as infinity."""
    return to_json(parsed, inf_nan_mode="null") == to_json(parsed, inf_nan_mode="constants")


def arguments_text(arguments: Mapping[str, Any]) -> str:
    """Return the arguments as the model wrote them if ``_raw`` has other JSON than an object, else as JSON.

    What is not JSON at all stays in its ``_raw``: the backend may reject it as it is.
    """
    raw = arguments.get(RAW) if len(arguments) == 1 else None
    if isinstance(raw, str):
        raw = clean_text(raw)
        if call_arguments({"arguments": raw}) == {RAW: raw} and _is_json(raw):
            return raw
    return json_text(arguments)


def _is_json(text: str) -> bool:
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _parts(value: object) -> list[Mapping[str, Any]]:
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _texts(value: object) -> list[str]:
    texts = (part.get("text", part.get("refusal")) for part in _parts(value))
    return [clean_text(text) for text in texts if isinstance(text, str)]
