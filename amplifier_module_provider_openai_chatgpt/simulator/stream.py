"""An answer as server-sent events: each item is added, sent in small deltas and finished."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json = dict[str, Any]

_PREFIXES = {
    "reasoning": "rs_",
    "message": "msg_",
    "function_call": "fc_",
    "custom_tool_call": "ctc_",
    "web_search_call": "ws_",
}
_CREATED_AT = 1_790_000_000
_PADDING = "aB3dE5gH7jK9mN1p"


def events(
    items: Sequence[Json],
    *,
    response_id: str,
    model: str,
    usage: Json | None,
    end: str = "completed",
    reason: str | None = None,
    error: Json | None = None,
    then_failed: bool = False,
    end_turn: bool | None = None,
    instructions: str = "",
) -> list[Json]:
    """Return the events of one answer, first to last (docs/backend.md, Event stream).

    `end` is "completed", "incomplete" (with `reason`), "failed" (with `error`), or "error", an event of
    that type with the fields of `error`, followed by `response.failed` if `then_failed`. Rule
    stream.empty-output: `output` is empty in the last event; the items are in `response.output_item.done`.
    """
    response: Json = {
        "id": response_id,
        "object": "response",
        "created_at": _CREATED_AT,
        "status": "in_progress",
        "model": model,
        "instructions": instructions,
        "output": [],
        "service_tier": "auto",
        "temperature": 1.0,
        "store": False,
        "error": None,
        "incomplete_details": None,
        "usage": None,
    }
    log = _EventLog()
    log.add("response.created", response=dict(response))
    log.add("response.in_progress", response=dict(response))
    for index, item in enumerate(items):
        _add_item(log, index, _with_id(item, response_id, index))
    if end == "error":
        log.add("error", **(error or {}))
        if not then_failed:
            return log.events
        end, error = "failed", (error or {}).get("error")
    response |= {"status": end, "service_tier": "default", "usage": usage, "error": error}
    if end == "incomplete":
        response["incomplete_details"] = {"reason": reason or "max_output_tokens"}
    if end_turn is not None:
        response["end_turn"] = end_turn
    log.add(f"response.{end}", response=response)
    return log.events


def encode(event: Json) -> bytes:
    """Return `event` as the bytes of one SSE frame; line separators within strings stay raw UTF-8."""
    return b"event: " + str(event.get("type", "message")).encode() + b"\ndata: " + to_json(event) + b"\n\n"


@dataclass
class _EventLog:
    """The events so far, numbered."""

    events: list[Json] = field(default_factory=list)

    def add(self, kind: str, **fields: Any) -> None:
        self.events.append({"type": kind, "sequence_number": len(self.events), **fields})

    def add_deltas(self, kind: str, pieces: Sequence[str], **place: Any) -> None:
        """Add one delta per piece, padded so frame sizes do not reveal the text."""
        for piece in pieces:
            padding = _PADDING[: 16 - len(piece.encode()) % 16]
            self.add(kind, **place, delta=piece, obfuscation=padding)


def _with_id(item: Json, response_id: str, index: int) -> Json:
    digest = hashlib.sha256(f"{response_id}/{index}".encode()).hexdigest()[:32]
    return {"id": _PREFIXES.get(str(item.get("type")), "item_") + digest, **item}


def _add_item(log: _EventLog, index: int, item: Json) -> None:
    begin, stream = _ITEM_EVENTS.get(str(item.get("type")), (_unchanged, _nothing))
    log.add("response.output_item.added", output_index=index, item=begin(item))
    stream(log, {"item_id": item["id"], "output_index": index}, item)
    finished = item if item.get("type") == "reasoning" else {"status": "completed", **item}
    log.add("response.output_item.done", output_index=index, item=finished)


def _unchanged(item: Json) -> Json:
    return {**item, "status": "in_progress"}


def _nothing(log: _EventLog, place: Json, item: Json) -> None:
    """Items of unknown types have no deltas."""


def _begin_reasoning(item: Json) -> Json:
    sealed = item.get("encrypted_content")
    return {**item, "summary": [], **({"encrypted_content": sealed[:24]} if isinstance(sealed, str) else {})}


def _stream_reasoning(log: _EventLog, place: Json, item: Json) -> None:
    kind = "response.reasoning_summary"
    for number, part in enumerate(item.get("summary", [])):
        here = {**place, "summary_index": number}
        log.add(f"{kind}_part.added", **here, part={"type": "summary_text", "text": ""})
        log.add_deltas(f"{kind}_text.delta", _words(part["text"]), **here)
        log.add(f"{kind}_text.done", **here, text=part["text"])
        log.add(f"{kind}_part.done", **here, part=part)


def _begin_message(item: Json) -> Json:
    return {**item, "status": "in_progress", "content": []}


def _stream_message(log: _EventLog, place: Json, item: Json) -> None:
    for number, part in enumerate(item.get("content", [])):
        here = {**place, "content_index": number}
        key = "refusal" if part.get("type") == "refusal" else "text"
        kind = "response.refusal" if key == "refusal" else "response.output_text"
        empty = {**part, key: ""} | ({"annotations": []} if key == "text" else {})
        log.add("response.content_part.added", **here, part=empty)
        log.add_deltas(f"{kind}.delta", _words(part[key]), **here)
        for order, annotation in enumerate(part.get("annotations", [])):
            note = {"annotation_index": order, "annotation": annotation}
            log.add("response.output_text.annotation.added", **here, **note)
        log.add(f"{kind}.done", **here, **{key: part[key]})
        log.add("response.content_part.done", **here, part=part)


def _begin_function_call(item: Json) -> Json:
    return {**item, "status": "in_progress", "arguments": ""}


def _stream_function_call(log: _EventLog, place: Json, item: Json) -> None:
    kind = "response.function_call_arguments"
    log.add_deltas(f"{kind}.delta", _chunks(item["arguments"]), **place)
    log.add(f"{kind}.done", **place, arguments=item["arguments"])


def _begin_custom_call(item: Json) -> Json:
    return {**item, "status": "in_progress", "input": ""}


def _stream_custom_call(log: _EventLog, place: Json, item: Json) -> None:
    kind = "response.custom_tool_call_input"
    log.add_deltas(f"{kind}.delta", _words(item["input"]), **place)
    log.add(f"{kind}.done", **place, input=item["input"])


def _stream_search(log: _EventLog, place: Json, item: Json) -> None:
    del item
    for step in ("in_progress", "searching", "completed"):
        log.add(f"response.web_search_call.{step}", **place)


_ITEM_EVENTS: dict[str, tuple[Callable[[Json], Json], Callable[[_EventLog, Json, Json], None]]] = {
    "reasoning": (_begin_reasoning, _stream_reasoning),
    "message": (_begin_message, _stream_message),
    "function_call": (_begin_function_call, _stream_function_call),
    "custom_tool_call": (_begin_custom_call, _stream_custom_call),
    "web_search_call": (_unchanged, _stream_search),
}


def _words(text: str) -> list[str]:
    """Split `text` before each word; the joined pieces are the text."""
    return re.findall(r"\s*\S+(?:\s+\Z)?|\s+\Z", text)


def _chunks(text: str) -> list[str]:
    return [text[at : at + 8] for at in range(0, len(text), 8)]
