"""Rules for calls and their results: ids, pairs and namespaces.

The words for call ids are those of the public API [unsure]; the others are [seen].
"""

from __future__ import annotations

from ..rules import Incoming, Refused, error, unknown
from .rule import Rule
from .tools import declared_names

_PAIRS = {
    "function_call": "function_call_output",
    "local_shell_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "tool_search_call": "tool_search_output",
}
_NAMES = {"custom_tool_call": "custom tool call", "tool_search_call": "tool search call"}
_LONGEST_CALL_ID = 64


def _call_ids(request: Incoming) -> Refused | None:
    """Refuse call ids of no or more than 64 characters, and ids of several calls or results."""
    seen: set[tuple[bool, str]] = set()
    for place, item in enumerate(request.items):
        call_id = item.get("call_id")
        if not isinstance(call_id, str):
            continue
        param = f"input[{place}].call_id"
        if not 1 <= len(call_id) <= _LONGEST_CALL_ID:
            text = (
                f"Expected a string with 1 to {_LONGEST_CALL_ID} characters, but got {len(call_id)} instead."
            )
            return error(f"Invalid '{param}': {text}", param, "invalid_value")
        role = (item["type"] in _PAIRS, call_id)
        if role in seen:
            text = f"Duplicate item found with call_id {call_id}."
            return error(f"{text} Remove duplicate items from your input and try again.", "input")
        seen.add(role)
    return None


def _pairs(request: Incoming) -> Refused | None:
    """Refuse a result that does not follow its call, and a call without a result."""
    open_calls: dict[tuple[str, str], str] = {}
    for item in request.items:
        kind = item["type"]
        if kind in _PAIRS:
            open_calls[_PAIRS[kind], item["call_id"]] = _NAMES.get(kind, "function call")
        elif kind in _PAIRS.values():
            name = open_calls.pop((kind, item["call_id"]), None)
            if name is None:
                return _no_call(kind, item["call_id"])
    for (_, call_id), name in open_calls.items():
        return error(f"No tool output found for {name} {call_id}.", "input")
    return None


def _no_call(kind: str, call_id: str) -> Refused:
    calls = (_NAMES.get(call, "function call") for call, output in _PAIRS.items() if output == kind)
    return error(f"No tool call found for {next(calls)} output with call_id {call_id}.", "input")


def _namespaces(request: Incoming) -> Refused | None:
    """Refuse an undeclared namespace, and a missing one where the tool is only found there."""
    declared = set(declared_names(request.tools))
    spaces = {space for space, _ in declared} | _own_spaces(request)
    plain = {name for space, name in declared if not space}
    spaced = {name for space, name in declared if space}
    for place, item in enumerate(request.items):
        if item["type"] not in ("function_call", "custom_tool_call"):
            continue
        space, name = item.get("namespace"), item["name"]
        if space is not None and (not space or space not in spaces):
            return unknown(f"input[{place}].namespace")
        if space is None and name in spaced and name not in plain:
            return error(
                f"Missing namespace for {item['type']} '{name}'. It does not exist in the default namespace. "
                "Round-trip the model's function_call item with its namespace field included.",
                "input",
            )
    return None


def _own_spaces(request: Incoming) -> set[str]:
    """Return the namespaces of a plan's request: calls may name each of them, "functions" too [unsure]."""
    if request.policy.plan is None:
        return set()
    return {str(tool.get("name")) for tool in request.tools if tool.get("type") == "namespace"}


RULES = (
    Rule("pairs.call-ids", "Items", _call_ids),
    Rule("pairs.complete", "Items", _pairs),
    Rule("pairs.namespaces", "Items", _namespaces),
)
