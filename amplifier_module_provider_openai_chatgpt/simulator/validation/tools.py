"""Refusals of tools and of the choice among them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..rules import (
    Incoming,
    Json,
    Refused,
    as_list,
    as_object,
    error,
    missing,
    unknown,
    wrong_type,
    wrong_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WIRE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LITE_NAMESPACE = "functions"

_NAME_PATTERN = "^[a-zA-Z0-9_-]+$"
_LONGEST_NAME = 64
_FIELDS: dict[str, frozenset[str]] = {
    "function": frozenset({"type", "name", "description", "strict", "parameters", "defer_loading"}),
    "custom": frozenset({"type", "name", "description", "format", "defer_loading"}),
    "namespace": frozenset({"type", "name", "description", "tools"}),
    "tool_search": frozenset({"type", "execution", "description", "parameters"}),
    "web_search": frozenset(
        {
            "type",
            "external_web_access",
            "indexed_web_access",
            "filters",
            "user_location",
            "search_context_size",
            "search_content_types",
        }
    ),
    "image_generation": frozenset({"type", "size", "quality", "background", "output_format"}),
}
_IN_NAMESPACE = ("function", "custom")
_IN_LITE = ("namespace", "tool_search")
_MODES = ("auto", "none", "required")
_NAMED = ("function", "custom")
_HOSTED = ("web_search", "image_generation")


def name_fault(name: object, param: str) -> Refused | None:
    """Return what is wrong with a tool's name, in `tools` or in the history."""
    if name is None:
        return missing(param)
    if not isinstance(name, str):
        return wrong_type(param, "a string")
    if len(name) > _LONGEST_NAME:
        text = f"string too long. Expected a string with maximum length {_LONGEST_NAME}"
        return error(
            f"Invalid '{param}': {text}, but got a string with length {len(name)} instead.",
            param,
            "string_above_max_length",
        )
    if WIRE_NAME.fullmatch(name):
        return None
    text = f"string does not match pattern. Expected a string that matches the pattern '{_NAME_PATTERN}'."
    return error(f"Invalid '{param}': {text}", param, "invalid_value")


def strict_schema_fault(schema: object, context: tuple[str, ...] = ()) -> str | None:
    """Return why `schema` cannot be used with `strict: true`, or None where it can."""
    if not isinstance(schema, dict):
        return None
    return _object_fault(schema, context) or _inner_fault(schema, context)


def _object_fault(schema: Json, context: tuple[str, ...]) -> str | None:
    properties = as_object(schema.get("properties"))
    if schema.get("type") != "object" and not properties:
        return None
    if schema.get("additionalProperties") is not False:
        return f"In context={context}, 'additionalProperties' is required to be supplied and to be false."
    required = as_list(schema.get("required"))
    left_out = next((name for name in properties if name not in required), None)
    if left_out is None:
        return None
    return (
        f"In context={context}, 'required' is required to be supplied and to be an array including every "
        f"key in properties. Missing '{left_out}'."
    )


def _inner_fault(schema: Json, context: tuple[str, ...]) -> str | None:
    inner = [
        ((*context, field, name), value)
        for field in ("properties", "$defs")
        for name, value in as_object(schema.get(field)).items()
    ]
    inner += [((*context, "anyOf", str(n)), value) for n, value in enumerate(as_list(schema.get("anyOf")))]
    inner += [((*context, "items"), schema.get("items"))]
    faults = (strict_schema_fault(value, place) for place, value in inner)
    return next((fault for fault in faults if fault), None)


def declared_names(tools: list[Json]) -> Iterator[tuple[str, object]]:
    """Yield (namespace, name) of each callable tool; the namespace is empty where none need be named."""
    for tool in tools:
        if tool.get("type") != "namespace":
            yield "", tool.get("name")
            continue
        space = str(tool.get("name"))
        for inner in as_list(tool.get("tools")):
            yield "" if space == LITE_NAMESPACE else space, as_object(inner).get("name")


def tools_fault(tools: object, param: str, kinds: tuple[str, ...] = tuple(_FIELDS)) -> Refused | None:
    """Return what is wrong with an array of tools of these kinds."""
    if not isinstance(tools, list):
        return wrong_type(param, "an array of tools")
    faults = (_tool_fault(tool, f"{param}[{place}]", kinds) for place, tool in enumerate(tools))
    return next((fault for fault in faults if fault), None)


def _tool_fault(tool: object, param: str, kinds: tuple[str, ...]) -> Refused | None:
    if not isinstance(tool, dict):
        return wrong_type(param, "an object")
    kind = tool.get("type")
    if kind not in kinds:
        return missing(f"{param}.type") if kind is None else wrong_value(f"{param}.type", kind, kinds)
    if kind in _TOOL_CHECKS and (fault := name_fault(tool.get("name"), f"{param}.name")):
        return fault
    strange = next((field for field in tool if field not in _FIELDS[kind]), None)
    if strange is not None:
        return unknown(f"{param}.{strange}")
    if not isinstance(tool.get("description", ""), str):
        return wrong_type(f"{param}.description", "a string")
    check = _TOOL_CHECKS.get(kind)
    return check(tool, param) if check else None


def _function_fault(tool: Json, param: str) -> Refused | None:
    strict, parameters = tool.get("strict"), tool.get("parameters")
    if strict is not None and not isinstance(strict, bool):
        return wrong_type(f"{param}.strict", "a boolean")
    if parameters is None:
        return missing(f"{param}.parameters")
    if not isinstance(parameters, dict):
        return wrong_type(f"{param}.parameters", "an object")
    kind = parameters.get("type")
    fault = strict_schema_fault(parameters) if strict else None
    if kind != "object":
        fault = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    if fault is None:
        return None
    text = f"Invalid schema for function '{tool['name']}': {fault}"
    return error(text, f"{param}.parameters", "invalid_function_parameters")


def _custom_fault(tool: Json, param: str) -> Refused | None:
    form = tool.get("format")
    if form is None or form == {"type": "text"}:
        return None
    form = as_object(form)
    if form.get("type") != "grammar":
        return wrong_value(f"{param}.format.type", form.get("type"), ("grammar", "text"))
    if form.get("syntax") not in ("lark", "regex"):
        return wrong_value(f"{param}.format.syntax", form.get("syntax"), ("lark", "regex"))
    return None if isinstance(form.get("definition"), str) else missing(f"{param}.format.definition")


def _namespace_fault(tool: Json, param: str) -> Refused | None:
    return tools_fault(tool.get("tools"), f"{param}.tools", _IN_NAMESPACE)


_TOOL_CHECKS: dict[str, Callable[[Json, str], Refused | None]] = {
    "function": _function_fault,
    "custom": _custom_fault,
    "namespace": _namespace_fault,
}


def _classic_tools(request: Incoming) -> Refused | None:
    tools = request.body.get("tools")
    return None if request.lite or tools is None else tools_fault(tools, "tools")


def _lite_tools(request: Incoming) -> Refused | None:
    """In Lite the tools lead the input, and plain ones are wrapped in a namespace (docs/backend.md, Lite)."""
    if not request.lite:
        return None
    first = request.items[0]
    if first.get("type") != "additional_tools":
        return wrong_value("input[0].type", first.get("type"), ("additional_tools",))
    return tools_fault(first.get("tools"), "input[0].tools", _IN_LITE)


def _choice(request: Incoming) -> Refused | None:
    choice = request.body.get("tool_choice")
    if choice is None:
        return None
    if isinstance(choice, str):
        return _mode_fault(choice, request)
    if not isinstance(choice, dict):
        return wrong_type("tool_choice", "a string or an object")
    kind = choice.get("type")
    if kind in _HOSTED:
        found = any(tool.get("type") == kind for tool in request.tools)
    elif kind in _NAMED:
        found = choice.get("name") in [name for _, name in declared_names(request.tools)]
    else:
        return wrong_value("tool_choice.type", kind, (*_NAMED, *_HOSTED))
    strange = next((field for field in choice if field not in ("type", "name")), None)
    if strange is not None:
        return unknown(f"tool_choice.{strange}")
    return None if found else error(f"Tool choice '{kind}' not found in 'tools' parameter.", "tool_choice")


def _mode_fault(choice: str, request: Incoming) -> Refused | None:
    if choice not in _MODES:
        return wrong_value("tool_choice", choice, _MODES)
    if choice == "required" and not request.tools:
        return error("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
    return None


TOOL_CHECKS: tuple[Callable[[Incoming], Refused | None], ...] = (_classic_tools, _lite_tools, _choice)
