"""Rules for input items: their types and fields, roles, and what is never replayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import from_json

from ..rules import (
    Incoming,
    Json,
    Refused,
    as_list,
    as_object,
    detail,
    error,
    missing,
    unknown,
    wrong_type,
    wrong_value,
)
from .rule import Rule
from .tools import name_fault

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    "message": _Shape({"role": "a string", "content": "a string or an array"}, {"phase": "a string"}, "msg_"),
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
# The official client puts its own metadata on items, which is accepted [source].
_COMMON = {
    "type": "a string",
    "id": "a string",
    "status": "a string",
    "internal_chat_message_metadata_passthrough": "an object",
}
_LONGEST_ARGUMENTS = 1_048_576
_LONGEST_TEXT = 10_485_760
_ROLES = ("user", "assistant", "developer")
_PHASES = ("commentary", "final_answer")


def _placed(request: Incoming) -> Iterator[tuple[str, Json, _Shape]]:
    for place, item in enumerate(request.items):
        yield f"input[{place}]", item, _SHAPES[item["type"]]


def _system(request: Incoming) -> Refused | None:
    if any(item.get("role") == "system" for item in request.items):
        return detail("System messages are not allowed")
    return None


def _types(request: Incoming) -> Refused | None:
    for place, item in enumerate(request.items):
        kind, param = item.get("type"), f"input[{place}].type"
        if kind is None:
            return missing(param)
        if kind == "item_reference":
            return _not_persisted(item.get("id"))
        if not isinstance(kind, str) or kind not in _SHAPES:
            return wrong_value(param, kind, tuple(_SHAPES))
    return None


def _required(request: Incoming) -> Refused | None:
    for param, item, shape in _placed(request):
        absent = next((field for field in shape.required if item.get(field) is None), None)
        if absent is not None:
            return _not_persisted(item["id"]) if item.get("id") else missing(f"{param}.{absent}")
    return None


def _fields(request: Incoming) -> Refused | None:
    for param, item, shape in _placed(request):
        known = {**shape.required, **shape.optional, **_COMMON}
        strange = next((field for field in item if field not in known), None)
        if strange is not None:
            return unknown(f"{param}.{strange}")
        for field, value in item.items():
            if value is not None and not isinstance(value, _TYPES[known[field]]):
                return wrong_type(f"{param}.{field}", known[field])
    return None


def _ids(request: Incoming) -> Refused | None:
    """Refuse a replayed id: nothing is stored under it (docs/backend.md, Items).

    [unsure]: ids with a known prefix and their content have been sent by the official client since June;
    they are refused here because a client that keeps ids loses the conversation where the content is gone.
    """
    for param, item, shape in _placed(request):
        name = item.get("id")
        if name is None:
            continue
        if str(name).startswith(shape.prefix):
            return _not_persisted(name)
        text = f"Invalid '{param}.id': '{name}'. Expected an ID that begins with '{shape.prefix[:-1]}'."
        return error(text, f"{param}.id", "invalid_value")
    return None


def _status(request: Incoming) -> Refused | None:
    """Refuse a replayed status. [unsure]: the official client leaves it out (docs/backend.md, Items)."""
    params = (f"{param}.status" for param, item, _ in _placed(request) if item.get("status") is not None)
    return next(map(unknown, params), None)


def _not_persisted(name: object) -> Refused:
    return error(
        f"Item with id '{name}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input.",
        "input",
        status=404,
    )


def _roles(request: Incoming) -> Refused | None:
    for param, item, _ in _placed(request):
        role, phase = item.get("role"), item.get("phase")
        allowed = ("developer",) if item["type"] == "additional_tools" else _ROLES
        if role is not None and role not in allowed:
            return wrong_value(f"{param}.role", role, allowed)
        if phase is not None and (phase not in _PHASES or role != "assistant"):
            return wrong_value(f"{param}.phase", phase, _PHASES)
    return None


def _additional_tools(request: Incoming) -> Refused | None:
    """Refuse the tools of Lite in the classic shape, and anywhere but at the beginning."""
    has_them = request.lite or request.policy.plan is not None
    for place, item in enumerate(request.items):
        if item["type"] == "additional_tools" and (place or not has_them):
            return wrong_value(f"input[{place}].type", "additional_tools")
    return None


def _names(request: Incoming) -> Refused | None:
    calls = ((param, item) for param, item, _ in _placed(request) if item["type"] in _CALLS)
    return next(
        (fault for param, item in calls if (fault := name_fault(item["name"], f"{param}.name"))), None
    )


def _arguments(request: Incoming) -> Refused | None:
    """Refuse arguments that are not JSON. [unsure]: the answer to them is not known."""
    for param, item, _ in _placed(request):
        if item["type"] == "function_call" and not _is_json(item["arguments"]):
            return error(f"Invalid '{param}.arguments': not JSON.", f"{param}.arguments", "invalid_value")
    return None


def _length(request: Incoming) -> Refused | None:
    """Refuse texts beyond the endpoint's limits [seen] (docs/backend.md, Items)."""
    for param, text, most in _texts(request):
        if len(text) > most:
            said = f"string too long. Expected a string with maximum length {most}"
            shown = f"Invalid '{param}': {said}, but got a string with length {len(text)} instead."
            return error(shown, param, "string_above_max_length")
    return None


def _texts(request: Incoming) -> Iterator[tuple[str, str, int]]:
    for param, item, _ in _placed(request):
        yield from (
            (f"{param}.{field}", value, _LONGEST_ARGUMENTS if field == "arguments" else _LONGEST_TEXT)
            for field, value in item.items()
            if isinstance(value, str)
        )
        for field in ("content", "output"):
            for place, part in enumerate(as_list(item.get(field))):
                text = as_object(part).get("text")
                yield f"{param}.{field}[{place}].text", text if isinstance(text, str) else "", _LONGEST_TEXT


def _is_json(text: str) -> bool:
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True


_CALLS = ("function_call", "custom_tool_call")

RULES = (
    Rule("items.system", "Items", _system),
    Rule("items.types", "Items", _types),
    Rule("items.required", "Items", _required),
    Rule("items.fields", "Items", _fields),
    Rule("items.ids", "Items", _ids),
    Rule("items.status", "Items", _status),
    Rule("items.additional-tools", "Lite", _additional_tools),
    Rule("items.roles", "Items", _roles),
)
CALL_RULES = (
    Rule("items.names", "Items", _names),
    Rule("items.length", "Items", _length),
    Rule("items.arguments", "Items", _arguments),
)
