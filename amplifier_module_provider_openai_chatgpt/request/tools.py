"""Tools on the wire: their specs, the mapping of their names, and the tool choice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..protocol.text import clean_json, clean_text
from .invalid import invalid
from .lengths import shortened
from .tool_schemas import sanitised

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amplifier_core.message_models import ToolSpec

LONGEST_NAME = 64
HOSTED_SEARCH = "web_search"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SEARCH_FIELDS = (
    "external_web_access",
    "indexed_web_access",
    "filters",
    "user_location",
    "search_context_size",
    "search_content_types",
)
_MODES = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_NAMED = frozenset({"function", "tool"})


def wire_name(name: str) -> str:
    """Return a name the backend accepts: the same, or one derived from it alone.

    A changed name ends in a digest of the original, so different names stay different.
    """
    if _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[: LONGEST_NAME - 9] + "_" + digest


@dataclass(slots=True)
class ToolNames:
    """The tool names of one request; ``changed`` maps names on the wire to Amplifier's."""

    changed: dict[str, str] = field(default_factory=dict)
    _known: dict[str, str] = field(default_factory=dict)

    def to_wire(self, name: str) -> str:
        """Return the wire's name for a tool and remember the original."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = wire_name(name)
            if known != name:
                self.changed[known] = name
        return known


def wire_tools(
    specs: Sequence[ToolSpec] | None, names: ToolNames, warn: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Translate tool specs in their order; of two with the same name the first is sent, with a warning.

    A spec with ``type: web_search`` becomes the hosted search; other hosted tools are left out with a
    warning, and so is a tool whose schema cannot be made acceptable.
    """
    tools: dict[str, dict[str, Any]] = {}
    for spec in specs or ():
        tool = _tool(spec, names, warn)
        if tool is None:
            continue
        name = tool.get("name", "")
        if name in tools:
            warn(f"Tool {_quoted(spec.name)} is offered more than once; the first is sent.")
        else:
            tools[name] = tool
    return list(tools.values())


def _tool(spec: ToolSpec, names: ToolNames, warn: Callable[[str], None]) -> dict[str, Any] | None:
    extra = spec.__pydantic_extra__ or {}
    kind = extra.get("type") or "function"
    if kind == "function":
        return _function(spec, names, warn)
    if str(kind).startswith(HOSTED_SEARCH):
        chosen = {key: extra[key] for key in _SEARCH_FIELDS if extra.get(key) is not None}
        return {"type": HOSTED_SEARCH, **clean_json(chosen)}
    warn(f"Tool {_quoted(spec.name)} is left out: the backend does not offer tools of type {_quoted(kind)}.")
    return None


def _function(spec: ToolSpec, names: ToolNames, warn: Callable[[str], None]) -> dict[str, Any] | None:
    parameters = sanitised(spec.parameters)
    if parameters is None:
        warn(f"Tool {_quoted(spec.name)} is left out: its parameters are not the schema of an object.")
        return None
    tool: dict[str, Any] = {"type": "function", "name": names.to_wire(spec.name)}
    if spec.description:
        tool["description"] = shortened(clean_text(spec.description))
    tool["strict"] = False
    tool["parameters"] = parameters
    return tool


def wire_choice(
    asked: object, tools: Sequence[Mapping[str, Any]], names: ToolNames
) -> str | dict[str, Any] | None:
    """Translate a tool choice in any common spelling; None if there are no tools to choose from.

    Accepts auto, none, required, any, the name of a tool, and the dictionaries of the OpenAI and
    Anthropic APIs. Raises InvalidRequestError for anything else, or if the named tool is missing.
    """
    mode, name = _read_choice("auto" if asked is None else asked)
    if mode is None:
        return _named_choice(name, tools, names)
    if tools:
        return mode
    if mode == "required":
        raise invalid("tool_choice requires a tool call, but the request has no tools.")
    return None


def forbids_parallel(asked: object) -> bool:
    """Return whether a tool choice in Anthropic's form forbids parallel calls."""
    return isinstance(asked, Mapping) and asked.get("disable_parallel_tool_use") is True


def _read_choice(asked: object) -> tuple[str | None, str]:
    """Return the mode, or None and the name of the tool that must be called."""
    if isinstance(asked, str):
        return _MODES.get(asked.strip().lower()), asked
    kind = asked.get("type") if isinstance(asked, Mapping) else None
    if isinstance(kind, str) and kind in _MODES:
        return _MODES[kind], ""
    if isinstance(kind, str) and kind.startswith(HOSTED_SEARCH):
        return None, HOSTED_SEARCH
    if isinstance(asked, Mapping) and (kind is None or kind in _NAMED):
        function = asked.get("function")
        name = function.get("name") if isinstance(function, Mapping) else asked.get("name")
        if isinstance(name, str) and name:
            return None, name
    raise invalid(f"Unknown tool_choice {_quoted(asked)}; use auto, none, required or the name of a tool.")


def _named_choice(name: str, tools: Sequence[Mapping[str, Any]], names: ToolNames) -> dict[str, Any]:
    wanted = names.to_wire(name)
    if any(tool.get("name") == wanted for tool in tools):
        return {"type": "function", "name": wanted}
    if name == HOSTED_SEARCH and any(tool["type"] == HOSTED_SEARCH for tool in tools):
        return {"type": HOSTED_SEARCH}
    raise invalid(
        f"tool_choice {_quoted(name)} is not a tool of this request; use auto, none, required or one of them."
    )


def _quoted(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else shown[:77] + "..."
