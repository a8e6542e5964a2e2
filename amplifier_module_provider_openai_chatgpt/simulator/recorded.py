"""A request as the simulator received it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as received; header names in lower case, ``at`` on the monotonic clock.

    ``peer`` is the client's address, different for each connection.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    json: Any = field(repr=False, default=None)
    form: Mapping[str, str] | None = field(repr=False, default=None)
    at: float = 0.0
    peer: tuple[str, int] | None = None
