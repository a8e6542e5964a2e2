"""Parses server-sent events: bytes, in pieces of any size, become JSON objects. No I/O.

Only LF, CRLF and CR end a line here. Python's own line splitters also break at U+2028, U+2029 and
U+0085, which the backend sends raw inside JSON strings (docs/backend.md, Event stream).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from pydantic_core import from_json

from .json_values import ALWAYS_DECODED, has_too_many, has_too_many_nested

if TYPE_CHECKING:
    from ..protocol.events import Event

MAX_EVENT_SIZE = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_BLANK_LINE = b"\n\n"
_ONLY_DATA = re.compile(rb"\ndata:(.*)\n(?=\n)")


class EventTooLargeError(ValueError):
    """An event has more than MAX_EVENT_SIZE bytes, or too many values, and would fill the memory."""


class SSEParser:
    """Parses one stream. Work and memory are linear in its bytes, however they are split.

    ``skipped`` counts payloads that are not a JSON object with a type; ``done`` is set by ``[DONE]``,
    after which everything is ignored.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self.done = False
        self._pending: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events completed by ``chunk``. Raises EventTooLargeError."""
        complete = self._take_complete(chunk)
        is_large, payloads = len(complete) > ALWAYS_DECODED, _payloads(complete)
        del complete
        if is_large and any(map(has_too_many, payloads)):
            raise EventTooLargeError
        return self._decode(payloads)

    def close(self) -> list[Event]:
        """Return the pending event of a stream that ended without its final blank line."""
        return self.feed(_BLANK_LINE)

    def _take_complete(self, chunk: bytes) -> bytes:
        """Return a newline and all data up to the last blank line; keep the rest."""
        chunk = self._with_newlines(chunk)
        last = self._pending[-1][-1:] if self._pending else b""
        blank = (last + chunk).rfind(_BLANK_LINE)
        if blank < 0:
            self._keep(chunk)
            return b""
        end = blank + len(_BLANK_LINE) - len(last)
        complete = b"".join([b"\n", *self._pending, chunk[:end]])
        self._pending, self._size = [], 0
        self._keep(chunk[end:])
        if self._at_start:
            if complete.startswith(b"\n" + _BOM):
                complete = b"\n" + complete[len(b"\n" + _BOM) :]
            self._at_start = False
        return complete

    def _with_newlines(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk

    def _keep(self, piece: bytes) -> None:
        """Keep a piece of an incomplete event; the pieces are joined when it is complete."""
        self._size += len(piece)
        if self._size > MAX_EVENT_SIZE:
            raise EventTooLargeError
        if piece:
            self._pending.append(piece)

    def _decode(self, payloads: list[bytes]) -> list[Event]:
        events: list[Event] = []
        payloads.reverse()
        while payloads and not self.done:
            payload = payloads.pop()  # frees memory: each of the last events repeats the whole answer
            try:  # keys are the same in every event, but values are not: caching values would be slower
                event = from_json(payload, cache_strings="keys")
            except ValueError:
                if payload.strip() == b"[DONE]":
                    self.done = True
                    continue
                event = _decode_leniently(payload)
            if isinstance(event, dict) and isinstance(event.get("type"), str):
                events.append(event)
            elif isinstance(event, dict) and "error" in event:
                # An error from a proxy, without the envelope of the Responses API.
                events.append({**event, "type": "error"})
            else:
                self.skipped += 1
        return events


def _payloads(complete: bytes) -> list[bytes]:
    """Join the data lines of each event. Almost always there is one, just before the blank line."""
    payloads = _ONLY_DATA.findall(complete)
    if len(payloads) == complete.count(b"\ndata:"):
        return payloads
    return [b"\n".join(data) for event in complete.split(_BLANK_LINE) if (data := _data_lines(event))]


def _data_lines(event: bytes) -> list[bytes]:
    """Return the data lines; a space after the colon may stay, because JSON ignores it."""
    return [line[5:] for line in event.split(b"\n") if line[:5] == b"data:"]


def _decode_leniently(payload: bytes) -> object:
    """Decode with the slower stdlib, which accepts half a surrogate pair, and deeper nesting."""
    if has_too_many_nested(payload):
        raise EventTooLargeError
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
