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
from ..protocol.conversation import refusals_in
from ..protocol.text import clean_text
from ..services import CHATGPT_CODEX
from .lengths import check_length, shortened, shortened_arguments
from .tool_output import read_output
from .tool_pairing import MISSING, Pairing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..protocol.call import Repair
    from ..protocol.items import Item, Output, Part
    from ..secret import Secret
    from .images import Images
    from .tools import ToolNames

_INSTRUCTING = frozenset({"system", "developer"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom a history is read: whose reasoning it replays (model, account, service), images, names."""

    model: str
    account_id: Secret[str]
    images: Images
    names: ToolNames
    service: str = CHATGPT_CODEX.name


@dataclass(frozen=True, slots=True)
class History:
    """A conversation as the backend accepts it. ``instructions`` is empty if no message gives any."""

    instructions: str
    items: list[Item]
    repairs: tuple[Repair, ...]


def read_history(messages: list[Message], reader: Reader) -> History:
    """Translate messages without changing them.

    System and developer messages at the start become the instructions, later ones keep their place
    with role developer. The last message is never an instruction: it is the one to be answered. What
    cannot be sent becomes a note; only in the newest user message, if not answered yet, an image
    raises InvalidRequestError and a too long text ContextLengthError.
    """
    leading = _count_leading(messages)
    question = _newest_question(messages)
    writer = _Writer(reader, question)
    for message in messages[:leading]:
        writer.pictures(message)
    refusals = refusals_in(messages)
    writer.forget_before = refusals.reasoning_before
    start = leading
    for place, refused in refusals.images_before:
        writer.messages(messages, start, place)
        writer.remove_images(keep_newest=refused == "older")
        start = max(start, place)
    if question is not None:
        for text in _texts_of(messages[question]):
            check_length(text, "The newest message")
        writer.messages(messages, start, question)
        writer.mark_question()
        start = max(start, question)
    writer.messages(messages, start, len(messages))
    texts = ("\n".join(map(clean_text, _texts_of(message))) for message in messages[:leading])
    instructions = "\n".join(text for text in texts if text and not text.isspace())
    check_length(instructions, "The system prompt")
    return History(instructions, writer.finish(), tuple(writer.pairing.repairs))


def _newest_question(messages: list[Message]) -> int | None:
    """Return the index of the newest user message; None if the model has answered after it."""
    for place in range(len(messages) - 1, -1, -1):
        role = messages[place].role
        if role in {"user", "assistant"}:
            return place if role == "user" else None
    return None


def _count_leading(messages: list[Message]) -> int:
    count = 0
    while count < len(messages) - 1 and messages[count].role in _INSTRUCTING:
        count += 1
    return count


def _texts_of(message: Message) -> list[str]:
    """Return the texts of a message that are not empty."""
    content = message.content
    texts = [content] if isinstance(content, str) else [b.text for b in content if isinstance(b, TextBlock)]
    return [text for text in texts if text]


class _Writer:
    """Writes items in one pass over the messages."""

    def __init__(self, reader: Reader, question: int | None) -> None:
        self.items: list[Item] = []
        self.pairing = Pairing()
        self.forget_before = 0
        self._question = question
        self._question_item: int | None = None
        self._reader = reader
        self._account = reasoning.account_stamp(reader.account_id, reader.service)
        self._place = 0

    def messages(self, messages: list[Message], start: int, end: int) -> None:
        roles = self._ROLES
        for place in range(start, end):
            self._place = place
            roles[messages[place].role](self, messages[place])

    def mark_question(self) -> None:
        """Note that the next message is the one to be answered."""
        self._question_item = len(self.items)

    def remove_images(self, *, keep_newest: bool) -> None:
        """Replace the images so far with the notes that were sent after the backend refused one."""
        self.items = list(items.without_images(self.items, keep_newest=keep_newest))

    def pictures(self, message: Message) -> None:
        """Send the images of an instruction as the user's: instructions are text."""
        for block in message.content:
            if isinstance(block, ImageBlock):
                self._image(block)

    def finish(self) -> list[Item]:
        """Return the items within the limits, each call without a result followed by a fixed one."""
        self._reader.images.within_budget(self.items, self._question_item)
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
            if content and not (role == "developer" and content.isspace()):
                self.items.append(items.message(role, [items.text_part(shortened(content))]))
            return
        parts: list[Part] = []
        for block in content:
            if isinstance(block, TextBlock):
                if block.text and not (role == "developer" and block.text.isspace()):
                    parts.append(items.text_part(shortened(block.text)))
            elif isinstance(block, ImageBlock) and role == "user":
                parts.append(self._image_part(block))
            else:
                self._flush(role, parts)
                self._block(block)
        self._flush(role, parts)

    def _image_part(self, block: ImageBlock) -> Part:
        return self._reader.images.part(block.source, newest=self._place == self._question)

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
            self.items.append(items.answer(shortened(content)))
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
            self._result(call_id, name, read_output(content, self._reader.images))
        elif not _any(content, ToolResultBlock):
            self._result(call_id, name, read_output(content or "", self._reader.images))
        else:
            self._said(message, "user")

    def _block(self, block: object) -> None:
        """Write a block that becomes its own item."""
        self._BLOCKS.get(type(block), _skip)(self, block)

    def _text(self, block: TextBlock) -> None:
        if block.text:
            extra = block.__pydantic_extra__
            self.items.append(items.answer(shortened(block.text), extra.get("phase") if extra else None))

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
        arguments = shortened_arguments(arguments_text(block.input))
        call_id = self.pairing.call(clean_text(block.id), block.name, arguments, len(self.items))
        if call_id is not None:
            self.items.append(items.call(call_id, self._reader.names.to_wire(block.name), arguments))

    def _tool_result(self, block: ToolResultBlock) -> None:
        self._result(block.tool_call_id, "", read_output(block.output, self._reader.images))

    def _result(self, call_id: str, name: str, output: Output) -> None:
        paired, note = self.pairing.result(clean_text(call_id), name, output)
        if paired is not None:
            self.items.append(items.output(paired, output))
        elif note:
            self.items.append(_orphan(name, output))

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
        return items.message("user", [items.text_part(shortened(f"{lead}\n{output}"))])
    return items.message("user", [items.text_part(lead), *output])
