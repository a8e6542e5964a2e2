"""The steps of a turn, in order, as a closed union. ``events`` turns them into events for hooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from ..protocol.blocks import BlockDelta, BlockEnd, BlockStart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amplifier_core.llm_errors import LLMError

    from ..protocol.events import Event
    from ..quota.values import Quota
    from ..response.response import ChatGPTResponse


@dataclass(frozen=True, slots=True)
class Received:
    """The backend's events from one read, for raw mode."""

    events: Sequence[Event] = field(repr=False)


@dataclass(frozen=True, slots=True)
class QuotaRead:
    """The current limits, with a ``provider:throttle`` payload for each window that is nearly used up."""

    quota: Quota
    warnings: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Discarded:
    """The attempt failed; everything it showed must be discarded."""

    error: LLMError


@dataclass(frozen=True, slots=True)
class Retrying:
    """Another attempt follows after ``delay`` seconds; ``attempt`` counts from 1."""

    attempt: int
    max_retries: int
    delay: float
    error: LLMError


@dataclass(frozen=True, slots=True)
class Continuing:
    """The answer was cut, and the backend is asked to continue; ``number`` counts from 1."""

    response_id: str
    reason: str
    number: int
    max_continuations: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The turn is over."""

    response: ChatGPTResponse = field(repr=False)


TurnStep: TypeAlias = (
    BlockStart | BlockDelta | BlockEnd | Received | QuotaRead | Discarded | Retrying | Continuing | Answered
)
