"""How one attempt ended: the single answer of the accumulator, as a closed union.

Where an answer is to be used, ``steps`` end the blocks that the backend left open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ..protocol.blocks import Step
    from ..protocol.events import Event


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. ``stopped``: a stop sequence ended it, and the stream goes on unread."""

    stopped: bool
    steps: tuple[Step, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resumable:
    """The answer was cut at the output limit, or the backend wants to go on without tool results.

    ``items`` are the attempt's own output, to be sent back behind the input.
    """

    reason: str
    items: tuple[dict[str, Any], ...] = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Incomplete:
    """The backend ended the answer for a reason that asking again does not change.

    ``empty``: there is neither text nor a tool call.
    """

    reason: str
    empty: bool
    steps: tuple[Step, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The backend reported a failure within the stream, in this event."""

    event: Event = field(repr=False)


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """The stream ended without its closing event, or with a block that never got its item."""

    partial: str = field(repr=False)


Outcome: TypeAlias = Finished | Resumable | Incomplete | Failed | BrokenOff
