"""What the caller gets: blocks as ChatResponse content, tool calls, usage and a finish reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amplifier_core.content_models import TextContent, ThinkingContent, ToolCallContent
from amplifier_core.message_models import (
    ChatResponse,
    TextBlock,
    ThinkingBlock,
    ToolCall,
    ToolCallBlock,
    Usage,
)

from ..protocol import reasoning
from ..protocol.blocks import Block, call_arguments, call_id, citations, is_refusal

if TYPE_CHECKING:
    from ..protocol.call import Call


_TOO_MANY = 2**53


class ChatGPTResponse(ChatResponse):
    """A ChatResponse with what the loops and their UIs read in addition.

    ``content_blocks`` has the length and order of ``content``; ``text`` is the visible answer.
    """

    content_blocks: list[Any]
    text: str


class ChatGPTToolCall(ToolCall):
    """A ToolCall that also answers ``get``, which one loop uses on calls without arguments."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field as a dictionary would."""
        return getattr(self, key, default)


@dataclass(slots=True)
class Totals:
    """Tokens of all responses behind one answer. Cached are part of input, reasoning of output."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    reasoning_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    known: bool = False

    def add(self, usage: object) -> None:
        """Add the ``usage`` object of one response; what is missing or no number counts as 0."""
        if not isinstance(usage, Mapping):
            return
        into = _mapping(usage.get("input_tokens_details"))
        out_of = _mapping(usage.get("output_tokens_details"))
        given, got = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
        self.known = True
        self.input_tokens += given
        self.output_tokens += got
        self.total_tokens += _count(usage.get("total_tokens")) or given + got
        self.reasoning_tokens += _count(out_of.get("reasoning_tokens"))
        self.cache_read_tokens += _count(into.get("cached_tokens"))
        self.cache_write_tokens += _count(into.get("cache_write_tokens"))

    def usage(self) -> Usage | None:
        """Return the kernel's Usage. A subscription has no price per call, so cost stays unknown."""
        if not self.known:
            return None
        return Usage(
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            total_tokens=self.total_tokens,
            reasoning_tokens=self.reasoning_tokens,
            cache_read_tokens=self.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens or None,
        )


@dataclass(frozen=True, slots=True)
class AttemptUsage:
    """The tokens of one request, 0 if the backend reported none; ``blocks`` is the length of its answer."""

    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    blocks: int


def build_response(
    blocks: list[Block], call: Call, totals: Totals, *, incomplete: str, metadata: dict[str, Any]
) -> ChatGPTResponse:
    """Build the response of an answer that ended; ``incomplete`` is the backend's reason or empty."""
    pairs = [_content(block, call) for block in blocks]
    calls = [
        ChatGPTToolCall(id=block.id, name=block.name, arguments=block.input)
        for block, _ in pairs
        if isinstance(block, ToolCallBlock)
    ]
    return ChatGPTResponse(
        content=[content for content, _ in pairs],
        content_blocks=[shown for _, shown in pairs],
        text=_visible_text(blocks),
        tool_calls=calls or None,
        usage=totals.usage(),
        finish_reason=_finish_reason(blocks, incomplete, has_calls=bool(calls)),
        metadata=metadata,
    )


def _content(block: Block, call: Call) -> tuple[TextBlock | ThinkingBlock | ToolCallBlock, Any]:
    item = block.item
    if block.kind == "thinking":
        state = reasoning.to_block_content(item, call.slug, call.account_id, call.service) if item else None
        return ThinkingBlock(thinking=block.text, content=state), ThinkingContent(text=block.text)
    if block.kind == "tool_use" and item is not None:
        identity, name, arguments = call_id(item), block.name or "unknown", call_arguments(item)
        shown = ToolCallContent(id=identity, name=name, arguments=arguments)
        return ToolCallBlock(id=identity, name=name, input=arguments), shown
    # A call that broke off cannot be run; an empty text keeps its place, so later indices hold.
    text = block.text if block.kind == "text" else ""
    extras = {"phase": item.get("phase"), "annotations": citations(item)} if item else {}
    return TextBlock(text=text, **{k: v for k, v in extras.items() if v}), TextContent(text=text)


def _visible_text(blocks: list[Block]) -> str:
    """Join the answer's text; progress talk (phase ``commentary``) counts only if there is no other."""
    spoken = [block for block in blocks if block.kind == "text"]
    final = [block for block in spoken if not block.item or block.item.get("phase") != "commentary"]
    return "".join(block.text for block in final) or "".join(block.text for block in spoken)


def _finish_reason(blocks: list[Block], incomplete: str, *, has_calls: bool) -> str:
    if has_calls:
        return "tool_calls"
    if incomplete:
        return "content_filter" if incomplete == "content_filter" else "length"
    refused = any(block.kind == "text" and block.item and is_refusal(block.item) for block in blocks)
    return "content_filter" if refused else "stop"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _count(value: object) -> int:
    """Read a number of tokens; 0 for what is none, however large."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _TOO_MANY:
        return 0
    return int(value)
