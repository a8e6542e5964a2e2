"""Reads one answer for the probe, bounded in bytes and seconds: the server may send anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors.refusal import Refusal, read_event_refusal, read_refusal
from ..redaction import Sealed
from ..transport.body_reader import BodyReader
from ..transport.json_values import decode
from ..transport.sse import EventTooLargeError, SSEParser
from .shape import at, objects

if TYPE_CHECKING:
    import httpx

    from ..services import ResponseHeaders

UNFINISHED = "not finished after"
_DELTAS = frozenset({"response.output_text.delta", "response.reasoning_summary_text.delta"})
_FAILURES = frozenset({"response.failed", "response.error", "error"})
_CLOSING = frozenset({"response.completed", "response.done", "response.incomplete"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of one answer is read: bytes, events, and seconds for the whole of it."""

    size: int = 4 * 1024 * 1024
    events: int = 20_000
    seconds: float = 120.0


@dataclass(slots=True)
class Answer:
    """One answer. ``document`` is its JSON if it is not a stream; header names are in lower case.

    ``cut`` says why it was not read to its end. ``first_text`` is when the first text arrived, in seconds
    after the request was sent; None if none did.
    """

    status: int
    headers: Mapping[str, str]
    names: ResponseHeaders
    events: list[dict[str, Any]] = field(default_factory=list)
    document: object = None
    refusal: Refusal | None = None
    first_text: float | None = None
    cut: str = ""

    @property
    def is_answered(self) -> bool:
        """True for a stream that ended in success."""
        return self.refusal is None and bool(self.closing)

    @property
    def closing(self) -> Mapping[str, Any]:
        """The response object of the closing event; empty if there is none."""
        found = [event for event in self.events if event["type"] in _CLOSING]
        response = at(found[-1], "response") if found else None
        return response if isinstance(response, Mapping) else {}

    @property
    def items(self) -> list[Mapping[str, Any]]:
        """The finished items."""
        done = [event for event in self.events if event["type"] == "response.output_item.done"]
        return [item for event in done if isinstance(item := event.get("item"), Mapping)]

    def items_of(self, kind: str) -> list[Mapping[str, Any]]:
        """The finished items of a type."""
        return [item for item in self.items if item.get("type") == kind]

    @property
    def text(self) -> str:
        """The text of the finished messages."""
        parts = [part for item in self.items_of("message") for part in objects(item.get("content"))]
        return "".join(text for part in parts if isinstance(text := part.get("text"), str))

    @property
    def tokens(self) -> int:
        """The tokens that the answer says it used."""
        total = at(self.closing, "usage", "total_tokens")
        return total if isinstance(total, int) and not isinstance(total, bool) and total > 0 else 0

    @property
    def cached_tokens(self) -> int | None:
        """The input tokens that came from the cache, as the answer says; None if it does not."""
        found = at(self.closing, "usage", "input_tokens_details", "cached_tokens")
        return found if isinstance(found, int) else None


async def read(response: httpx.Response, names: ResponseHeaders, bounds: Bounds, sent: float) -> Answer:
    """Read a response; ``sent`` is the monotonic time of the request. Raises httpx's exceptions."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    answer = Answer(response.status_code, headers, names)
    is_stream = response.status_code == 200 and "json" not in headers.get("content-type", "")
    try:
        async with asyncio.timeout(bounds.seconds), aclosing(BodyReader(response)) as body:
            await (_read_events if is_stream else _read_document)(body, answer, bounds, sent)
    except TimeoutError:
        answer.cut = f"{UNFINISHED} {bounds.seconds:g} s"
    except EventTooLargeError:
        answer.cut = "an event is too large"
    _note_failure(answer)
    return answer


async def _read_events(body: BodyReader, answer: Answer, bounds: Bounds, sent: float) -> None:
    parser, size = SSEParser(), 0
    while piece := await body.read_available():
        size += len(piece)
        _add(answer, parser.feed(piece), sent)
        if size > bounds.size or len(answer.events) > bounds.events:
            answer.cut = "the stream is longer than this command reads"
            return
        if parser.done or any(event["type"] in _CLOSING | _FAILURES for event in answer.events[-4:]):
            break
    _add(answer, parser.close(), sent)


def _add(answer: Answer, events: list[dict[str, Any]], sent: float) -> None:
    if answer.first_text is None and any(event["type"] in _DELTAS for event in events):
        answer.first_text = time.monotonic() - sent
    answer.events += events


async def _read_document(body: BodyReader, answer: Answer, bounds: Bounds, sent: float) -> None:
    del sent
    content = bytearray()
    while piece := await body.read_available():
        content += piece
        if len(content) > bounds.size:
            answer.cut = "the document is larger than this command reads"
            return
    with Sealed():
        if answer.status != 200:
            now = time.time()
            answer.refusal = read_refusal(
                answer.status, answer.headers, bytes(content), names=answer.names, now=now
            )
            return
        try:
            answer.document = decode(bytes(content))
        except ValueError:
            answer.cut = "the document is not JSON"


def _note_failure(answer: Answer) -> None:
    failed = next((event for event in answer.events if event["type"] in _FAILURES), None)
    if failed is not None:
        answer.refusal = read_event_refusal(failed, names=answer.names, now=time.time())
