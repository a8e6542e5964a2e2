"""A request as the simulator received it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as received; header names in lower case, ``at`` on the monotonic clock.

    ``body`` is as sent, ``content`` without its Content-Encoding; ``json`` and ``form`` are read from that.
    ``peer`` is the client's address, different for each connection.
    """

    service: Literal["backend", "issuer"]
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    content: bytes = field(repr=False, default=b"")
    json: Any = field(repr=False, default=None)
    form: Mapping[str, str] | None = field(repr=False, default=None)
    at: float = 0.0
    peer: tuple[str, int] | None = None
