"""Claims about tools, calls and their results, and images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors.refusal import is_image_refusal
from ..checks import accepted, answered, judged, refused
from ..claim import Check, Claim, Finding, UnclearError, confirmed, decided
from .places import SMALL, both, plan

if TYPE_CHECKING:
    from ..reading import Answer
    from ..session import Session

Fields = Mapping[str, Any]

_EMPTY: Fields = {"type": "object", "properties": {}}
_TOOL: dict[str, Any] = {
    "type": "function",
    "name": "get_probe_time",
    "description": "The time.",
    "strict": False,
    "parameters": _EMPTY,
}
_OPEN: Fields = {"type": "object", "properties": {"city": {"type": "string"}}}
_LONGEST_ARGUMENTS = 1_000
_ASK = "What time is it? Use get_probe_time."
# A picture that OpenAI's servers would fetch; this machine does not.
_LINK = "https://www.python.org/static/img/python-logo.png"
_BROKEN = "data:image/png;base64,AAAA"
_CALL: Fields = {
    "type": "function_call",
    "call_id": "call_probe",
    "name": "get_probe_time",
    "arguments": "{}",
}
_RESULT: Fields = {"type": "function_call_output", "call_id": "call_probe", "output": "noon"}


def _schema(name: str, what: str, parameters: Fields) -> Claim:
    return Claim(
        f"schema.{name}",
        f"A tool schema {what} is refused.",
        both("Tools", "Tools"),
        "the plain call with such a tool",
        "400",
        refused(tools=[{**_TOOL, "parameters": parameters}]),
    )


def _property(schema: object) -> Fields:
    return {"type": "object", "properties": {"a": schema}}


def _user(*parts: Fields) -> Fields:
    return {"type": "message", "role": "user", "content": list(parts)}


def _image(url: str) -> Fields:
    return {"input": [_user({"type": "input_text", "text": "Hi"}, {"type": "input_image", "image_url": url})]}


_HI: Fields = _user({"type": "input_text", "text": "Hi"})


def _called(answer: Answer) -> Finding:
    calls = answer.items_of("function_call")
    return decided(calls, f"{len(calls)} call" if calls else "the tool was not called")


async def _result(session: Session) -> Finding:
    """Force a call, then send it back with its result."""
    forced = {"tool_choice": "required", "parallel_tool_calls": False}
    first = await session.answered(forced, text=_ASK, tools=[_TOOL])
    calls = first.items_of("function_call")
    if not calls or len(str(calls[0].get("arguments"))) > _LONGEST_ARGUMENTS:
        raise UnclearError("the model called no tool, or with endless arguments")
    back = {name: calls[0][name] for name in ("type", "call_id", "name", "arguments") if name in calls[0]}
    result = {"type": "function_call_output", "call_id": back.get("call_id"), "output": "It is noon."}
    base = await session.base()
    body = session.body(base.model.slug, _ASK, [_TOOL])
    answer = await session.post({**body, "input": [*body["input"], back, result]}, base.headers)
    return answered(answer)


def _unpaired(says: str, *items: Fields) -> Check:
    async def check(session: Session) -> Finding:
        return judged(await session.call({"input": [_HI, *items]}), says=says)

    return check


async def _flat(session: Session) -> Finding:
    return judged(await session.call({"tools": [_TOOL]}))


async def _namespace(session: Session) -> Finding:
    space = {"type": "namespace", "name": "probe", "description": "Probe.", "tools": [_TOOL]}
    return answered(await session.call({"tools": [space]}))


async def _bare_namespace(session: Session) -> Finding:
    space = {"type": "namespace", "name": "probe", "description": "", "tools": [_TOOL]}
    return judged(await session.call({"tools": [space]}))


async def _missing_namespace(session: Session) -> Finding:
    """Send back a call of a tool in a namespace, without that namespace."""
    space = {"type": "namespace", "name": "probe", "description": "Probe.", "tools": [_TOOL]}
    answer = await session.call({"tools": [space], "input": [_HI, _CALL, _RESULT]})
    return judged(answer, says="missing namespace")


def _accepted(answer: Answer) -> Finding:
    return confirmed(f"answered with {len(answer.items)} items")


CLAIMS = (
    _schema("root", "whose root is not an object", {"type": "string", "properties": {}}),
    _schema("union", "with anyOf at its root", {**_EMPTY, "anyOf": [_EMPTY]}),
    _schema("items", "with an array without items", _property({"type": "array"})),
    _schema("types", "with an unknown type", _property({"type": "probe"})),
    _schema("nulls", "with null for a property", _property(None)),
    _schema("properties", "without properties", {"type": "object"}),
    Claim(
        "tools.strict",
        "An omitted strict counts as strict: an open schema is refused.",
        both("Tools", "Tools"),
        "the plain call with an open schema and no `strict`",
        "400",
        refused(tools=[{**{k: v for k, v in _TOOL.items() if k != "strict"}, "parameters": _OPEN}]),
    ),
    Claim(
        "tools.open",
        "With strict false an open schema is accepted.",
        both("Tools", "Tools"),
        "the plain call with an open schema and `strict: false`",
        "an answer",
        accepted(tools=[{**_TOOL, "parameters": _OPEN}], shows=_accepted),
        tokens=SMALL,
    ),
    Claim(
        "tools.names",
        "A tool name with a dot is refused.",
        both("Items", "Tools"),
        "the plain call with a tool named `a.b`",
        "400",
        refused(tools=[{**_TOOL, "name": "a.b"}]),
    ),
    Claim(
        "tools.unique",
        "Two tools of the same name are refused.",
        both("Tools", "Tools"),
        "the plain call with a tool declared twice",
        "400",
        refused(tools=[_TOOL, _TOOL]),
    ),
    Claim(
        "tools.named-choice",
        "A tool_choice that names a function forces a call of it.",
        both("Tools", "Tools"),
        "a call with `tool_choice: {type: function}`",
        "an answer with a `function_call`",
        accepted(
            {"tool_choice": {"type": "function", "name": "get_probe_time"}},
            tools=[_TOOL],
            text=_ASK,
            shows=_called,
        ),
        tokens=SMALL,
    ),
    Claim(
        "tools.result",
        "A call can be sent back with its result, without ids and status.",
        both("Items", "Tools"),
        "a call with `tool_choice: required`, and another one with the result",
        "two answers",
        _result,
        requests=2,
        tokens=2 * SMALL,
    ),
    Claim(
        "tools.web-search",
        "The hosted web search can be declared.",
        both("Tools", "Tools"),
        "the plain call with the tool `web_search` and `tool_choice: none`",
        "an answer, without a search",
        accepted({"tools": [{"type": "web_search"}], "tool_choice": "none"}),
        tokens=SMALL,
    ),
    Claim(
        "pairs.no-result",
        "A function call without its result is refused in words that this provider reads.",
        both("Items", "Requests"),
        "a call whose input has a call alone",
        "400 “No tool output found for function call …”",
        _unpaired("no tool output found", _CALL),
    ),
    Claim(
        "pairs.no-call",
        "A result without its call is refused in words that this provider reads.",
        both("Items", "Requests"),
        "a call whose input has a result alone",
        "400 “No tool call found for function call output …”",
        _unpaired("no tool call found", _RESULT),
    ),
    Claim(
        "pairs.namespace",
        "A call that lost the namespace of its tool is refused in words that this provider reads.",
        both("Items", "Requests"),
        "a call whose input has such a call and its result",
        "400 “Missing namespace for function_call …”",
        _missing_namespace,
    ),
    Claim(
        "items.reference",
        "A reference to a stored item is refused with 404: nothing is stored.",
        both("Items", "Requests"),
        "a call whose input refers to an item by id",
        "404 “Items are not persisted when `store` is set to false”",
        refused(
            {"input": [_HI, {"type": "item_reference", "id": "rs_probe"}]},
            statuses=(404,),
            says="not persisted",
        ),
    ),
    Claim(
        "images.broken",
        "An image that cannot be decoded is refused in words that this provider reads.",
        both("Items", "Requests"),
        "the plain call with three bytes as a PNG",
        "400 “… does not represent a valid image”",
        refused(_image(_BROKEN), reads=is_image_refusal),
    ),
    Claim(
        "images.link",
        "An image may be an https link.",
        both("Items", "Requests"),
        f"the plain call with {_LINK}",
        "an answer",
        accepted(_image(_LINK)),
        tokens=1_200,
    ),
    Claim(
        "tools.flat",
        "Functions outside a namespace and additional_tools are refused.",
        plan("Tools"),
        "the plain call with a function in `tools`",
        "400",
        _flat,
    ),
    Claim(
        "tools.namespace",
        "Functions in a namespace are accepted.",
        plan("Tools"),
        "the plain call with a namespace in `tools`",
        "an answer",
        _namespace,
        tokens=SMALL,
    ),
    Claim(
        "tools.bare-namespace",
        "A namespace without a description is refused.",
        plan("Tools"),
        "the plain call with a namespace whose description is empty",
        "400",
        _bare_namespace,
    ),
)
