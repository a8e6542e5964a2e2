"""Refusals of the input: item types and fields, parts, images, ids, names, sealed reasoning."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..rules import (
    Incoming,
    Json,
    Refused,
    as_list,
    detail,
    error,
    missing,
    opens,
    unknown,
    unsupported,
    wrong_type,
    wrong_value,
)
from .pairs import PAIR_CHECKS
from .tools import name_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TYPES: dict[str, type | tuple[type, ...]] = {
    "a string": str,
    "an array": list,
    "an object": dict,
    "a string or an array": (str, list),
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """The fields of an item type and the JSON type of each; optional ones may be null."""

    required: dict[str, str]
    optional: dict[str, str]
    prefix: str


_SHAPES: dict[str, _Shape] = {
    "message": _Shape({"role": "a string", "content": "an array"}, {"phase": "a string"}, "msg_"),
    "reasoning": _Shape(
        {"summary": "an array"}, {"encrypted_content": "a string", "content": "an array"}, "rs_"
    ),
    "function_call": _Shape(
        {"name": "a string", "arguments": "a string", "call_id": "a string"},
        {"namespace": "a string", "encrypted_function_args": "a string"},
        "fc_",
    ),
    "function_call_output": _Shape({"call_id": "a string", "output": "a string or an array"}, {}, "fco_"),
    "custom_tool_call": _Shape(
        {"name": "a string", "input": "a string", "call_id": "a string"}, {"namespace": "a string"}, "ctc_"
    ),
    "custom_tool_call_output": _Shape(
        {"call_id": "a string", "output": "a string or an array"}, {"name": "a string"}, "ctco_"
    ),
    "local_shell_call": _Shape({"call_id": "a string", "action": "an object"}, {}, "lsh_"),
    "web_search_call": _Shape({"action": "an object"}, {}, "ws_"),
    "image_generation_call": _Shape({"result": "a string"}, {"revised_prompt": "a string"}, "ig_"),
    "tool_search_call": _Shape(
        {"call_id": "a string", "execution": "a string"}, {"arguments": "an object"}, "tsc_"
    ),
    "tool_search_output": _Shape(
        {"call_id": "a string", "tools": "an array"}, {"execution": "a string"}, "tso_"
    ),
    "compaction": _Shape({"encrypted_content": "a string"}, {}, "cmp_"),
    "compaction_summary": _Shape({"encrypted_content": "a string"}, {}, "cmp_"),
    "compaction_trigger": _Shape({}, {}, "cmp_"),
    "additional_tools": _Shape({"role": "a string", "tools": "an array"}, {}, "at_"),
}
_COMMON = {"type": "a string", "id": "a string", "status": "a string"}
_STATUSES = ("in_progress", "completed", "incomplete")
_ROLES = ("user", "assistant", "developer")
_PHASES = ("commentary", "final_answer")
_PARTS: dict[str, tuple[str, ...]] = {
    "user": ("input_text", "input_image", "input_audio"),
    "developer": ("input_text", "input_image"),
    "assistant": ("output_text", "refusal"),
    "output": ("input_text", "input_image", "input_audio", "encrypted_content"),
    "summary": ("summary_text",),
    "thought": ("reasoning_text", "text"),
}
_PART_FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
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
_DETAILS = ("auto", "low", "high", "original")
_DATA_URL = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,(.+)", re.DOTALL)
_BAD_IMAGE = "The image data you provided does not represent a valid image. Please check your input."


def _system(request: Incoming) -> Refused | None:
    if any(item.get("role") == "system" for item in request.items):
        return detail("System messages are not allowed")
    return None


def _shapes(request: Incoming) -> Refused | None:
    faults = (_shape_fault(item, f"input[{place}]") for place, item in enumerate(request.items))
    return next((fault for fault in faults if fault), None)


def _shape_fault(item: Json, param: str) -> Refused | None:
    kind = item.get("type")
    if kind is None:
        return missing(f"{param}.type")
    if kind == "item_reference":
        return _not_persisted(item.get("id"))
    if not isinstance(kind, str) or kind not in _SHAPES:
        return wrong_value(f"{param}.type", kind, tuple(_SHAPES))
    return _field_fault(item, _SHAPES[kind], param)


def _field_fault(item: Json, shape: _Shape, param: str) -> Refused | None:
    absent = next((field for field in shape.required if item.get(field) is None), None)
    if absent is not None:
        return _absent_fault(item, absent, param)
    known = {**shape.required, **shape.optional, **_COMMON}
    strange = next((field for field in item if field not in known), None)
    if strange is not None:
        return unknown(f"{param}.{strange}")
    for field, value in item.items():
        if value is not None and not isinstance(value, _TYPES[known[field]]):
            return wrong_type(f"{param}.{field}", known[field])
    return _identity_fault(item, shape.prefix, param)


def _absent_fault(item: Json, field: str, param: str) -> Refused:
    """Refuse an item that lacks a field: by its id alone nothing can be found, for nothing is stored."""
    return _not_persisted(item["id"]) if item.get("id") else missing(f"{param}.{field}")


def _identity_fault(item: Json, prefix: str, param: str) -> Refused | None:
    name, status = item.get("id"), item.get("status")
    if status is not None and status not in _STATUSES:
        return wrong_value(f"{param}.status", status, _STATUSES)
    if name is None:
        return None
    if not str(name).startswith(prefix):
        text = f"Invalid '{param}.id': '{name}'. Expected an ID that begins with '{prefix[:-1]}'."
        return error(text, f"{param}.id", "invalid_value")
    hollow = item["type"] == "reasoning" and not item.get("encrypted_content")
    return _not_persisted(name) if hollow else None


def _not_persisted(name: object) -> Refused:
    return error(
        f"Item with id '{name}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input.",
        "input",
        status=404,
    )


def _words(request: Incoming) -> Refused | None:
    """Hold roles, phases and the place of `additional_tools` to the values there are."""
    for place, item in enumerate(request.items):
        role, phase, tools = item.get("role"), item.get("phase"), item["type"] == "additional_tools"
        if tools and (place or not request.lite):
            return wrong_value(f"input[{place}].type", "additional_tools")
        allowed = ("developer",) if tools else _ROLES
        if role is not None and role not in allowed:
            return wrong_value(f"input[{place}].role", role, allowed)
        if phase is not None and (phase not in _PHASES or role != "assistant"):
            return wrong_value(f"input[{place}].phase", phase, _PHASES)
    return None


def _parts(request: Incoming) -> Refused | None:
    for param, parts, allowed in _part_lists(request.items):
        for place, part in enumerate(parts):
            fault = _part_fault(part, f"{param}[{place}]", allowed, request)
            if fault:
                return fault
    return None


def _part_lists(items: list[Json]) -> Iterator[tuple[str, list[Any], tuple[str, ...]]]:
    """Yield every list of parts with its place and the types it may hold."""
    for place, item in enumerate(items):
        kind = item["type"]
        if kind == "message":
            yield f"input[{place}].content", as_list(item["content"]), _PARTS[item["role"]]
        if kind.endswith("_call_output"):
            yield f"input[{place}].output", as_list(item["output"]), _PARTS["output"]
        if kind == "reasoning":
            yield f"input[{place}].summary", as_list(item["summary"]), _PARTS["summary"]
            yield f"input[{place}].content", as_list(item.get("content")), _PARTS["thought"]


def _part_fault(part: object, param: str, allowed: tuple[str, ...], request: Incoming) -> Refused | None:
    if not isinstance(part, dict):
        return wrong_type(param, "an object")
    kind = part.get("type")
    if kind not in allowed:
        return wrong_value(f"{param}.type", kind, allowed)
    needed, others = _PART_FIELDS[str(kind)]
    if part.get(needed) is None:
        return missing(f"{param}.{needed}")
    if not isinstance(part[needed], str):
        return wrong_type(f"{param}.{needed}", "a string")
    strange = next((field for field in part if field not in ("type", needed, *others)), None)
    if strange is not None:
        return unknown(f"{param}.{strange}")
    return _image_fault(part, param, request) if kind == "input_image" else None


def _image_fault(part: Json, param: str, request: Incoming) -> Refused | None:
    if "image" not in as_list(request.entry.get("input_modalities", ["image"])):
        return unsupported(f"{param}.type", "input_image", request.slug)
    if part.get("detail", "auto") not in _DETAILS:
        return wrong_value(f"{param}.detail", part["detail"], _DETAILS)
    if part["image_url"].startswith("https://") and not request.lite:
        return None
    return None if _is_image(part["image_url"]) else error(_BAD_IMAGE, param)


def _is_image(url: str) -> bool:
    match = _DATA_URL.fullmatch(url)
    if match is None:
        return False
    try:
        return bool(base64.b64decode(match.group(1), validate=True))
    except ValueError:
        return False


def _names(request: Incoming) -> Refused | None:
    for place, item in enumerate(request.items):
        if item["type"] in ("function_call", "custom_tool_call"):
            fault = name_fault(item["name"], f"input[{place}].name")
            if fault:
                return fault
    return None


def _sealed(request: Incoming) -> Refused | None:
    """Open every sealed thought: it is bound to account and model (docs/backend.md, Reasoning replay)."""
    blobs = (item["encrypted_content"] for item in request.items if item.get("encrypted_content") is not None)
    for blob in blobs:
        if not opens(blob, request.policy, request.slug):
            shown = f"{blob[:4]}...{blob[-4:]}"
            text = f"The encrypted content {shown} could not be verified. "
            reason = "Reason: Encrypted content could not be decrypted or parsed."
            return error(text + reason, None, "invalid_encrypted_content")
    return None


ITEM_CHECKS: tuple[Callable[[Incoming], Refused | None], ...] = (
    _system,
    _shapes,
    _words,
    _parts,
    _names,
    *PAIR_CHECKS,
    _sealed,
)
