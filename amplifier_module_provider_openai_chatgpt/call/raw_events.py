"""What raw mode keeps of an answer: every finished item once, and nothing that only repeats it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..protocol.events import Event

# Replaces a long value that the request or an earlier event already contains.
REPEATED = "[as before]"
_LONG = 64

Place: TypeAlias = tuple[object, ...]


@dataclass(slots=True)
class _Progress:
    """One event about an item that is not finished; the deltas of one part are joined."""

    event: Event
    item_id: str | None
    fragments: list[str] = field(default_factory=list)

    def joined(self) -> Event:
        if not self.fragments:
            return self.event
        event = {**self.event, "delta": "".join(self.fragments)}
        event.pop("obfuscation", None)
        return event


class RawEvents:
    """The events of one ``complete()``.

    Deltas and other events about an item are dropped when ``response.output_item.done`` brings the whole
    item. If an attempt ends before that, its deltas are kept, joined to one event for each part.
    """

    def __init__(self, sent: Mapping[str, Any]) -> None:
        """``sent`` is the request's body; the backend repeats much of it in several events."""
        self._known: dict[str, object] = dict(sent)
        self._items: list[object] = []
        self._kept: list[Event] = []
        # By output index, then by part.
        self._progress: dict[int | None, dict[Place, _Progress]] = {}
        self._notes = 0

    def add(self, events: Iterable[Event]) -> None:
        """Take the events of one read."""
        for event in events:
            if event["type"] == "response.output_item.done":
                self._finish(event)
            elif "output_index" in event or "delta" in event:
                self._note(event)
            else:
                self._kept.append(self._without_repeats(event))

    def end_attempt(self) -> None:
        """Keep what an attempt brought of the items that it did not finish."""
        self._kept += [one.joined() for item in self._progress.values() for one in item.values()]
        self._progress.clear()

    def to_list(self) -> list[Event]:
        """Return what is kept, in order; unfinished items last."""
        self.end_attempt()
        return self._kept

    def _note(self, event: Event) -> None:
        item_id, delta = _item_id(event), event.get("delta")
        item = self._progress.setdefault(_index(event), {})
        if not isinstance(delta, str):
            self._notes += 1
            item[(self._notes,)] = _Progress(event, item_id)
            return
        part = (_scalar(event.get("content_index")), _scalar(event.get("summary_index")))
        progress = item.setdefault((event["type"], item_id, *part), _Progress(event, item_id))
        progress.fragments.append(delta)

    def _finish(self, event: Event) -> None:
        item_id = _item_id(event)
        others = {
            part: progress
            for part, progress in self._progress.pop(_index(event), {}).items()
            if not _may_be_same(progress.item_id, item_id)
        }
        if others:
            self._progress[_index(event)] = others
        self._items.append(event.get("item"))
        self._kept.append(event)

    def _without_repeats(self, event: Event) -> Event:
        response = event.get("response")
        if not isinstance(response, dict):
            return event
        return {**event, "response": {key: self._once(key, value) for key, value in response.items()}}

    def _once(self, key: str, value: object) -> object:
        if not isinstance(value, str | list | dict) or (isinstance(value, str) and len(value) < _LONG):
            return value
        is_known = value and (self._known.get(key) == value or self._is_output(key, value))
        self._known[key] = value
        return REPEATED if is_known else value

    def _is_output(self, key: str, value: object) -> bool:
        return key == "output" and isinstance(value, list) and all(item in self._items for item in value)


def _may_be_same(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _index(event: Event) -> int | None:
    index = event.get("output_index")
    return index if isinstance(index, int) else None


def _item_id(event: Event) -> str | None:
    item = event.get("item")
    found = item.get("id") if isinstance(item, dict) else event.get("item_id")
    return found if isinstance(found, str) else None


def _scalar(value: object) -> object:
    return value if isinstance(value, int | str) else None
