"""Events of the Responses API become blocks, the steps of a stream, and in the end one ChatResponse.

Each output item is one block, in order of appearance, so a block's index on the stream is its place
in ``ChatResponse.content``. ``response.output_item.done`` is the authority on an item; deltas only
show it early (docs/backend.md, Event stream). No I/O: everything is driven by ``feed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from ..protocol.blocks import KINDS, Block, BlockDelta, BlockEnd, BlockStart, item_text
from ..protocol.text import clean_text, clean_value
from .response import ChatGPTResponse, Totals, build_response
from .stop import StopFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..protocol.blocks import Kind, Step
    from ..protocol.call import Call
    from ..transport.sse import Event


class ResponseAccumulator:
    """What one ``complete()`` has got so far.

    A *leg* is one response of the backend: ``begin_leg`` starts the next behind what is there,
    ``drop_leg`` forgets a failed one. ``finished`` means that nothing more of this leg is wanted.
    """

    def __init__(self, call: Call) -> None:
        self.blocks: list[Block] = []
        self.totals = Totals()
        self.response_id = ""
        self.model = ""
        self._legs_kept = 0
        self._totals_kept = Totals()
        self._start_leg(call)

    def _start_leg(self, call: Call) -> None:
        self.call = call
        self.finished = False
        self.incomplete = ""
        self.wants_to_go_on = False
        self.failure: Event | None = None
        self._by_key: dict[int | str, Block] = {}
        self._growing: Block | None = None
        self._place: object = None
        self._steps: list[Step] = []
        self._stop = StopFilter(call.stop)

    def feed(self, events: Iterable[Event]) -> list[Step]:
        """Take the events of one read; return what began, grew and ended, deltas of a block merged."""
        handlers = self._HANDLERS
        for event in events:
            handler = handlers.get(event["type"])
            if handler is not None:
                handler(self, event)
                if self.finished:
                    break
        return self._take_steps()

    def close_leg(self) -> list[Step]:
        """End the blocks that the response left open; every started block gets its end."""
        for block in self.open_blocks:
            self._flush()
            if block.kind == "text":
                self._show(block, self._stop.release())
            self._end(block)
        return self._take_steps()

    def begin_leg(self, call: Call) -> None:
        """Keep all blocks and collect the next response of the backend behind them."""
        self._legs_kept = len(self.blocks)
        self._totals_kept = replace(self.totals)
        self._start_leg(call)

    def drop_leg(self, call: Call) -> None:
        """Forget the running leg: its attempt failed and is made again."""
        del self.blocks[self._legs_kept :]
        self.totals = replace(self._totals_kept)
        self._start_leg(call)

    def replay(self) -> list[Step]:
        """Give the kept blocks once more, for listeners that were told to discard what they had."""
        steps: list[Step] = []
        for block in self.blocks[: self._legs_kept]:
            steps.append(BlockStart(block.index, block.kind, block.name))
            if block.kind != "tool_use" and block.text:
                steps.append(BlockDelta(block.index, block.kind, block.text))
            steps.append(BlockEnd(block.index, block.kind))
        return steps

    @property
    def kept_text(self) -> str:
        """Text of the earlier legs, which must not be lost by a later failure."""
        return _text_of(self.blocks[: self._legs_kept])

    @property
    def stopped(self) -> bool:
        """True when a stop sequence of the request ended the answer."""
        return self._stop.hit

    @property
    def open_blocks(self) -> list[Block]:
        """Blocks of this leg that began and never got their authoritative item."""
        return [block for block in self.blocks[self._legs_kept :] if not block.ended]

    @property
    def text(self) -> str:
        """All text of the answer so far."""
        return _text_of(self.blocks)

    @property
    def has_calls(self) -> bool:
        """True when the model asked for tools: then it is the loop's turn."""
        return any(block.kind == "tool_use" and block.item is not None for block in self.blocks)

    def leg_items(self) -> list[dict[str, Any]]:
        """Wire items of this leg, to be sent back when the answer is continued."""
        items = (block.replay_item() for block in self.blocks[self._legs_kept :])
        return [item for item in items if item is not None]

    def response(self) -> ChatGPTResponse:
        """Build the ChatResponse of everything collected."""
        names = {"openai-chatgpt:response_id": self.response_id, "openai-chatgpt:model": self.model}
        return build_response(
            self.blocks,
            self.call,
            self.totals,
            incomplete=self.incomplete,
            metadata={**self.call.metadata(), **{key: name for key, name in names.items() if name}},
        )

    def _text_delta(self, event: Event, kind: Kind = "text") -> None:
        delta, place = event.get("delta"), event.get("output_index")
        if not isinstance(delta, str):
            return
        if place is None or place != self._place:
            block = self._block_of(event) or self._unannounced(event, kind)
            self._turn_to(None if block.ended else block, place)
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
        block = self._block_of(event) or self._unannounced(event, "thinking")
        return None if block.ended else block

    def _item_added(self, event: Event) -> None:
        item = event.get("item")
        if isinstance(item, Mapping) and (kind := KINDS.get(_word(item.get("type")))):
            block = self._block_of(event, item)
            if block is None or block.ended:
                self._begin(event, kind, item)

    def _item_done(self, event: Event) -> None:
        item = event.get("item")
        if isinstance(item, Mapping) and (kind := KINDS.get(_word(item.get("type")))):
            block = self._block_of(event, item) or self._unannounced(event, kind, item)
            if not block.ended:
                self._finish(block, item)

    def _finish(self, block: Block, item: Mapping[str, Any]) -> None:
        """Close a block with its item; a call whose arguments were cut stays open and is never run."""
        if block.kind == "tool_use" and item.get("status") == "incomplete":
            return
        block.item = item = clean_value(item)
        if block.kind == "tool_use":
            block.name = self._tool_name(item) or block.name
        else:
            self._settle(block, item_text(item, block.kind))
        self._end(block)

    def _created(self, event: Event) -> None:
        response = event.get("response")
        if isinstance(response, Mapping):
            self.response_id = clean_text(_word(response.get("id"))) or self.response_id
            self.model = clean_text(_word(response.get("model"))) or self.model

    def _completed(self, event: Event) -> None:
        self._created(event)
        response = event.get("response")
        if isinstance(response, Mapping):
            self._last_word(response.get("output"))
            self.totals.add(response.get("usage"))
            self.wants_to_go_on = response.get("end_turn") is False
        self.finished = True

    def _last_word(self, output: object) -> None:
        """Take the items of a closing event where none came before it; this backend leaves them out."""
        if isinstance(output, list) and not any(block.ended for block in self.blocks[self._legs_kept :]):
            for place, item in enumerate(output):
                self._item_done({"output_index": place, "item": item})

    def _incomplete(self, event: Event) -> None:
        self._completed(event)
        response = event.get("response")
        details = response.get("incomplete_details") if isinstance(response, Mapping) else None
        reason = _word(details.get("reason")) if isinstance(details, Mapping) else ""
        self.incomplete = reason or "unknown"

    def _failed(self, event: Event) -> None:
        self.failure = event
        self.finished = True

    def _begin(self, event: Event, kind: Kind, item: Mapping[str, Any]) -> Block:
        self._flush()
        name = self._tool_name(item) if kind == "tool_use" else ""
        block = Block(len(self.blocks), kind, name)
        self.blocks.append(block)
        for key in (event.get("output_index"), item.get("id"), event.get("item_id")):
            if isinstance(key, int | str):
                self._by_key[key] = block
        self._steps.append(BlockStart(block.index, kind, name))
        return block

    def _block_of(self, event: Event, item: Mapping[str, Any] | None = None) -> Block | None:
        """Find a block by its item's place in the response, else by the item's id."""
        key = event.get("output_index")
        if isinstance(key, int) and (block := self._by_key.get(key)):
            return block
        key = item.get("id") if item else event.get("item_id")
        return self._by_key.get(key) if isinstance(key, str) else None

    def _unannounced(self, event: Event, kind: Kind, item: Mapping[str, Any] | None = None) -> Block:
        """Give an event that fits no block a new one; one without a place means the block still open."""
        if not isinstance(event.get("output_index"), int):
            for block in reversed(self.open_blocks):
                if block.kind == kind:
                    return block
        return self._begin(event, kind, item or {})

    def _tool_name(self, item: Mapping[str, Any]) -> str:
        name = _word(item.get("name"))
        return self.call.tool_names.get(name, name)

    def _turn_to(self, block: Block | None, place: object) -> None:
        """Let the deltas of one place in the output grow a block, or none."""
        self._flush()
        self._growing, self._place = block, place

    def _flush(self) -> None:
        block, self._growing, self._place = self._growing, None, None
        if block is not None:
            text = block.take_fragments()
            self._show(block, self._stop.feed(text) if block.kind == "text" else text)
            if self._stop.hit:
                self.finished = True

    def _show(self, block: Block, text: str) -> None:
        if text:
            block.pieces.append(text)
            self._steps.append(BlockDelta(block.index, block.kind, text))

    def _settle(self, block: Block, text: str) -> None:
        """Show what no delta has brought of a finished item, and keep its text as the item has it.

        An item without any readable text takes nothing away.
        """
        self._flush()
        if block.kind == "text":
            text = self._stop.cut(text)
            self.finished = self.finished or self._stop.hit
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
        "response.output_item.added": _item_added,
        "response.output_item.done": _item_done,
        "response.created": _created,
        "response.completed": _completed,
        "response.done": _completed,
        "response.incomplete": _incomplete,
        "response.failed": _failed,
        "error": _failed,
    }


def _text_of(blocks: Iterable[Block]) -> str:
    return "".join(block.text for block in blocks if block.kind == "text")


def _word(value: object) -> str:
    return clean_text(value) if isinstance(value, str) else ""
