"""Pairs tool calls with their results and repairs what is unpaired.

The backend refuses a call without a result and a result without a call (docs/backend.md, Items). Each
decision depends only on earlier messages, and on whether a call has a result at all, so the start of a
longer conversation is repaired in the same way as the shorter one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ..protocol.call import Repair

if TYPE_CHECKING:
    from ..protocol.items import Output

MISSING = "[No result of this tool call was recorded; it may have been interrupted.]"
LONGEST_ID = 64


class _Call(NamedTuple):
    """A call at its index in the input. ``epoch`` counts the messages before it that are not the model's."""

    id: str
    wire_id: str
    name: str
    arguments: str
    place: int
    epoch: int


@dataclass(slots=True)
class Pairing:
    """Pairs calls and results, given in the order of the conversation."""

    repairs: list[Repair] = field(default_factory=list)
    epoch: int = 0
    _waiting: dict[str, list[_Call]] = field(default_factory=dict)
    _unanswered: dict[int, _Call] = field(default_factory=dict)
    _results: dict[str, Output] = field(default_factory=dict)
    _uses: dict[str, int] = field(default_factory=dict)

    def next_epoch(self) -> None:
        """Note a message that is not the model's: from here on a repeated call id means a new call."""
        self.epoch += 1

    def call(self, call_id: str, name: str, arguments: str, place: int) -> str | None:
        """Return the id to send for a call at index ``place`` of the input; None for a repeated call."""
        waiting = self._waiting.get(call_id)
        if waiting:
            waiting = [call for call in waiting if call.epoch == self.epoch]
            if call_id and any((call.name, call.arguments) == (name, arguments) for call in waiting):
                self.repairs.append(Repair(call_id, name, "duplicate"))
                return None
        call = _Call(call_id, self._unique(call_id), name, arguments, place, self.epoch)
        self._unanswered[place] = call
        self._waiting[call_id] = [*waiting, call] if waiting else [call]
        return call.wire_id

    def result(self, call_id: str, name: str, output: Output) -> tuple[str | None, bool]:
        """Return the id to send for a result, or None and whether the model gets it as a note.

        A result belongs to the oldest unanswered call with its id; without an id, to the oldest with
        its name, or the oldest without an id if it has no name either.
        """
        waiting = self._waiting.get(call_id) if call_id or not name else self._named(name)
        if waiting:
            call = waiting.pop(0)
            del self._unanswered[call.place]
            self._results[call_id] = output
            return call.wire_id, False
        again = bool(call_id) and self._results.get(call_id) == output
        self.repairs.append(Repair(call_id, name, "duplicate" if again else "orphan_result"))
        return None, not again

    def unanswered(self) -> dict[int, str]:
        """Return the index and wire id of each call without a result, in order."""
        unanswered = self._unanswered.values()
        self.repairs.extend(
            Repair(call.id or call.wire_id, call.name, "missing_result") for call in unanswered
        )
        return {place: call.wire_id for place, call in self._unanswered.items()}

    def _named(self, name: str) -> list[_Call] | None:
        """Find the oldest unanswered call with this name, for a result without an id."""
        for call in self._unanswered.values():
            if call.name == name and call in self._waiting[call.id]:
                self._waiting[call.id].remove(call)
                return [call]
        return None

    def _unique(self, call_id: str) -> str:
        """Number a repeated id: some models restart their call ids each turn."""
        base = call_id or "call"
        if len(base) > LONGEST_ID:
            base = f"call_{hashlib.sha256(base.encode()).hexdigest()[:24]}"
        if base not in self._uses:
            self._uses[base] = 1
            return base
        number, unique = self._uses[base], base
        while unique in self._uses:
            number += 1
            unique = f"{base}_{number}"
        self._uses[base] = number
        self._uses[unique] = 1
        return unique
