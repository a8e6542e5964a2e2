"""One call to the backend as a value, and its body in the classic or the Lite shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from pydantic_core import from_json

from ..services import CHATGPT_CODEX
from . import items, reasoning
from .blocks import item_text
from .text import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models.model import Model
    from ..secret import Secret
    from .conversation import Conversation, RefusedImages
    from .items import Item


RepairKind: TypeAlias = Literal["missing_result", "orphan_result", "duplicate"]


@dataclass(frozen=True, slots=True)
class Repair:
    """A call or result that was unpaired or repeated; ``tool_name`` is Amplifier's, empty if unknown."""

    tool_call_id: str
    tool_name: str
    kind: RepairKind


@dataclass(frozen=True, slots=True)
class Call:
    """Everything that determines a body, and what reading the answer needs to know about the request.

    ``model`` is the one that answers, ``requested_model`` the id the caller gave. ``lite`` and ``version``
    are the request shape and the client version to send; with ``tools_in_input``, functions are in the
    first item of the input, unless ``flat_tools`` is set. ``left_out`` are fields that the backend refuses.
    ``service`` is its name. ``tool_names`` maps the wire's tool names to Amplifier's where they differ.
    ``stop`` is applied on the client; ``timeout`` is in seconds.
    """

    model: Model
    requested_model: str
    conversation: Conversation
    account_id: Secret[str] = field(repr=False)
    instructions: str = field(repr=False)
    items: tuple[Item, ...] = field(repr=False)
    tools: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    effort: str | None = None
    summary: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    text_format: Mapping[str, Any] | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)
    lite: bool = False
    tools_in_input: bool = False
    flat_tools: bool = False
    left_out: frozenset[str] = frozenset()
    service: str = CHATGPT_CODEX.name
    version: str | None = None
    stop: tuple[str, ...] = ()
    timeout: float | None = None
    message_count: int = 0
    repairs: tuple[Repair, ...] = ()
    tool_names: Mapping[str, str] = field(default_factory=dict)
    streaming: bool = True
    has_instructions: bool = False
    reasoning_refused: bool = False
    images_refused: RefusedImages | None = None

    @property
    def slug(self) -> str:
        """The model's id as it is sent."""
        return self.model.slug

    @property
    def conversation_id(self) -> str:
        """The UUIDv7 of the conversation."""
        return self.conversation.id

    @property
    def fast(self) -> bool:
        """True if the call requests the fast tier."""
        return self.service_tier is not None

    @property
    def reasoning_enabled(self) -> bool:
        """True if the call requests reasoning or a summary of it."""
        return self.effort != "none" and bool(self.effort or self.summary)

    def metadata(self) -> dict[str, dict[str, str]]:
        """Return what the response carries for the next request of the conversation."""
        return self.conversation.metadata(
            reasoning_refused=self.reasoning_refused, images_refused=self.images_refused
        )

    def payload(self) -> dict[str, Any]:
        """Return the body as a dictionary, exactly as sent."""
        payload: dict[str, Any] = from_json(self.body())
        return payload

    def body(self) -> bytes:
        """Encode the body in the backend's order of fields; the same call always gives the same bytes."""
        fields = _given(
            {
                "model": self.model.slug,
                **self._shape(),
                "store": False,
                "stream": True,
                "include": ["reasoning.encrypted_content"],
                "service_tier": self.service_tier,
                "prompt_cache_key": self.conversation_id,
                "text": _given({"verbosity": self.verbosity, "format": self.text_format}) or None,
            }
        )
        for refused in self.left_out:
            fields.pop(refused, None)
        return encode(_merged(fields, self.extra))

    def _shape(self) -> dict[str, Any]:
        if self.tools_in_input:
            return self._plan_shape()
        return self._lite_shape() if self.lite else self._classic_shape()

    def _classic_shape(self) -> dict[str, Any]:
        return {
            "instructions": self.instructions,
            "input": self.items,
            "tools": list(self.tools) or None,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls if self.tools else None,
            "reasoning": _given({"effort": self.effort, "summary": self.summary}) or None,
        }

    def _lite_shape(self) -> dict[str, Any]:
        """The shape that moves instructions and tools to the start of the input (docs/backend.md, Lite)."""
        functions = [tool for tool in self.tools if tool["type"] == "function"]
        space = {"type": "namespace", "name": "functions", "description": "", "tools": functions}
        tools = items.additional_tools([space] if functions else [])
        instructions = items.message("developer", [items.text_part(self.instructions)])
        return {
            "input": (tools, instructions, *items.without_links(self.items)),
            "tool_choice": _lite_choice(self.tool_choice) if functions else None,
            "parallel_tool_calls": False,
            "reasoning": _given({"effort": self.effort, "summary": self.summary}) | {"context": "all_turns"},
        }

    def _plan_shape(self) -> dict[str, Any]:
        """The classic shape with functions in the first item of the input (docs/backend-plan.md, Tools)."""
        moved = [tool for tool in self.tools if tool["type"] == "function" and not self.flat_tools]
        others = [tool for tool in self.tools if tool["type"] != "function" or self.flat_tools]
        first = [items.additional_tools(moved)] if moved else []
        given = (*first, *items.without_links(self.items))
        return {**self._classic_shape(), "input": given, "tools": others or None}

    @property
    def replays_reasoning(self) -> bool:
        """True if the input contains reasoning of earlier answers."""
        return any(item["type"] == "reasoning" for item in self.items)

    def without_reasoning(self) -> Call:
        """Remove all reasoning of earlier answers, which the backend could not read."""
        kept = tuple(item for item in self.items if item["type"] != "reasoning")
        return replace(self, items=kept, reasoning_refused=True)

    @property
    def has_images(self) -> bool:
        """True if the input contains an image."""
        return any(items.image_parts(item) for item in self.items)

    def without_images(self, *, keep_newest: bool) -> Call:
        """Replace images with text notes, except those of the newest item that has any if ``keep_newest``.

        The response's metadata records it, so later turns send the same notes.
        """
        kept = items.without_images(self.items, keep_newest=keep_newest)
        return replace(self, items=kept, images_refused="older" if keep_newest else "all")

    def without_tier(self) -> Call:
        """Use the default service tier."""
        return replace(self, service_tier=None)

    def in_other_form(self, field: str) -> Call:
        """Return the call with a refused field in another form, or without it; the same call if unsent."""
        if field in self.extra:
            return self
        match field:
            case "tools":
                return self.with_tools_moved()
            case "tool_choice":
                return self.with_required_tool()
            case "service_tier":
                return self.without_tier() if self.fast else self
            case _:
                return replace(self, left_out=self.left_out ^ {field})

    def with_tools_moved(self) -> Call:
        """Move the functions out of the input, or back into it."""
        has_functions = any(tool["type"] == "function" for tool in self.tools)
        can_move = self.tools_in_input and has_functions
        return replace(self, flat_tools=not self.flat_tools) if can_move else self

    def with_required_tool(self) -> Call:
        """Offer only the tool that must be called, and require a call, which leaves the same choice."""
        if not isinstance(self.tool_choice, dict):
            return self
        chosen = self.tool_choice
        only = tuple(tool for tool in self.tools if chosen.items() <= tool.items())
        return replace(self, tools=only, tool_choice="required")

    def as_lite(self) -> Call:
        """Use the Lite shape."""
        return replace(self, lite=True)

    def with_effort(self, effort: str) -> Call:
        """Ask for another reasoning effort."""
        return replace(self, effort=effort)

    def with_version(self, version: str) -> Call:
        """Send a client version, the minimum that the model requires."""
        return replace(self, version=version)

    def continued(self, output: Sequence[Mapping[str, Any]]) -> Call:
        """Append the answer's output items to the input, as the next turn will send them."""
        sent = [item for item in map(_replayed, output) if item is not None]
        return replace(self, items=(*self.items, *sent))


def _replayed(item: Mapping[str, Any]) -> Item | None:
    """Return the input item for an output item; None for kinds that are not sent back."""
    if item.get("type") == "reasoning":
        return reasoning.replayed(item)
    text = item_text(item, "text") if item.get("type") == "message" else ""
    return items.answer(text, item.get("phase")) if text else None


def _lite_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """Replace the choice of a hosted tool, which has a type and no name: Lite has no hosted tools."""
    return "auto" if isinstance(choice, dict) and "name" not in choice else choice


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _merged(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a JSON merge patch (RFC 7396): objects merge, null removes, anything else replaces."""
    merged = dict(body)
    for key, value in extra.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping):
            inner = merged.get(key)
            merged[key] = _merged(dict(inner) if isinstance(inner, Mapping) else {}, value)
        else:
            merged[key] = value
    return merged
