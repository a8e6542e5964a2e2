"""Events of the Responses API become blocks, the steps of a stream, and in the end one ChatResponse.

Each output item is one block, in order of appearance, so a block's index on the stream is its place
in ``ChatResponse.content``. ``response.output_item.done`` is the authority on an item; deltas only
show it early (docs/backend.md, Event stream). No I/O: everything is driven by ``feed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ..drift import note_event, note_fields, note_item, note_usage
from ..protocol.blocks import KINDS, Block, BlockDelta, BlockEnd, BlockStart, item_text
from ..protocol.citations import without_marks
from ..protocol.text import clean_text, clean_value
from .block_index import BlockIndex, complete_item, is_other, is_same, with_arguments
from .outcome import BrokenOff, Failed, Finished, Incomplete, Resumable
from .response import AttemptUsage, ChatGPTResponse, Totals, build_response
from .stop import StopFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..protocol.blocks import Kind, Step
    from ..protocol.call import Call
    from ..protocol.events import Event
    from .outcome import Outcome


class ResponseAccumulator:
    """What one ``complete()`` has received so far.

    An *attempt* is one response of the backend: ``keep`` starts the next one behind what is there,
    ``drop`` forgets a failed one, and ``outcome`` says how it ended. ``is_over``: nothing more of this
    attempt is wanted.
    """

    def __init__(self, *, stop: Sequence[str] = (), tool_names: Mapping[str, str] | None = None) -> None:
        """``tool_names`` maps the wire's tool names to Amplifier's where they differ."""
        self._stop_sequences = tuple(stop)
        self._tool_names = tool_names or {}
        self._blocks: list[Block] = []
        self._totals = Totals()
        self._response_id = ""
        self._model = ""
        self._cut_reason = ""
        self._blocks_kept = 0
        self._stop_kept = ""
        self._totals_kept = Totals()
        self._start_attempt()

    def _start_attempt(self) -> None:
        self.is_over = False
        self._closed = False
        self._cut_reason = ""
        self._wants_to_go_on = False
        self._failure: Event | None = None
        self._index = BlockIndex()
        self._growing: Block | None = None
        self._place: object = None
        self._steps: list[Step] = []
        self._stop = StopFilter(self._stop_sequences, self._stop_kept)
        self._held_by: Block | None = None

    def feed(self, events: Iterable[Event]) -> list[Step]:
        """Take the events of one read; return what began, grew and ended, deltas of a block merged."""
        rest = iter(events)
        if not self.is_over:
            self._handle(rest)
        self.hear_out(rest)
        return self._take_steps()

    def _handle(self, events: Iterator[Event]) -> None:
        handlers = self._HANDLERS
        for event in events:
            handler = handlers.get(event["type"])
            if handler is not None:
                handler(self, event)
                if self.is_over:
                    break
            else:
                note_event(event["type"])

    def hear_out(self, events: Iterable[Event]) -> None:
        """Read what follows the end of the answer only for its usage, in case a stop sequence ended it."""
        for event in events:
            if event["type"] in _CLOSING and not self._closed:
                self._close_with(event)

    @property
    def lacks_usage(self) -> bool:
        """True while the closing event of a stopped answer has not arrived."""
        return self._stop.hit and not self._closed

    def outcome(self) -> Outcome:
        """Say how this attempt ended; to be asked once, when no more events come."""
        if self._failure is not None:
            return Failed(self._failure)
        if not self.is_over or (self._open_blocks() and not self._cut_reason and not self._stop.hit):
            return BrokenOff(_text_of(self._blocks))
        steps = tuple(self._close())
        has_calls = any(block.kind == "tool_use" and block.item is not None for block in self._blocks)
        items = () if has_calls or self._stop.hit else self._attempt_items()
        if items and self._cut_reason == "max_output_tokens":
            return Resumable(self._cut_reason, items, steps)
        if self._cut_reason:
            return Incomplete(self._cut_reason, not (has_calls or _text_of(self._blocks)), steps)
        if items and self._wants_to_go_on:
            return Resumable("end_turn", items, steps)
        return Finished(self._stop.hit, steps)

    def _close(self) -> list[Step]:
        """End the blocks that the attempt left open; every started block gets its end."""
        for block in self._open_blocks():
            self._release(block)
            self._end(block)
        return self._take_steps()

    def keep(self) -> None:
        """Keep all blocks and collect the next attempt behind them."""
        self._blocks_kept = len(self._blocks)
        self._stop_kept = self._stop.before
        self._totals_kept = replace(self._totals)
        self._start_attempt()

    def drop(self) -> None:
        """Forget the present attempt: it failed and is made again."""
        del self._blocks[self._blocks_kept :]
        self._totals = replace(self._totals_kept)
        self._start_attempt()

    def cut_off(self) -> bool:
        """Give up the present attempt: what was kept is the answer, cut at the output limit.

        False where nothing was kept that a person could read.
        """
        if not _text_of(self._blocks[: self._blocks_kept]):
            return False
        self.drop()
        self._cut_reason = "max_output_tokens"
        return True

    def replay(self) -> list[Step]:
        """Return the kept blocks' steps again, for listeners that were asked to discard them."""
        steps: list[Step] = []
        for block in self._blocks[: self._blocks_kept]:
            steps.append(BlockStart(block.index, block.kind, block.name))
            if block.kind != "tool_use" and block.text:
                steps.append(BlockDelta(block.index, block.kind, block.text))
            steps.append(BlockEnd(block.index, block.kind))
        return steps

    @property
    def attempt_usage(self) -> AttemptUsage:
        """The usage of the present attempt alone."""
        whole, kept = self._totals, self._totals_kept
        return AttemptUsage(
            whole.input_tokens - kept.input_tokens,
            whole.output_tokens - kept.output_tokens,
            whole.reasoning_tokens - kept.reasoning_tokens,
            len(self._blocks) - self._blocks_kept,
        )

    @property
    def response_id(self) -> str:
        """The backend's id of the latest response."""
        return self._response_id

    def response(self, call: Call) -> ChatGPTResponse:
        """Build the ChatResponse of everything collected; ``call`` is the one that was answered."""
        names = {"openai-chatgpt:response_id": self._response_id, "openai-chatgpt:model": self._model}
        return build_response(
            self._blocks,
            call,
            self._totals,
            incomplete=self._cut_reason,
            metadata={**call.metadata(), **{key: name for key, name in names.items() if name}},
        )

    def _open_blocks(self) -> list[Block]:
        """Blocks of this attempt that began and never got their authoritative item."""
        return [block for block in self._blocks[self._blocks_kept :] if not block.ended]

    def _ended_blocks(self) -> list[Block]:
        return [block for block in self._blocks[self._blocks_kept :] if block.ended]

    def _attempt_items(self) -> tuple[dict[str, Any], ...]:
        items = (block.output_item() for block in self._blocks[self._blocks_kept :])
        return tuple(item for item in items if item is not None)

    def _text_delta(self, event: Event, kind: Kind = "text") -> None:
        delta, place = event.get("delta"), event.get("output_index")
        if not isinstance(delta, str):
            return
        if place is None or (place, kind) != self._place:
            block = self._index.find(event, kind) or self._unannounced(event, kind)
            self._turn_to(None if block.ended else block, (place, kind))
        if self._growing is not None:
            self._growing.fragments.append(delta)

    def _summary_delta(self, event: Event) -> None:
        block, delta, section = self._thought(event), event.get("delta"), event.get("summary_index")
        if block is None or not isinstance(delta, str):
            return
        if block.section is not None and block.section != section:
            event = {**event, "delta": "\n\n" + delta}
        block.section = section
        self._text_delta(event, "thinking")

    def _raw_reasoning_delta(self, event: Event) -> None:
        """Raw reasoning is shown only where there is no summary of it."""
        block = self._thought(event)
        if block is not None and block.section is None:
            self._text_delta(event, "thinking")

    def _thought(self, event: Event) -> Block | None:
        block = self._index.find(event, "thinking") or self._unannounced(event, "thinking")
        return None if block.ended else block

    def _text_done(self, event: Event, kind: Kind = "text") -> None:
        """Keep the whole text of a part, for an answer that lacks the item's own event."""
        block, text = self._index.find(event, kind), event.get("text", event.get("refusal"))
        if block is not None and isinstance(text, str):
            block.parts_done.append(clean_text(text))

    def _summary_done(self, event: Event) -> None:
        self._text_done(event, "thinking")

    def _arguments_delta(self, event: Event) -> None:
        block, delta = self._index.find(event, "tool_use"), event.get("delta")
        if block is not None and isinstance(delta, str):
            block.fragments.append(delta)

    def _arguments_done(self, event: Event) -> None:
        block = self._index.find(event, "tool_use")
        whole = event.get("arguments", event.get("input"))
        if block is not None and isinstance(whole, str):
            block.parts_done = [clean_text(whole)]

    def _item_added(self, event: Event) -> None:
        item = event.get("item")
        if isinstance(item, Mapping) and (kind := KINDS.get(_word(item.get("type")))):
            block = self._index.find(event, kind, item)
            if block is None or block.ended:
                self._begin(event, kind, item)

    def _item_done(self, event: Event) -> None:
        item = event.get("item")
        note_item(item)
        if isinstance(item, Mapping) and (kind := KINDS.get(_word(item.get("type")))):
            block = self._index.find(event, kind, item)
            if block is None or (block.ended and is_other(block, item)):
                block = self._unannounced(event, kind, item)
            if not block.ended:
                self._finish(block, item)

    def _finish(self, block: Block, item: Mapping[str, Any]) -> None:
        """Close a block with its item; a call whose arguments were cut stays open and is never run."""
        if block.kind == "tool_use" and item.get("status") == "incomplete":
            return
        block.item = item = clean_value(item)
        if block.kind == "tool_use":
            block.item = item = with_arguments(item, block)
            block.name = self._tool_name(item) or block.name
        else:
            self._settle(block, item_text(item, block.kind))
        self._end(block)

    def _created(self, event: Event) -> None:
        response = event.get("response")
        if isinstance(response, Mapping):
            self._response_id = clean_text(_word(response.get("id"))) or self._response_id
            self._model = clean_text(_word(response.get("model"))) or self._model

    def _close_with(self, event: Event) -> None:
        self._closed = True
        response = event.get("response")
        if isinstance(response, Mapping):
            self._totals.add(response.get("usage"))
            note_usage(response.get("usage"))

    def _completed(self, event: Event) -> None:
        self._created(event)
        self._close_with(event)
        response = event.get("response")
        if isinstance(response, Mapping):
            self._late_items(response.get("output"))
            self._wants_to_go_on = response.get("end_turn") is False
        self.is_over = True

    def _finished(self, event: Event) -> None:
        self._completed(event)
        self._flush()
        for block in self._open_blocks():
            if item := complete_item(block):
                self._finish(block, item)

    def _late_items(self, output: object) -> None:
        """Take the items that only the closing event carries; this backend sends each on its own before."""
        for place, item in enumerate(output if isinstance(output, list) else ()):
            if isinstance(item, Mapping) and not any(map(partial(is_same, item), self._ended_blocks())):
                self._item_done({"output_index": place, "item": item})

    def _incomplete(self, event: Event) -> None:
        self._completed(event)
        response = event.get("response")
        details = response.get("incomplete_details") if isinstance(response, Mapping) else None
        reason = _word(details.get("reason")) if isinstance(details, Mapping) else ""
        self._cut_reason = reason or "unknown"
        note_fields("incomplete_details", details)

    def _failed(self, event: Event) -> None:
        self._failure = event
        self.is_over = True

    def _begin(self, event: Event, kind: Kind, item: Mapping[str, Any]) -> Block:
        self._flush()
        name = self._tool_name(item) if kind == "tool_use" else ""
        block = Block(len(self._blocks), kind, name, announced=item)
        self._blocks.append(block)
        self._index.add(block, event, item)
        self._steps.append(BlockStart(block.index, kind, name))
        return block

    def _unannounced(self, event: Event, kind: Kind, item: Mapping[str, Any] | None = None) -> Block:
        """Start a block for an event that fits none; an event without a place means the block still open."""
        if not isinstance(event.get("output_index"), int):
            for block in reversed(self._open_blocks()):
                if block.kind == kind:
                    return block
        return self._begin(event, kind, item or {})

    def _tool_name(self, item: Mapping[str, Any]) -> str:
        name = _word(item.get("name"))
        return self._tool_names.get(name, name)

    def _turn_to(self, block: Block | None, place: object) -> None:
        """Direct the deltas of one place in the output to a block, or to none."""
        self._flush()
        self._growing, self._place = block, place

    def _flush(self) -> None:
        block, self._growing, self._place = self._growing, None, None
        if block is None:
            return
        text = block.take_fragments()
        if block.kind != "text":
            self._show(block, text)
            return
        if self._held_by is not block:
            self._release(self._held_by)
            self._held_by = block
        self._show(block, self._stop.feed(block.marks.feed(text)))
        self._note_stop(block)

    def _note_stop(self, block: Block) -> None:
        """End the answer where a stop sequence did, also one that began in an earlier block."""
        if not self._stop.hit:
            return
        self.is_over = True
        overlap, self._stop.overlap = self._stop.overlap, 0
        for earlier in reversed(self._blocks[: block.index]):
            if overlap and earlier.kind == "text" and (text := earlier.text):
                earlier.pieces = [text[: max(0, len(text) - overlap)]]
                overlap = max(0, overlap - len(text))

    def _release(self, block: Block | None) -> None:
        """Show what was held back of a block that goes no further."""
        self._flush()
        if block is not None and block is self._held_by and not block.ended:
            self._show(block, self._stop.feed(block.marks.release()))
            self._show(block, self._stop.release())
            self._stop.end_block(block.text)
            self._held_by = None

    def _show(self, block: Block, text: str) -> None:
        if text:
            block.pieces.append(text)
            self._steps.append(BlockDelta(block.index, block.kind, text))

    def _settle(self, block: Block, text: str) -> None:
        """Show what no delta brought of a finished item, and keep its text as the item has it.

        An item without any readable text takes nothing away.
        """
        self._flush()
        if block.kind == "text":
            if self._held_by is not block:
                self._release(self._held_by)
            self._held_by = None
            text = self._stop.cut(without_marks(text))
            self._note_stop(block)
            self._stop.end_block(text)
        if text.startswith(shown := block.text):
            self._show(block, text[len(shown) :])
        if text:
            block.pieces = [text]

    def _end(self, block: Block) -> None:
        self._flush()
        block.ended = True
        self._steps.append(BlockEnd(block.index, block.kind))

    def _take_steps(self) -> list[Step]:
        self._flush()
        steps, self._steps = self._steps, []
        return steps

    _HANDLERS: ClassVar[Mapping[str, Callable[[ResponseAccumulator, Event], None]]] = {
        "response.output_text.delta": _text_delta,
        "response.refusal.delta": _text_delta,
        "response.reasoning_summary_text.delta": _summary_delta,
        "response.reasoning_text.delta": _raw_reasoning_delta,
        "response.output_text.done": _text_done,
        "response.refusal.done": _text_done,
        "response.reasoning_summary_text.done": _summary_done,
        "response.function_call_arguments.delta": _arguments_delta,
        "response.function_call_arguments.done": _arguments_done,
        "response.custom_tool_call_input.delta": _arguments_delta,
        "response.custom_tool_call_input.done": _arguments_done,
        "response.output_item.added": _item_added,
        "response.output_item.done": _item_done,
        "response.created": _created,
        "response.completed": _finished,
        "response.done": _finished,
        "response.incomplete": _incomplete,
        "response.failed": _failed,
        "response.error": _failed,
        "error": _failed,
    }
    # The types of event that have an effect.
    KNOWN_EVENTS: ClassVar[frozenset[str]] = frozenset(_HANDLERS)


_CLOSING = frozenset({"response.completed", "response.done", "response.incomplete"})


def _text_of(blocks: Iterable[Block]) -> str:
    return "".join(block.text for block in blocks if block.kind == "text")


def _word(value: object) -> str:
    return clean_text(value) if isinstance(value, str) else ""
