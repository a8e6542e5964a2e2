"""An answer as server-sent events: every item begun, grown in small deltas and finished."""

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
    end_turn: bool | None = None,
    instructions: str = "",
) -> list[Json]:
    """Return the events of one answer, first to last (docs/backend.md, Event stream).

    `end` is "completed", "incomplete" (with `reason`), "failed" (with `error`), or "error", an event of
    that type with the fields of `error`. As on the real service, `output` stays empty in the last
    event: the items stand in `response.output_item.done`.
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
    script = _Script()
    script.add("response.created", response=dict(response))
    script.add("response.in_progress", response=dict(response))
    for index, item in enumerate(items):
        _play(script, index, _identified(item, response_id, index))
    if end == "error":
        script.add("error", **(error or {}))
        return script.events
    response |= {"status": end, "service_tier": "default", "usage": usage, "error": error}
    if end == "incomplete":
        response["incomplete_details"] = {"reason": reason or "max_output_tokens"}
    if end_turn is not None:
        response["end_turn"] = end_turn
    script.add(f"response.{end}", response=response)
    return script.events


def encode(event: Json) -> bytes:
    """Return `event` as the bytes of one SSE frame; line separators within strings stay raw UTF-8."""
    return b"event: " + str(event.get("type", "message")).encode() + b"\ndata: " + to_json(event) + b"\n\n"


@dataclass
class _Script:
    """The events so far; numbers each one."""

    events: list[Json] = field(default_factory=list)

    def add(self, kind: str, **fields: Any) -> None:
        self.events.append({"type": kind, "sequence_number": len(self.events), **fields})

    def grow(self, kind: str, pieces: Sequence[str], **place: Any) -> None:
        """Add one delta per piece, padded so that frame sizes do not give the text away."""
        for piece in pieces:
            padding = _PADDING[: 16 - len(piece.encode()) % 16]
            self.add(kind, **place, delta=piece, obfuscation=padding)


def _identified(item: Json, response_id: str, index: int) -> Json:
    digest = hashlib.sha256(f"{response_id}/{index}".encode()).hexdigest()[:32]
    return {"id": _PREFIXES.get(str(item.get("type")), "item_") + digest, **item}


def _play(script: _Script, index: int, item: Json) -> None:
    begin, grow = _PLAYS.get(str(item.get("type")), (_unchanged, _nothing))
    script.add("response.output_item.added", output_index=index, item=begin(item))
    grow(script, {"item_id": item["id"], "output_index": index}, item)
    finished = item if item.get("type") == "reasoning" else {"status": "completed", **item}
    script.add("response.output_item.done", output_index=index, item=finished)


def _unchanged(item: Json) -> Json:
    return {**item, "status": "in_progress"}


def _nothing(script: _Script, place: Json, item: Json) -> None:
    """Items of unknown types have no deltas."""


def _begin_reasoning(item: Json) -> Json:
    sealed = item.get("encrypted_content")
    return {**item, "summary": [], **({"encrypted_content": sealed[:24]} if isinstance(sealed, str) else {})}


def _grow_reasoning(script: _Script, place: Json, item: Json) -> None:
    kind = "response.reasoning_summary"
    for number, part in enumerate(item.get("summary", [])):
        here = {**place, "summary_index": number}
        script.add(f"{kind}_part.added", **here, part={"type": "summary_text", "text": ""})
        script.grow(f"{kind}_text.delta", _words(part["text"]), **here)
        script.add(f"{kind}_text.done", **here, text=part["text"])
        script.add(f"{kind}_part.done", **here, part=part)


def _begin_message(item: Json) -> Json:
    return {**item, "status": "in_progress", "content": []}


def _grow_message(script: _Script, place: Json, item: Json) -> None:
    for number, part in enumerate(item.get("content", [])):
        here = {**place, "content_index": number}
        key = "refusal" if part.get("type") == "refusal" else "text"
        kind = "response.refusal" if key == "refusal" else "response.output_text"
        empty = {**part, key: ""} | ({"annotations": []} if key == "text" else {})
        script.add("response.content_part.added", **here, part=empty)
        script.grow(f"{kind}.delta", _words(part[key]), **here)
        for order, annotation in enumerate(part.get("annotations", [])):
            note = {"annotation_index": order, "annotation": annotation}
            script.add("response.output_text.annotation.added", **here, **note)
        script.add(f"{kind}.done", **here, **{key: part[key]})
        script.add("response.content_part.done", **here, part=part)


def _begin_function_call(item: Json) -> Json:
    return {**item, "status": "in_progress", "arguments": ""}


def _grow_function_call(script: _Script, place: Json, item: Json) -> None:
    kind = "response.function_call_arguments"
    script.grow(f"{kind}.delta", _bites(item["arguments"]), **place)
    script.add(f"{kind}.done", **place, arguments=item["arguments"])


def _begin_custom_call(item: Json) -> Json:
    return {**item, "status": "in_progress", "input": ""}


def _grow_custom_call(script: _Script, place: Json, item: Json) -> None:
    kind = "response.custom_tool_call_input"
    script.grow(f"{kind}.delta", _words(item["input"]), **place)
    script.add(f"{kind}.done", **place, input=item["input"])


def _grow_search(script: _Script, place: Json, item: Json) -> None:
    del item
    for step in ("in_progress", "searching", "completed"):
        script.add(f"response.web_search_call.{step}", **place)


_PLAYS: dict[str, tuple[Callable[[Json], Json], Callable[[_Script, Json, Json], None]]] = {
    "reasoning": (_begin_reasoning, _grow_reasoning),
    "message": (_begin_message, _grow_message),
    "function_call": (_begin_function_call, _grow_function_call),
    "custom_tool_call": (_begin_custom_call, _grow_custom_call),
    "web_search_call": (_unchanged, _grow_search),
}


def _words(text: str) -> list[str]:
    """Cut `text` before each word, so that the pieces joined are the text again."""
    return re.findall(r"\s*\S+(?:\s+\Z)?|\s+\Z", text)


def _bites(text: str) -> list[str]:
    return [text[at : at + 8] for at in range(0, len(text), 8)]
