"""The course of a simulated sign-in by device code."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Device:
    """The course of a device sign-in: ``pending`` polls before approval; queued ``outcomes`` come first."""

    pending: int = 1
    interval: str = "1"
    approve_manually: bool = False
    outcomes: deque[tuple[int, object]] = field(default_factory=deque)
    waiting: dict[str, tuple[str, int]] = field(default_factory=dict, repr=False)

    def outcome(self, status: int, body: object) -> None:
        """Queue the exact answer to a poll: JSON, text or bytes."""
        self.outcomes.append((status, body))

    def refuse(self) -> None:
        """Answer the next poll as if the person had refused."""
        self.outcome(403, {"error": {"message": "The person refused.", "code": "access_denied"}})

    def approve(self) -> None:
        """Approve now; needed only with ``approve_manually``."""
        self.approve_manually, self.pending = False, 0
