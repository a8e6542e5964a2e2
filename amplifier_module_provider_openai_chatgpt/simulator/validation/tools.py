"""Rules for the declared tools and for the choice among them.

The words are those of the public API; for kinds, fields, grammars and choices they are [unsure] here.
"""

from __future__ import annotations

import re
from collections import Counter
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
from .rule import Rule
from .schemas import FAULTS, strict_fault

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
_CLASSIC = tuple(_FIELDS)
_IN_NAMESPACE = ("function", "custom")
# Hosted search is accepted in Lite and does nothing there [seen].
_IN_LITE = ("namespace", "tool_search", "web_search")
# The plan service takes plain definitions there; that it takes more is the kinder reading [unsure].
_IN_PLAN_INPUT = ("function", "custom", "namespace", "web_search")
_NAMED = ("function", "custom", "namespace")
_MODES = ("auto", "none", "required")
_CHOSEN = ("function", "custom")
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


def declared_names(tools: list[Json]) -> Iterator[tuple[str, object]]:
    """Yield (namespace, name) of each callable tool; the namespace is empty where none need be named."""
    for tool in tools:
        if tool.get("type") != "namespace":
            yield "", tool.get("name")
            continue
        space = str(tool.get("name"))
        for inner in as_list(tool.get("tools")):
            yield "" if space == LITE_NAMESPACE else space, as_object(inner).get("name")


def _placed(request: Incoming) -> Iterator[tuple[str, object]]:
    """Yield the declared tools with their place, those of a namespace after it."""
    lists = ((param, as_list(tools)) for param, tools in request.declarations)
    for param, tool in ((f"{param}[{n}]", tool) for param, tools in lists for n, tool in enumerate(tools)):
        yield param, tool
        if isinstance(tool, dict) and tool.get("type") == "namespace":
            inner = enumerate(as_list(tool.get("tools")))
            yield from ((f"{param}.tools[{number}]", one) for number, one in inner)


def _each(check: Callable[[Json, str], Refused | None]) -> Callable[[Incoming], Refused | None]:
    """Return a check of all declared tools; those that are not objects are refused before."""

    def checked(request: Incoming) -> Refused | None:
        tools = ((param, tool) for param, tool in _placed(request) if isinstance(tool, dict))
        return next((fault for param, tool in tools if (fault := check(tool, param))), None)

    return checked


def _lite_shape(request: Incoming) -> Refused | None:
    """Refuse a Lite input that does not begin with its tools (docs/backend.md, Lite)."""
    if not request.lite or request.items[0].get("type") == "additional_tools":
        return None
    return wrong_value("input[0].type", request.items[0].get("type"), ("additional_tools",))


def _kinds(request: Incoming) -> Refused | None:
    for param, tools in request.declarations:
        is_absent = tools is None and param == "tools"
        if not is_absent and not isinstance(tools, list):
            return wrong_type(param, "an array of tools")
    for place, tool in _placed(request):
        fault = _kind_fault(tool, place, request)
        if fault:
            return fault
    return None


def _kind_fault(tool: object, param: str, request: Incoming) -> Refused | None:
    if not isinstance(tool, dict):
        return wrong_type(param, "an object")
    kinds, kind = _kinds_at(param, request), tool.get("type")
    if kind is None:
        return missing(f"{param}.type")
    if kind not in kinds:
        return wrong_value(f"{param}.type", kind, kinds)
    is_list = kind != "namespace" or isinstance(tool.get("tools"), list)
    return None if is_list else wrong_type(f"{param}.tools", "an array of tools")


def _kinds_at(param: str, request: Incoming) -> tuple[str, ...]:
    in_input = param.startswith("input[0].tools")
    if param.count(".tools[") > in_input:
        return _IN_NAMESPACE
    if not in_input:
        return _CLASSIC
    return _IN_LITE if request.lite else _IN_PLAN_INPUT


def _name(tool: Json, param: str) -> Refused | None:
    return name_fault(tool.get("name"), f"{param}.name") if tool["type"] in _NAMED else None


def _fields(tool: Json, param: str) -> Refused | None:
    strange = next((field for field in tool if field not in _FIELDS[tool["type"]]), None)
    if strange is not None:
        return unknown(f"{param}.{strange}")
    is_text = isinstance(tool.get("description", ""), str)
    return None if is_text else wrong_type(f"{param}.description", "a string")


def _parameters(tool: Json, param: str) -> Refused | None:
    if tool["type"] != "function":
        return None
    if tool.get("strict") is not None and not isinstance(tool["strict"], bool):
        return wrong_type(f"{param}.strict", "a boolean")
    parameters = tool.get("parameters")
    if parameters is None:
        return missing(f"{param}.parameters")
    return None if isinstance(parameters, dict) else wrong_type(f"{param}.parameters", "an object")


def _grammar(tool: Json, param: str) -> Refused | None:
    form = tool.get("format")
    if tool["type"] != "custom" or form is None or form == {"type": "text"}:
        return None
    form = as_object(form)
    if form.get("type") != "grammar":
        return wrong_value(f"{param}.format.type", form.get("type"), ("grammar", "text"))
    if form.get("syntax") not in ("lark", "regex"):
        return wrong_value(f"{param}.format.syntax", form.get("syntax"), ("lark", "regex"))
    return None if isinstance(form.get("definition"), str) else missing(f"{param}.format.definition")


def _schema(fault: Callable[[Json], str | None]) -> Callable[[Json, str], Refused | None]:
    """Return a check that refuses the functions whose schema has this fault."""

    def check(tool: Json, param: str) -> Refused | None:
        found = fault(tool["parameters"]) if tool["type"] == "function" else None
        if found is None:
            return None
        text = f"Invalid schema for function '{tool['name']}': {found}"
        return error(text, f"{param}.parameters", "invalid_function_parameters")

    return check


def _strict(tool: Json, param: str) -> Refused | None:
    """Hold a schema to strict mode; `strict` omitted or null counts as true (docs/backend.md, Tools)."""
    return None if tool.get("strict") is False else _schema(strict_fault)(tool, param)


def _unique_names(request: Incoming) -> Refused | None:
    names = Counter((space, name) for space, name in declared_names(request.tools) if name is not None)
    twice = next((name for (_, name), count in names.items() if count > 1), None)
    if twice is None:
        return None
    return error(f"Duplicate tool name: '{twice}'. Tool names must be unique.", request.declarations[0][0])


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
    elif kind in _CHOSEN:
        found = choice.get("name") in [name for _, name in declared_names(request.tools)]
    else:
        return wrong_value("tool_choice.type", kind, (*_CHOSEN, *_HOSTED))
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


RULES = (
    Rule("tools.lite-shape", "Lite", _lite_shape),
    Rule("tools.kinds", "Tools", _kinds),
    Rule("tools.names", "Tools", _each(_name)),
    Rule("tools.fields", "Tools", _each(_fields)),
    Rule("tools.parameters", "Tools", _each(_parameters)),
    Rule("tools.grammar", "Tools", _each(_grammar)),
    *(Rule(f"schemas.{name}", "Tools", _each(_schema(fault))) for name, fault in FAULTS.items()),
    Rule("schemas.strict", "Tools", _each(_strict)),
    Rule("tools.unique-names", "Tools", _unique_names),
    Rule("tools.choice", "Tools", _choice),
)
