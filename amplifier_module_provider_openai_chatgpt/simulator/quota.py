"""The simulated account's limits: their headers, the usage document and the refusal when they are reached."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

_SPEND_CAP = "workspace_member_usage_limit_reached"
_CAP = {"source": "workspace", "limit": "100", "used": "100", "remaining": "0", "used_percent": 100}


@dataclass(slots=True)
class Window:
    """One limit window: use in percent, length in minutes, time of reset in Unix seconds."""

    used: float
    minutes: int
    resets_at: float

    @property
    def resets_in(self) -> int:
        """Seconds until the reset."""
        return max(0, ceil(self.resets_at - time.time()))

    def document(self) -> Json:
        """Return the window in the shape of the usage endpoint."""
        return {
            "used_percent": self.used,
            "limit_window_seconds": self.minutes * 60,
            "reset_after_seconds": self.resets_in,
            "reset_at": int(self.resets_at),
        }


@dataclass(slots=True)
class Quota:
    """The account's limits: ``windows`` by slot, and the percentage of the first that each answer uses.

    An exhausted account is refused with the status ``refused_as`` (with 200: in the stream) until the full
    window resets, and while its spend cap is reached.
    """

    windows: dict[str, Window] = field(default_factory=dict)
    each: float = 0.0
    extra: Mapping[str, str] = field(default_factory=dict)
    used_up: bool = False
    refused_as: int = 429
    spend_cap_reached: bool = False
    reset_credits: int = 0

    @property
    def exhausted(self) -> bool:
        """True while calls are refused."""
        return self.spend_cap_reached or (
            self.used_up and any(window.resets_in > 0 for window in self._full())
        )

    @property
    def reached_type(self) -> str | None:
        """Which limit refuses calls: a spend cap, a window or none."""
        if self.spend_cap_reached:
            return _SPEND_CAP
        return "rate_limit_reached" if self.exhausted else None

    def spend(self) -> None:
        """Count one answer."""
        if not self.each or "primary" not in self.windows:
            return
        window = self.windows["primary"]
        window.used = min(100.0, window.used + self.each)
        self.used_up = window.used >= 100

    def headers(self, plan: str) -> dict[str, str]:
        """Return the headers of every answer (docs/backend.md, Limits)."""
        headers = {
            "x-codex-plan-type": plan,
            "x-codex-active-limit": "premium",
            "x-codex-credits-has-credits": "False",
            "x-codex-credits-unlimited": "False",
        }
        for slot, window in self.windows.items():
            headers |= {
                f"x-codex-{slot}-used-percent": f"{window.used:g}",
                f"x-codex-{slot}-window-minutes": str(window.minutes),
                f"x-codex-{slot}-reset-at": str(int(window.resets_at)),
                f"x-codex-{slot}-reset-after-seconds": str(window.resets_in),
            }
        if self.spend_cap_reached:
            headers["x-codex-rate-limit-reached-type"] = _SPEND_CAP
        return headers | dict(self.extra)

    def refusal(self, plan: str) -> Json:
        """Return the body of the refusal; the first full window gives the reset time."""
        full = next(iter(self._full()), None)
        resets = {"resets_at": int(full.resets_at), "resets_in_seconds": full.resets_in} if full else {}
        text = "The usage limit has been reached"
        error = {"type": "usage_limit_reached", "message": text, "plan_type": plan, **resets}
        return {"error": {**error, "eligible_promo": None}}

    def document(self, plan: str, account_id: str) -> Json:
        """Return the document of the usage endpoint."""
        slots = ("primary", "secondary")
        windows = {f"{slot}_window": self._window(slot) for slot in slots}
        return {
            "user_id": "user-simulated",
            "account_id": account_id,
            "email": "ada@example.com",
            "plan_type": plan,
            "rate_limit": {"allowed": not self.exhausted, "limit_reached": self.exhausted, **windows},
            "code_review_rate_limit": None,
            "additional_rate_limits": [],
            "credits": {"has_credits": False, "unlimited": False, "balance": "0"},
            "spend_control": {
                "reached": self.spend_cap_reached,
                "individual_limit": {**_CAP, "remaining_percent": 0} if self.spend_cap_reached else None,
            },
            "rate_limit_reached_type": {"type": self.reached_type} if self.reached_type else None,
            "rate_limit_reset_credits": {"available_count": self.reset_credits},
        }

    def event(self, plan: str) -> Json:
        """Return the event `codex.rate_limits`, which repeats the headers."""
        windows = {
            slot: {"used_percent": w.used, "window_minutes": w.minutes, "reset_at": int(w.resets_at)}
            for slot, w in self.windows.items()
        }
        credit = {"has_credits": False, "unlimited": False, "balance": None}
        limits = {"primary": None, "secondary": None, **windows}
        return {"type": "codex.rate_limits", "plan_type": plan, "rate_limits": limits, "credits": credit}

    def _full(self) -> list[Window]:
        return [window for window in self.windows.values() if window.used >= 100]

    def _window(self, slot: str) -> Json | None:
        return self.windows[slot].document() if slot in self.windows else None
