"""The turn states that the backend hands out, and the turn that each belongs to."""

from __future__ import annotations

import threading
import uuid

_KEPT = 1_000


class Turns:
    """Remembers the latest turns and their states; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, str] = {}

    def state(self, turn: str) -> str:
        """Return the state of a turn, the same for all of its answers."""
        with self._lock:
            known = self._states.setdefault(turn, f"ts_{uuid.uuid4().hex}")
            if len(self._states) > _KEPT:
                del self._states[next(iter(self._states))]
            return known

    def turn(self, state: str) -> str | None:
        """Return the turn that a state belongs to."""
        with self._lock:
            return next((turn for turn, known in self._states.items() if known == state), None)
