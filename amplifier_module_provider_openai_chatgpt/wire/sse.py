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
        payloads: list[bytes] = []
        data = self._data
        for line in lines:
            if line[:5] == b"data:":
                data.append(line[5:])  # a space that may follow is white space of the JSON as well
            elif data and not line:
                payloads.append(b"\n".join(data))
                data.clear()
        if not data:
            self._held = sum(map(len, self._line))
        return [] if self.done else self._decode(payloads)

    def _decode(self, payloads: list[bytes]) -> list[Event]:
        events: list[Event] = []
        for payload in payloads:
            try:  # keys come again in every event, values hardly: caching these would only cost time
                event = from_json(payload, cache_strings="keys")
            except ValueError:
                if payload.strip() == b"[DONE]":
                    self.done = True
                    break
                event = _decode_odd(payload)
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                events.append(event)
            elif isinstance(event, dict) and "error" in event:
                # A failure that a proxy wrote without the Responses API's envelope.
                events.append({**event, "type": "error"})
            else:
                self.skipped += 1
        return events


def _decode_odd(payload: bytes) -> Any:
    """Decode with the slower stdlib, which takes half a surrogate pair, cut by the server."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
