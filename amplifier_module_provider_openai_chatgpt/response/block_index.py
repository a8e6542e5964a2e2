"""Which block an event or an item belongs to, also in the streams of relays that number items oddly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..protocol.blocks import KINDS, item_text
from ..protocol.citations import without_marks

if TYPE_CHECKING:
    from ..protocol.blocks import Block, Kind
    from ..protocol.events import Event


class BlockIndex:
    """The blocks of one attempt, by their item's place in the response and by its id."""

    def __init__(self) -> None:
        self._by_place: dict[int, Block] = {}
        self._by_id: dict[str, Block] = {}
        self._ids: dict[int, str] = {}

    def add(self, block: Block, event: Event, item: Mapping[str, Any]) -> None:
        """Register a block that begins."""
        if isinstance(place := event.get("output_index"), int):
            self._by_place[place] = block
        for name in (item.get("id"), event.get("item_id")):
            if isinstance(name, str):
                self._by_id[name] = block
                self._ids.setdefault(block.index, name)

    def find(self, event: Event, kind: Kind, item: Mapping[str, Any] | None = None) -> Block | None:
        """Find a block by its item's place in the response, else by the item's id.

        The place decides while its block is open: some relays change ids between events. Others give
        every item the same place: an ended block with another id, or of another kind, is not it.
        """
        name = item.get("id") if item else event.get("item_id")
        named = self._by_id.get(name) if isinstance(name, str) else None
        place = event.get("output_index")
        placed = self._by_place.get(place) if isinstance(place, int) else None
        if placed is not None and placed.ended and isinstance(name, str):
            placed = placed if self._ids.get(placed.index, name) == name else None
        found = placed or named
        return found if found is not None and found.kind == kind else None


def is_other(block: Block, item: Mapping[str, Any]) -> bool:
    """True where a finished item cannot be the one that the ended block had."""
    return not is_same(item, block) and item.get("id") is None


def is_same(item: Mapping[str, Any], block: Block) -> bool:
    """True where an item is the one that a block has: by id, by the call's id, else by its text."""
    had = block.item or {}
    kind = KINDS.get(str(item.get("type")))
    if kind is None or kind != block.kind:
        return kind is None
    for key in ("id", "call_id"):
        if item.get(key) is not None and had.get(key) is not None:
            return bool(item[key] == had[key])
    if kind == "tool_use":
        return item.get("arguments") == had.get("arguments") and item.get("name") == had.get("name")
    return without_marks(item_text(item, kind)) == block.text


def with_arguments(item: Mapping[str, Any], block: Block) -> Mapping[str, Any]:
    """Fill in the arguments of a call that only their own events carried."""
    key = "input" if item.get("type") == "custom_tool_call" else "arguments"
    if item.get(key):
        return item
    arguments = "".join(block.parts_done) or block.take_fragments()
    return {**item, key: arguments} if arguments else item


def complete_item(block: Block) -> dict[str, Any] | None:
    """Return the item of a block that other events called complete, None where they did not.

    Some relays leave out ``response.output_item.done``.
    """
    if not block.parts_done:
        return None
    if block.kind == "tool_use":
        return dict(with_arguments(block.announced, block)) if block.announced.get("call_id") else None
    joint, part = ("\n\n", "summary_text") if block.kind == "thinking" else ("", "output_text")
    if without_marks(joint.join(block.parts_done)) != block.text:
        return None
    parts = [{"type": part, "text": text} for text in block.parts_done]
    kind, place = ("reasoning", "summary") if block.kind == "thinking" else ("message", "content")
    return {**block.announced, "type": kind, place: parts}
