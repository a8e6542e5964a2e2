"""Tool calls and their results find each other; what has lost its other half is repaired.

The backend refuses a call without a result and a result without a call. Decisions look backwards
only, except whether a call's result comes at all, so the beginning of a longer conversation is
repaired like the shorter one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

MISSING = "[No result of this tool call was recorded; it may have been interrupted.]"
LONGEST_ID = 64

Kind: TypeAlias = Literal["missing_result", "orphan_result", "duplicate"]


@dataclass(frozen=True, slots=True)
class Repair:
    """One call or result that stood alone or twice; ``tool_name`` is Amplifier's, empty if unknown."""

    tool_call_id: str
    tool_name: str
    kind: Kind


@dataclass(slots=True)
class _Call:
    """A call in the input. ``epoch`` counts what was said by others than the model before it."""

    id: str
    wire_id: str
    name: str
    arguments: str
    place: int
    epoch: int
    output: bytes | None = None


@dataclass(slots=True)
class Pairing:
    """Pairs calls and results in the order in which they are told."""

    repairs: list[Repair] = field(default_factory=list)
    _calls: list[_Call] = field(default_factory=list)
    _open: dict[str, list[_Call]] = field(default_factory=dict)
    _answered: dict[str, _Call] = field(default_factory=dict)
    _uses: dict[str, int] = field(default_factory=dict)
    _epoch: int = 0

    def others_spoke(self) -> None:
        """Note a message that is not the model's: a call with an id used before is now a new call."""
        self._epoch += 1

    def call(self, call_id: str, name: str, arguments: str, place: int) -> str | None:
        """Return the id to send for a call at ``place`` in the input; None for the same call again."""
        waiting = self._open.get(call_id)
        if waiting:
            waiting = [call for call in waiting if call.epoch == self._epoch]
        if waiting and call_id and any((call.name, call.arguments) == (name, arguments) for call in waiting):
            self.repairs.append(Repair(call_id, name, "duplicate"))
            return None
        call = _Call(call_id, self._unique(call_id), name, arguments, place, self._epoch)
        self._calls.append(call)
        self._open[call_id] = [*waiting, call] if waiting else [call]
        return call.wire_id

    def result(self, call_id: str, name: str, output: bytes) -> tuple[str | None, bool]:
        """Return the id to send for a result, or None and whether it is worth a note to the model.

        A result belongs to the oldest open call with its id; one without an id to the oldest with its name.
        """
        call = self._take(call_id, name)
        if call is not None:
            call.output = output
            self._answered[call_id] = call
            return call.wire_id, False
        answered = self._answered.get(call_id)
        again = bool(call_id) and answered is not None and answered.output == output
        self.repairs.append(Repair(call_id, name, "duplicate" if again else "orphan_result"))
        return None, not again

    def unanswered(self) -> dict[int, str]:
        """Give the places of calls that never got a result, with the ids to answer, in order."""
        lonely = [call for call in self._calls if call.output is None]
        self.repairs.extend(Repair(call.id or call.wire_id, call.name, "missing_result") for call in lonely)
        return {call.place: call.wire_id for call in lonely}

    def _take(self, call_id: str, name: str) -> _Call | None:
        waiting = self._open.get(call_id)
        if waiting:
            return waiting.pop(0)
        if call_id or not name:
            return None
        named = [call for calls in self._open.values() for call in calls if call.name == name]
        if not named:
            return None
        first = min(named, key=lambda call: call.place)
        self._open[first.id].remove(first)
        return first

    def _unique(self, call_id: str) -> str:
        """Some models count their calls anew each turn: a repeated id gets a number."""
        base = call_id
        if not base or len(base) > LONGEST_ID:
            digest = hashlib.sha256(base.encode()).hexdigest()[:24]
            base = f"call_{digest}" if base else "call"
        unique, number = base, self._uses.get(base, 0)
        while unique in self._uses:
            number += 1
            unique = f"{base}_{number}"
        self._uses[base] = number
        self._uses[unique] = 1
        return unique
