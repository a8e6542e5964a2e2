"""Turns messages into instructions and input items, in order, each exactly once.

The same messages always give the same items, and a longer conversation starts with the items of the
shorter one: the backend's prompt cache depends on it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from amplifier_core.message_models import (
    ImageBlock,
    Message,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    ToolResultBlock,
)

from ..protocol import items, reasoning
from ..protocol.blocks import arguments_text, call_arguments
from ..protocol.conversation import reasoning_refused_before
from ..protocol.text import clean_text, json_text
from .images import Images, image_source
from .tool_pairing import MISSING, Pairing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..protocol.call import Repair
    from ..protocol.items import Item, Output, Part
    from .tools import ToolNames

_INSTRUCTING = frozenset({"system", "developer"})
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_TEXT_KEYS = frozenset({"type", "text", "annotations", "visibility", "cache_control", "citations", "_meta"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a history is read: the model and account whose reasoning is replayed, images, tool names."""

    model: str
    account_id: str
    images: Images
    names: ToolNames


@dataclass(frozen=True, slots=True)
class History:
    """A conversation as the backend accepts it. ``instructions`` is empty if no message gives any."""

    instructions: str
    items: list[Item]
    repairs: tuple[Repair, ...]


def read_history(messages: list[Message], reader: Reader) -> History:
    """Translate messages without changing them; raises InvalidRequestError for an unreadable image.

    System and developer messages at the start become the instructions, later ones keep their place
    with role developer. The last message is never an instruction: it is the one to be answered.
    """
    leading = _count_leading(messages)
    writer = _Writer(reader)
    for message in messages[:leading]:
        writer.pictures(message)
    writer.forget_before = reasoning_refused_before(messages)
    for place in range(leading, len(messages)):
        writer.message(place, messages[place])
    instructions = "\n".join(filter(None, map(_text_of, messages[:leading])))
    return History(instructions, writer.finish(), tuple(writer.pairing.repairs))


def _count_leading(messages: list[Message]) -> int:
    count = 0
    while count < len(messages) - 1 and messages[count].role in _INSTRUCTING:
        count += 1
    return count


def _text_of(message: Message) -> str:
    content = message.content
    if isinstance(content, str):
        return clean_text(content)
    return "\n".join(
        clean_text(block.text) for block in content if isinstance(block, TextBlock) and block.text
    )


class _Writer:
    """Writes items in one pass over the messages."""

    def __init__(self, reader: Reader) -> None:
        self.items: list[Item] = []
        self.pairing = Pairing()
        self.forget_before = 0
        self._reader = reader
        self._account = reasoning.account_stamp(reader.account_id)
        self._place = 0

    def message(self, place: int, message: Message) -> None:
        self._place = place
        self._ROLES[message.role](self, message)

    def pictures(self, message: Message) -> None:
        """Send the images of an instruction as the user's: instructions are text."""
        for block in message.content:
            if isinstance(block, ImageBlock):
                self._image(block)

    def finish(self) -> list[Item]:
        """Return the items, each call without a result followed by a fixed one."""
        unanswered = self.pairing.unanswered()
        if not unanswered:
            return self.items
        written: list[Item] = []
        for place, item in enumerate(self.items):
            written.append(item)
            if place in unanswered:
                written.append(items.output(unanswered[place], MISSING))
        return written

    def _user(self, message: Message) -> None:
        self._said(message, "user")

    def _developer(self, message: Message) -> None:
        self._said(message, "developer")

    def _said(self, message: Message, role: str) -> None:
        self.pairing.next_epoch()
        content = message.content
        if isinstance(content, str):
            if content:
                self.items.append(items.message(role, [items.text_part(content)]))
            return
        parts: list[Part] = []
        for block in content:
            if isinstance(block, TextBlock):
                if block.text:
                    parts.append(items.text_part(block.text))
            elif isinstance(block, ImageBlock) and role == "user":
                parts.append(self._reader.images.part(block.source))
            else:
                self._flush(role, parts)
                self._block(block)
        self._flush(role, parts)

    def _flush(self, role: str, parts: list[Part]) -> None:
        if parts:
            self.items.append(items.message(role, parts.copy()))
            parts.clear()

    def _assistant(self, message: Message) -> None:
        content, extra = message.content, message.__pydantic_extra__
        blocks = () if isinstance(content, str) else content
        if extra:
            self._thinking_in_extra(extra, blocks)
        if isinstance(content, str) and content:
            self.items.append(items.answer(content))
        writers = self._BLOCKS
        for block in blocks:
            writers.get(type(block), _skip)(self, block)
        if extra:
            self._calls_in_list(extra, blocks)

    def _thinking_in_extra(self, extra: Mapping[str, Any], blocks: Iterable[object]) -> None:
        """Write the thinking that some loops keep next to the content, unless the content has it too."""
        thinking = extra.get("thinking_block")
        if isinstance(thinking, dict) and not _any(blocks, ThinkingBlock):
            self._reasoning(thinking.get("content"))

    def _calls_in_list(self, extra: Mapping[str, Any], blocks: Iterable[object]) -> None:
        """Write the calls that are only in the list next to the content."""
        listed = extra.get("tool_calls")
        if isinstance(listed, list):
            in_content = {block.id for block in blocks if isinstance(block, ToolCallBlock)}
            for call in listed:
                if isinstance(call, dict) and str(call.get("id") or "") not in in_content:
                    self._listed_call(call)

    def _listed_call(self, call: Mapping[str, Any]) -> None:
        """Write a call in the format of Amplifier's loops or of OpenAI."""
        function = call.get("function")
        inner = function if isinstance(function, dict) else call
        name, arguments = call.get("tool") or inner.get("name"), inner.get("arguments")
        if not isinstance(name, str) or not name:
            logger.debug("A listed tool call without a name is left out")
            return
        if not isinstance(arguments, dict):
            arguments = call_arguments({"arguments": arguments})
        self._call(ToolCallBlock(id=str(call.get("id") or ""), name=name, input=arguments))

    def _tool(self, message: Message) -> None:
        self.pairing.next_epoch()
        call_id, name, content = message.tool_call_id or "", message.name or "", message.content
        if isinstance(content, str):
            self._result(call_id, name, clean_text(content))
        elif not _any(content, ToolResultBlock):
            self._result(call_id, name, self._output(content or ""))
        else:
            self._said(message, "user")

    def _block(self, block: object) -> None:
        """Write a block that becomes its own item."""
        self._BLOCKS.get(type(block), _skip)(self, block)

    def _text(self, block: TextBlock) -> None:
        if block.text:
            extra = block.__pydantic_extra__
            self.items.append(items.answer(block.text, extra.get("phase") if extra else None))

    def _image(self, block: ImageBlock) -> None:
        """Send an image as the user's: no other role can have one."""
        self.items.append(items.message("user", [self._reader.images.part(block.source)]))

    def _thinking(self, block: ThinkingBlock) -> None:
        self._reasoning(block.content)

    def _reasoning(self, content: object) -> None:
        if self._place >= self.forget_before:
            item = reasoning.to_item(content, self._reader.model, self._account)
            if item is not None:
                self.items.append(item)

    def _call(self, block: ToolCallBlock) -> None:
        arguments = arguments_text(block.input)
        call_id = self.pairing.call(clean_text(block.id), block.name, arguments, len(self.items))
        if call_id is not None:
            self.items.append(items.call(call_id, self._reader.names.to_wire(block.name), arguments))

    def _tool_result(self, block: ToolResultBlock) -> None:
        self._result(block.tool_call_id, "", self._output(block.output))

    def _result(self, call_id: str, name: str, output: Output) -> None:
        paired, note = self.pairing.result(clean_text(call_id), name, output)
        if paired is not None:
            self.items.append(items.output(paired, output))
        elif note:
            self.items.append(_orphan(name, output))

    def _output(self, value: object) -> Output:
        """Return text unchanged, a list of blocks as text or parts, any other value as JSON."""
        if isinstance(value, str):
            return clean_text(value)
        parts = [self._part(block) for block in value] if isinstance(value, list) else []
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return json_text(value)
        if any("text" not in part for part in known):
            return known
        return "\n".join(part["text"] for part in known)

    def _part(self, block: object) -> Part | None:
        """Translate a text or image block of a tool's output; None if it is neither."""
        if isinstance(block, TextBlock):
            return items.text_part(block.text)
        if isinstance(block, ImageBlock):
            return self._reader.images.part(block.source)
        if not isinstance(block, Mapping):
            return None
        text = block.get("text")
        if isinstance(text, str) and block.get("type") in _TEXT_TYPES and _TEXT_KEYS.issuperset(block):
            return items.text_part(text)
        source = image_source(block)
        return None if source is None else self._reader.images.part(source)

    _ROLES: ClassVar[Mapping[str, Callable[[_Writer, Message], None]]] = {
        "system": _developer,
        "developer": _developer,
        "user": _user,
        "assistant": _assistant,
        "tool": _tool,
        "function": _tool,
    }
    _BLOCKS: ClassVar[Mapping[type, Callable[[_Writer, Any], None]]] = {
        TextBlock: _text,
        ImageBlock: _image,
        ThinkingBlock: _thinking,
        ToolCallBlock: _call,
        ToolResultBlock: _tool_result,
    }


def _skip(_: _Writer, block: object) -> None:
    logger.debug("A block of type %s cannot be part of the input", getattr(block, "type", "?"))


def _any(blocks: Iterable[object], kind: type) -> bool:
    return any(type(block) is kind for block in blocks)


def _orphan(name: str, output: Output) -> Item:
    """A result without its call, as a user message: the backend would refuse it as a result."""
    lead = f"[Result of a tool call that is not in this conversation{f' ({name})' if name else ''}]"
    if isinstance(output, str):
        return items.message("user", [items.text_part(f"{lead}\n{output}")])
    return items.message("user", [items.text_part(lead), *output])
