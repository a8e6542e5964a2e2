"""A scripted answer of the simulated model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One scripted answer: ``items`` as a realistic stream, exact ``events``, or ``raw`` bytes.

    ``end`` is completed, incomplete (with ``reason``: max_output_tokens, content_filter or steered), failed
    (with ``error``) or error: an event of that type with the fields of ``error``, followed by
    `response.failed` if ``then_failed``. With ``usage`` None the simulator counts. Without items, events and
    raw the simulated model answers; an incomplete end sends the first half of that answer.
    """

    items: Sequence[Json] | None = None
    events: Sequence[Json] | None = None
    raw: bytes | None = None
    end: Literal["completed", "incomplete", "failed", "error"] = "completed"
    reason: str | None = None
    error: Json | None = None
    then_failed: bool = False
    end_turn: bool | None = None
    usage: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
