"""The course of a simulated sign-in by device code."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

_TOLERANCE = 0.05


@dataclass(slots=True)
class Device:
    """The course of a device sign-in: ``pending`` polls before approval; queued ``outcomes`` come first.

    A poll earlier than ``interval`` seconds after the last one, by ``clock``, is answered with `slow_down`.
    [unsure]: the real issuer may tolerate it.
    """

    pending: int = 1
    interval: str = "1"
    approve_manually: bool = False
    outcomes: deque[tuple[int, object]] = field(default_factory=deque)
    clock: Callable[[], float] = time.monotonic
    codes: dict[str, str] = field(default_factory=dict, repr=False)
    polls: dict[str, list[float]] = field(default_factory=dict, repr=False)

    def poll(self, device_id: str) -> int | None:
        """Count a poll in time; returns how many came before it, or None if this one is too early."""
        times, now = self.polls.setdefault(device_id, []), self.clock()
        if times and now - times[-1] < float(self.interval) - _TOLERANCE:
            return None
        times.append(now)
        return len(times) - 1

    def outcome(self, status: int, body: object) -> None:
        """Queue the exact answer to a poll: JSON, text or bytes."""
        self.outcomes.append((status, body))

    def refuse(self) -> None:
        """Answer the next poll as if the person had refused."""
        self.outcome(403, {"error": {"message": "The person refused.", "code": "access_denied"}})

    def approve(self) -> None:
        """Approve now; needed only with ``approve_manually``."""
        self.approve_manually, self.pending = False, 0
