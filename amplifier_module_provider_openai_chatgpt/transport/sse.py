"""Server-sent events: bytes in any pieces become the JSON objects they carry. No I/O.

Only LF, CRLF and CR end a line here. Python's own line splitters also break at U+2028, U+2029 and
U+0085, which the backend sends raw inside JSON strings (docs/backend.md, Event stream).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from .json_values import UNSUSPICIOUS, has_too_many

if TYPE_CHECKING:
    from ..protocol.events import Event

LARGEST_EVENT = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_BLANK_LINE = b"\n\n"
_ONLY_DATA = re.compile(rb"\ndata:(.*)\n(?=\n)")


class EventTooLargeError(ValueError):
    """One event has more than LARGEST_EVENT bytes, or too many values; it would fill the memory."""


class SSEParser:
    """Collects one stream. Work and memory are linear in its bytes, however they are cut.

    ``skipped`` counts payloads that were no JSON object with a type; ``done`` is set by ``[DONE]``,
    after which everything is ignored.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.done = False
        self._held: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events completed by ``chunk``. Raises EventTooLargeError."""
        whole = self._cut(chunk)
        is_large, payloads = len(whole) > UNSUSPICIOUS, _payloads(whole)
        del whole
        if is_large and any(map(has_too_many, payloads)):
            raise EventTooLargeError
        return self._decode(payloads)

    def close(self) -> list[Event]:
        """Return the pending event of a stream that ended without its final blank line."""
        return self.feed(_BLANK_LINE)

    def _cut(self, chunk: bytes) -> bytes:
        """Return what is there up to the last blank line, behind a newline, and hold the rest."""
        chunk = self._with_newlines(chunk)
        last = self._held[-1][-1:] if self._held else b""
        blank = (last + chunk).rfind(_BLANK_LINE)
        if blank < 0:
            self._hold(chunk)
            return b""
        end = blank + len(_BLANK_LINE) - len(last)
        whole = b"".join([b"\n", *self._held, chunk[:end]])
        self._held, self._size = [], 0
        self._hold(chunk[end:])
        if self._at_start:
            if whole.startswith(b"\n" + _BOM):
                whole = b"\n" + whole[len(b"\n" + _BOM) :]
            self._at_start = False
        return whole

    def _with_newlines(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _hold(self, piece: bytes) -> None:
        """Keep a piece of an event that has not ended; they are joined when it does."""
        self._size += len(piece)
        if self._size > LARGEST_EVENT:
            raise EventTooLargeError
        if piece:
            self._held.append(piece)

    def _decode(self, payloads: list[bytes]) -> list[Event]:
        events: list[Event] = []
        payloads.reverse()
        while payloads and not self.done:
            payload = payloads.pop()  # and let go: the last events of an answer each repeat all of its text
            try:  # keys come again in every event, values hardly: caching these would only cost time
                event = from_json(payload, cache_strings="keys")
            except ValueError:
                if payload.strip() == b"[DONE]":
                    self.done = True
                    continue
                event = _decode_odd(payload)
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                events.append(event)
            elif isinstance(event, dict) and "error" in event:
                # A failure that a proxy wrote without the Responses API's envelope.
                events.append({**event, "type": "error"})
            else:
                self.skipped += 1
        return events


def _payloads(whole: bytes) -> list[bytes]:
    """Join the data lines of each event. Nearly always it has one, just before the blank line."""
    payloads = _ONLY_DATA.findall(whole)
    if len(payloads) == whole.count(b"\ndata:"):
        return payloads
    return [b"\n".join(data) for event in whole.split(_BLANK_LINE) if (data := _data_lines(event))]


def _data_lines(event: bytes) -> list[bytes]:
    """A space that may follow the colon is white space of the JSON as well."""
    return [line[5:] for line in event.split(b"\n") if line[:5] == b"data:"]


def _decode_odd(payload: bytes) -> Any:
    """Decode with the slower stdlib, which takes half a surrogate pair, cut by the server."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
