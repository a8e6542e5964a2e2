"""Server-sent events: bytes in any pieces become the JSON objects they carry. No I/O.

Only LF, CRLF and CR end a line here. Python's own line splitters also break at U+2028, U+2029 and
U+0085, which the backend sends raw inside JSON strings (docs/backend.md, Event stream).
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from pydantic_core import from_json

Event: TypeAlias = dict[str, Any]

LARGEST_EVENT = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class EventTooLargeError(ValueError):
    """One event outgrew LARGEST_EVENT bytes; reading on would fill the memory."""


class SSEParser:
    """Collects one stream. Work and memory are linear in its bytes, however they are cut.

    ``skipped`` counts payloads that were no JSON object with a type; ``done`` is set by ``[DONE]``,
    after which everything is ignored.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.done = False
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._held = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events completed by ``chunk``. Raises EventTooLargeError."""
        chunk = self._with_newlines(chunk)
        lines, newline, rest = chunk.rpartition(b"\n")
        self._held += len(chunk)
        if self._held > LARGEST_EVENT:
            raise EventTooLargeError
        if not newline:
            self._line.append(rest)
            return []
        whole = b"".join([*self._line, lines])
        self._line = [rest] if rest else []
        return self._read(whole.split(b"\n"))

    def close(self) -> list[Event]:
        """Return the pending event of a stream that ended without its final blank line."""
        return self._read([*b"".join(self._line).split(b"\n"), b""])

    def _with_newlines(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _read(self, lines: list[bytes]) -> list[Event]:
        if self._at_start:
            lines[0] = lines[0].removeprefix(_BOM)
            self._at_start = False
        events: list[Event] = []
        for line in lines:
            if line[:5] == b"data:":
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif not line and self._data:
                event = self._decode(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
                if event is not None:
                    events.append(event)
        if not self._data:
            self._held = sum(map(len, self._line))
        return events

    def _decode(self, payload: bytes) -> Event | None:
        if self.done:
            return None
        if payload.strip() == b"[DONE]":
            self.done = True
            return None
        event = _load(payload)
        if isinstance(event, dict):
            if isinstance(event.get("type"), str):
                return event
            if "error" in event:  # a failure that a proxy wrote without the Responses API's envelope
                return {**event, "type": "error"}
        self.skipped += 1
        return None


def _load(payload: bytes) -> Any:
    """Decode fast; the slower stdlib decoder also takes half a surrogate pair, cut by the server."""
    try:
        return from_json(payload)
    except ValueError:
        pass
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
