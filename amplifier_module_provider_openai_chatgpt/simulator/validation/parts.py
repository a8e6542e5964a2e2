"""Rules for the content of items: which parts each list may hold, and the fields of each part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..rules import Incoming, Json, Refused, as_list, error, missing, unknown, wrong_type, wrong_value
from .rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALLOWED: dict[str, tuple[str, ...]] = {
    "user": ("input_text", "input_image", "input_audio"),
    "developer": ("input_text", "input_image"),
    "assistant": ("output_text", "refusal"),
    "output": ("input_text", "input_image", "input_audio", "encrypted_content"),
    "summary": ("summary_text",),
    "thought": ("reasoning_text", "text"),
}
_FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "input_text": ("text", ()),
    "input_image": ("image_url", ("detail",)),
    "input_audio": ("audio_url", ()),
    "output_text": ("text", ("annotations", "logprobs")),
    "refusal": ("refusal", ()),
    "summary_text": ("text", ()),
    "reasoning_text": ("text", ()),
    "text": ("text", ()),
    "encrypted_content": ("encrypted_content", ()),
}


def parts_of(items: list[Json]) -> Iterator[tuple[str, Json]]:
    """Yield every part that is an object, with its place."""
    for param, parts, _ in _lists(items):
        yield from ((f"{param}[{n}]", part) for n, part in enumerate(parts) if isinstance(part, dict))


def _lists(items: list[Json]) -> Iterator[tuple[str, list[Any], tuple[str, ...]]]:
    """Yield every list of parts with its place and the types it may hold."""
    for place, item in enumerate(items):
        kind = item["type"]
        if kind == "message":
            yield f"input[{place}].content", as_list(item["content"]), _ALLOWED[item["role"]]
        if kind.endswith("_call_output"):
            yield f"input[{place}].output", as_list(item["output"]), _ALLOWED["output"]
        if kind == "reasoning":
            yield f"input[{place}].summary", as_list(item["summary"]), _ALLOWED["summary"]
            yield f"input[{place}].content", as_list(item.get("content")), _ALLOWED["thought"]


def _types(request: Incoming) -> Refused | None:
    for param, parts, allowed in _lists(request.items):
        for place, part in enumerate(parts):
            if not isinstance(part, dict):
                return wrong_type(f"{param}[{place}]", "an object")
            if part.get("type") not in allowed:
                return wrong_value(f"{param}[{place}].type", part.get("type"), allowed)
    return None


def _fields(request: Incoming) -> Refused | None:
    for param, part in parts_of(request.items):
        needed, others = _FIELDS[part["type"]]
        if part.get(needed) is None:
            return missing(f"{param}.{needed}")
        if not isinstance(part[needed], str):
            return wrong_type(f"{param}.{needed}", "a string")
        strange = next((field for field in part if field not in ("type", needed, *others)), None)
        if strange is not None:
            return unknown(f"{param}.{strange}")
    return None


def _empty(request: Incoming) -> Refused | None:
    """Refuse a message without content, and an empty text in one. [unsure]: reported by no client."""
    for place, item in enumerate(request.items):
        param = f"input[{place}].content"
        if item["type"] != "message":
            continue
        if not item["content"]:
            return error(f"Invalid '{param}': empty content.", param, "invalid_value")
        for number, part in enumerate(as_list(item["content"])):
            if part["type"] == "input_text" and not part["text"]:
                text = f"Invalid '{param}[{number}].text': empty string."
                return error(text, f"{param}[{number}].text", "invalid_value")
    return None


RULES = (
    Rule("parts.types", "Items", _types),
    Rule("parts.fields", "Items", _fields),
    Rule("parts.empty", "Items", _empty),
)
