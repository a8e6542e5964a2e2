"""Messages become instructions and input items, in their order, with nothing lost and nothing said twice.

The same messages always give the same items, and a longer conversation begins with the items of the
shorter one: the backend's prompt cache lives from that.
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

from . import reasoning
from .conversation import state_of
from .images import Images, image_source
from .pairing import MISSING, Output, Pairing, Repair
from .text import clean_text, json_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .tools import ToolNames

Item = dict[str, Any]

_INSTRUCTING = frozenset({"system", "developer"})
_TEXT_TYPES = frozenset({"text", "input_text", "output_text"})
_TEXT_KEYS = frozenset({"type", "text", "annotations", "visibility", "cache_control", "citations", "_meta"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a history is read: the model and account whose reasoning counts, and its images and tools."""

    model: str
    account_id: str
    images: Images
    names: ToolNames


@dataclass(frozen=True, slots=True)
class History:
    """A conversation as the backend takes it. ``instructions`` are empty where nobody gave any."""

    instructions: str
    items: list[Item]
    repairs: tuple[Repair, ...]


def read_history(messages: Sequence[Message], reader: Reader) -> History:
    """Translate messages, which stay as they are; raises InvalidRequestError for an unreadable image.

    System and developer messages at the beginning become the instructions, later ones stay in their
    place with role developer. The last message is never an instruction: it is what is to be answered.
    """
    leading = _count_leading(messages)
    writer = _Writer(reader)
    for message in messages[:leading]:
        writer.pictures(message)
    writer.forget_before = _refused_before(messages)
    for place in range(leading, len(messages)):
        writer.message(place, messages[place])
    instructions = "\n".join(filter(None, map(_text_of, messages[:leading])))
    return History(instructions, writer.finish(), tuple(writer.pairing.repairs))


def text_item(role: str, text: str) -> Item:
    """Build what somebody other than the model said."""
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}


def answer_item(text: str, phase: object = None) -> Item:
    """Build what the model said; ``phase`` tells progress talk from the answer."""
    item: Item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    if isinstance(phase, str) and phase:
        item["phase"] = clean_text(phase)
    return item


def _count_leading(messages: Sequence[Message]) -> int:
    count = 0
    while count < len(messages) - 1 and messages[count].role in _INSTRUCTING:
        count += 1
    return count


def _refused_before(messages: Sequence[Message]) -> int:
    """Find the newest answer that the backend gave only after all reasoning before it was left out."""
    for place in range(len(messages) - 1, -1, -1):
        state = state_of(messages[place])
        if state is not None and state.get("reasoning") == "refused":
            return place
    return 0


def _text_of(message: Message) -> str:
    content = message.content
    if isinstance(content, str):
        return clean_text(content)
    return "\n".join(
        clean_text(block.text) for block in content if isinstance(block, TextBlock) and block.text
    )


class _Writer:
    """Writes items while it walks through the messages once."""

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
        """Show the images of an instruction as the user's: instructions are text."""
        for block in message.content:
            if isinstance(block, ImageBlock):
                self._block(block)

    def finish(self) -> list[Item]:
        """Return the items, each call without a result followed by a fixed one."""
        lonely = self.pairing.unanswered()
        if not lonely:
            return self.items
        items: list[Item] = []
        for place, item in enumerate(self.items):
            items.append(item)
            if place in lonely:
                items.append({"type": "function_call_output", "call_id": lonely[place], "output": MISSING})
        return items

    def _user(self, message: Message) -> None:
        self._said(message, "user")

    def _developer(self, message: Message) -> None:
        self._said(message, "developer")

    def _said(self, message: Message, role: str) -> None:
        self.pairing.others_spoke()
        content = message.content
        if isinstance(content, str):
            if content:
                self.items.append(text_item(role, clean_text(content)))
            return
        parts: list[Item] = []
        for block in content:
            if isinstance(block, TextBlock):
                if block.text:
                    parts.append({"type": "input_text", "text": clean_text(block.text)})
            elif isinstance(block, ImageBlock) and role == "user":
                parts.append(self._reader.images.part(block.source))
            else:
                parts = self._flush(role, parts)
                self._block(block)
        self._flush(role, parts)

    def _flush(self, role: str, parts: list[Item]) -> list[Item]:
        if parts:
            self.items.append({"type": "message", "role": role, "content": parts})
        return []

    def _assistant(self, message: Message) -> None:
        content = message.content
        extra = message.__pydantic_extra__
        listed = _listed_calls(extra) if extra else ()
        if isinstance(content, str):
            self._stray_thinking(extra, ())
            if content:
                self.items.append(answer_item(clean_text(content)))
        else:
            self._stray_thinking(extra, content)
            for block in content:
                self._block(block)
        if listed:
            told = {block.id for block in content if isinstance(block, ToolCallBlock)}
            for call in listed:
                if call.id not in told:
                    self._call(call)

    def _stray_thinking(self, extra: Mapping[str, Any] | None, blocks: Iterable[object]) -> None:
        """Read the thinking that one loop keeps beside the content, unless it is in the content too."""
        beside = extra.get("thinking_block") if extra else None
        if isinstance(beside, Mapping) and not any(isinstance(block, ThinkingBlock) for block in blocks):
            self._reasoning(beside.get("content"))

    def _tool(self, message: Message) -> None:
        self.pairing.others_spoke()
        call_id, name, content = message.tool_call_id or "", message.name or "", message.content
        if isinstance(content, str):
            self._result(call_id, name, clean_text(content))
            return
        rest = [block for block in content if not isinstance(block, ToolResultBlock)]
        for block in content:
            if isinstance(block, ToolResultBlock):
                self._block(block)
        if len(rest) == len(content):
            self._result(call_id, name, self._output(rest) if rest else "")
        elif parts := self._parts(rest):
            self._flush("user", parts)

    def _block(self, block: object) -> None:
        """Write one block that is an item of its own."""
        write = self._BLOCKS.get(type(block))
        if write is None:
            logger.debug("A block of type %s has no place in the input", getattr(block, "type", "?"))
        else:
            write(self, block)

    def _text(self, block: TextBlock) -> None:
        if block.text:
            extra = block.__pydantic_extra__
            self.items.append(answer_item(clean_text(block.text), extra.get("phase") if extra else None))

    def _image(self, block: ImageBlock) -> None:
        """Show an image as the user's: no other role can carry one."""
        self._flush("user", [self._reader.images.part(block.source)])

    def _thinking(self, block: ThinkingBlock) -> None:
        self._reasoning(block.content)

    def _reasoning(self, content: object) -> None:
        if self._place < self.forget_before:
            return
        item = reasoning.to_item(content, self._reader.model, self._account)
        if item is not None:
            self.items.append(item)

    def _call(self, block: ToolCallBlock) -> None:
        name = self._reader.names.to_wire(block.name)
        arguments = json_text(block.input)
        call_id = self.pairing.call(clean_text(block.id), block.name, arguments, len(self.items))
        if call_id is not None:
            self.items.append(
                {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id}
            )

    def _tool_result(self, block: ToolResultBlock) -> None:
        self._result(block.tool_call_id, "", self._output(block.output))

    def _result(self, call_id: str, name: str, output: Output) -> None:
        paired, worth_a_note = self.pairing.result(clean_text(call_id), name, output)
        if paired is not None:
            self.items.append({"type": "function_call_output", "call_id": paired, "output": output})
        elif worth_a_note:
            self.items.append(_orphan(clean_text(name), output))

    def _output(self, value: Any) -> Output:
        """Text as it is, a list of blocks as text or parts, any other value as JSON."""
        if isinstance(value, str):
            return clean_text(value)
        parts = self._parts(value) if isinstance(value, list) else None
        if not parts:
            return json_text(value)
        if any(part["type"] == "input_image" for part in parts):
            return parts
        return "\n".join(part["text"] for part in parts)

    def _parts(self, blocks: list[Any]) -> list[Item] | None:
        """Translate a list of texts and images; None if anything in it is neither."""
        parts: list[Item] = []
        for block in blocks:
            part = self._part(block)
            if part is None:
                return None
            parts.append(part)
        return parts

    def _part(self, block: object) -> Item | None:
        if isinstance(block, TextBlock):
            return {"type": "input_text", "text": clean_text(block.text)}
        if isinstance(block, ImageBlock):
            return self._reader.images.part(block.source)
        if not isinstance(block, Mapping):
            return None
        text = block.get("text")
        if isinstance(text, str) and block.get("type") in _TEXT_TYPES and _TEXT_KEYS.issuperset(block):
            return {"type": "input_text", "text": clean_text(text)}
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


def _listed_calls(extra: Mapping[str, Any]) -> list[ToolCallBlock]:
    """Read the list of calls that loops keep beside the content, in their spelling or OpenAI's."""
    listed = extra.get("tool_calls")
    calls = []
    for entry in listed if isinstance(listed, list) else ():
        call = entry if isinstance(entry, Mapping) else getattr(entry, "__dict__", {})
        function = call.get("function")
        inner = function if isinstance(function, Mapping) else call
        name = call.get("tool") or inner.get("name")
        if isinstance(name, str) and name:
            arguments = inner.get("arguments", inner.get("input"))
            calls.append(ToolCallBlock(id=str(call.get("id") or ""), name=name, input=_arguments(arguments)))
    return calls


def _arguments(arguments: object) -> dict[str, Any]:
    if isinstance(arguments, dict):
        return arguments
    return {} if arguments is None else {"_raw": arguments}


def _orphan(name: str, output: Output) -> Item:
    """A result whose call is gone, as a note of the user: the backend refuses it as a result."""
    lead = f"[Result of a tool call that is not in this conversation{f' ({name})' if name else ''}]"
    if isinstance(output, str):
        return text_item("user", f"{lead}\n{output}")
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": lead}, *output]}
