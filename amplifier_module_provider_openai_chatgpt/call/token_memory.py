"""What the backend counted for the last requests of each conversation, from which an estimate starts.

Only counts and hashes are kept, no text.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from .estimate import estimate_call, tokens_of

if TYPE_CHECKING:
    from typing import Self

    from ..protocol.call import Call
    from ..response.response import AttemptUsage
    from .estimate import CallEstimate, Part

MOST_CONVERSATIONS = 64
# A session's utility calls (titles, summaries) share its conversation with other messages.
MOST_COUNTS = 4
# Marks around an item of the answer, which its usage may not include.
_ITEM = 6


@dataclass(frozen=True, slots=True)
class Counted:
    """A request that was answered: its usage, and hashes that identify its parts."""

    usage: AttemptUsage
    items: array[int]
    instructions: int
    fixed: int

    @classmethod
    def of(cls, estimate: CallEstimate, usage: AttemptUsage) -> Self:
        """Note the parts of an answered request."""
        items = array("q", [part.content for part in estimate.items])
        return cls(usage, items, estimate.instructions.content, estimate.fixed.content)

    def bound(self, estimate: CallEstimate) -> int:
        """Return the most tokens that a call should have, if what it shares with this request is counted.

        What the two do not share is estimated; what was removed since still counts.
        """
        shared = self.shared_items(estimate)
        answer = self._answer(estimate, shared) if shared == len(self.items) else ()
        tokens = self.usage.input_tokens + self._answer_tokens(answer)
        tokens += tokens_of(estimate.items[shared + len(answer) :])
        if estimate.instructions.content != self.instructions:
            tokens += estimate.instructions.tokens
        return tokens + (estimate.fixed.tokens if estimate.fixed.content != self.fixed else 0)

    def shared_items(self, estimate: CallEstimate) -> int:
        """Return the number of items at the start that are the same."""
        pairs = zip(self.items, estimate.items, strict=False)
        differing = (place for place, (one, other) in enumerate(pairs) if one != other.content)
        return next(differing, min(len(self.items), len(estimate.items)))

    def _answer(self, estimate: CallEstimate, start: int) -> tuple[Part, ...]:
        """Return the items after ``start`` that are the answer's."""
        behind = estimate.items[start : start + self.usage.blocks]
        return tuple(takewhile(lambda part: part.is_models, behind))

    def _answer_tokens(self, answer: tuple[Part, ...]) -> int:
        if not answer:
            return 0
        is_replayed = any(part.is_reasoning for part in answer)
        hidden = 0 if is_replayed else min(self.usage.reasoning_tokens, self.usage.output_tokens)
        return self.usage.output_tokens - hidden + _ITEM * len(answer)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """One conversation; ``factor`` corrects estimates after the backend refused a call as too long."""

    counted: tuple[Counted, ...] = ()
    factor: float = 1.0


class TokenMemory:
    """The counts of up to ``MOST_CONVERSATIONS`` conversations; the one unused for the longest is forgotten.

    A conversation is remembered from its first estimate on: most hosts never ask for one. The key is its id
    with the model, because models count differently. A lock guards the dictionary, because a provider may
    be used in several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._conversations: dict[tuple[str, str], _Remembered] = {}

    def __len__(self) -> int:
        return len(self._conversations)

    def estimate(self, call: Call, parts: CallEstimate) -> int:
        """Return the best estimate of a call's tokens; ``parts`` is the estimate without memory."""
        known = self._get(call) or _Remembered()
        self._put(call, known)
        whole = round(parts.total * known.factor)
        return min([whole, *(counted.bound(parts) for counted in known.counted)])

    def learn(self, call: Call, usage: AttemptUsage) -> None:
        """Note the usage of an answered call, in place of one that it continues."""
        known = self._get(call)
        if known is None or usage.input_tokens <= 0:
            return
        parts = estimate_call(call)
        new = Counted.of(parts, usage)
        older = [one for one in known.counted if one.shared_items(parts) < len(one.items)]
        self._put(call, _Remembered((*older, new)[-MOST_COUNTS:]))

    def refuse(self, call: Call, parts: CallEstimate) -> None:
        """Note that a call was too long for the window, whatever was counted or estimated before."""
        known = self._get(call) or _Remembered()
        factor = (call.model.context_window + 1) / max(1, parts.total)
        self._put(call, _Remembered(factor=max(1.0, factor, known.factor)))

    def _get(self, call: Call) -> _Remembered | None:
        return self._conversations.get(_key(call))

    def _put(self, call: Call, remembered: _Remembered) -> None:
        key = _key(call)
        with self._lock:
            self._conversations.pop(key, None)
            self._conversations[key] = remembered
            while len(self._conversations) > MOST_CONVERSATIONS:
                del self._conversations[next(iter(self._conversations))]


def _key(call: Call) -> tuple[str, str]:
    return call.conversation_id, call.slug
