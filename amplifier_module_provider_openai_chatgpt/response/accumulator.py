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
from .outcome import BrokenOff, Failed, Finished, Incomplete, Resumable
from .response import ChatGPTResponse, Totals, build_response
from .stop import StopFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
        self._totals_kept = Totals()
        self._start_attempt()

    def _start_attempt(self) -> None:
        self.is_over = False
        self._cut_reason = ""
        self._wants_to_go_on = False
        self._failure: Event | None = None
        self._by_key: dict[int | str, Block] = {}
        self._growing: Block | None = None
        self._place: object = None
        self._steps: list[Step] = []
        self._stop = StopFilter(self._stop_sequences)

    def feed(self, events: Iterable[Event]) -> list[Step]:
        """Take the events of one read; return what began, grew and ended, deltas of a block merged."""
        handlers = self._HANDLERS
        for event in events:
            handler = handlers.get(event["type"])
            if handler is not None:
                handler(self, event)
                if self.is_over:
                    break
        return self._take_steps()

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
            self._flush()
            if block.kind == "text":
                self._show(block, self._stop.release())
            self._end(block)
        return self._take_steps()

    def keep(self) -> None:
        """Keep all blocks and collect the next attempt behind them."""
        self._blocks_kept = len(self._blocks)
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
        """Return the kept blocks' steps once more, for listeners that were told to discard them."""
        steps: list[Step] = []
        for block in self._blocks[: self._blocks_kept]:
            steps.append(BlockStart(block.index, block.kind, block.name))
            if block.kind != "tool_use" and block.text:
                steps.append(BlockDelta(block.index, block.kind, block.text))
            steps.append(BlockEnd(block.index, block.kind))
        return steps

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

    def _attempt_items(self) -> tuple[dict[str, Any], ...]:
        items = (block.replay_item() for block in self._blocks[self._blocks_kept :])
        return tuple(item for item in items if item is not None)

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
            self._response_id = clean_text(_word(response.get("id"))) or self._response_id
            self._model = clean_text(_word(response.get("model"))) or self._model

    def _completed(self, event: Event) -> None:
        self._created(event)
        response = event.get("response")
        if isinstance(response, Mapping):
            self._last_word(response.get("output"))
            self._totals.add(response.get("usage"))
            self._wants_to_go_on = response.get("end_turn") is False
        self.is_over = True

    def _last_word(self, output: object) -> None:
        """Take the items of a closing event where none arrived before it; this backend leaves them out."""
        if isinstance(output, list) and not any(block.ended for block in self._blocks[self._blocks_kept :]):
            for place, item in enumerate(output):
                self._item_done({"output_index": place, "item": item})

    def _incomplete(self, event: Event) -> None:
        self._completed(event)
        response = event.get("response")
        details = response.get("incomplete_details") if isinstance(response, Mapping) else None
        reason = _word(details.get("reason")) if isinstance(details, Mapping) else ""
        self._cut_reason = reason or "unknown"

    def _failed(self, event: Event) -> None:
        self._failure = event
        self.is_over = True

    def _begin(self, event: Event, kind: Kind, item: Mapping[str, Any]) -> Block:
        self._flush()
        name = self._tool_name(item) if kind == "tool_use" else ""
        block = Block(len(self._blocks), kind, name)
        self._blocks.append(block)
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
        if block is not None:
            text = block.take_fragments()
            self._show(block, self._stop.feed(text) if block.kind == "text" else text)
            if self._stop.hit:
                self.is_over = True

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
            text = self._stop.cut(text)
            self.is_over = self.is_over or self._stop.hit
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
