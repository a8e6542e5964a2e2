"""The answers the server replays, with the event shapes and sizes of the real backend.

The name of a stream is ``kind-size``: ``deltas-20000`` (16 events per piece), ``small-5``, ``large-8`` (one
event of 8 MB in pieces of 1,400 bytes).
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

Event: TypeAlias = dict[str, Any]

MODEL = "gpt-5.5"
EVENTS_PER_PIECE = 16
BYTES_PER_PIECE = 1400
OUTPUT_TOKENS = 4321
INSTRUCTIONS = "You are one of several agents; work carefully, and report what you found. " * 200
PADDED_TO = 16  # the backend pads deltas with random characters to hide their length
FRAGMENTS = (" the", " provider", "ing", ",", ".", " of", " a", " stream", "\n", " Zürich", " and", "s", "er")
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


@dataclass(frozen=True)
class Stream:
    """The pieces that are sent, and what a correct client reads from them."""

    pieces: tuple[bytes, ...]
    events: int
    text: str
    thinking: str
    tool_calls: int
    output_tokens: int = OUTPUT_TOKENS

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


@lru_cache(maxsize=4)
def prepare(name: str) -> Stream:
    """Return the stream of this name; the same name gives the same bytes."""
    kind, _, size = name.partition("-")
    return KINDS[kind](int(size))


def frame(event: Event) -> bytes:
    """Return an event in the backend's format."""
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {payload}\n\n".encode()


def deltas(count: int) -> Stream:
    """Return reasoning, a message and a tool call with ``count`` deltas, a tenth of them thinking."""
    dice = random.Random(count)
    thought = [dice.choice(FRAGMENTS) for _ in range(count // 10)]
    words = [dice.choice(FRAGMENTS) for _ in range(count - len(thought))]
    events = [
        *_opening(),
        *_reasoning(thought, dice),
        *_message(words, dice),
        *_tool_call(dice),
        _completed(),
    ]
    pieces = tuple(map(b"".join, _batches(_numbered(events), EVENTS_PER_PIECE)))
    return Stream(pieces, len(events), "".join(words), "".join(thought), tool_calls=1)


def small(count: int) -> Stream:
    """Return a short message of ``count`` deltas in one piece."""
    words = [FRAGMENTS[number % len(FRAGMENTS)] for number in range(count)]
    events = [*_opening("Be brief."), *_message(words, random.Random(count), index=0), _completed()]
    return Stream((b"".join(_numbered(events)),), len(events), "".join(words), "", tool_calls=0)


def large(megabytes: int) -> Stream:
    """Return a message of ``megabytes`` in one event, in pieces the size of a network packet."""
    text = "0123456789abcdef" * (megabytes * 65536)
    done = [event for event in _message([text], random.Random(1), index=0) if event["type"] in WHOLE]
    events = [*_opening("Be brief."), *done, _completed()]
    wire = b"".join(_numbered(events))
    pieces = tuple(wire[at : at + BYTES_PER_PIECE] for at in range(0, len(wire), BYTES_PER_PIECE))
    return Stream(pieces, len(events), text, "", tool_calls=0)


KINDS = {"deltas": deltas, "small": small, "large": large}
WHOLE = {"response.output_item.added", "response.output_item.done"}


def _response(status: str, **fields: Any) -> Event:
    return {
        "id": "resp_" + "0a" * 24,
        "object": "response",
        "created_at": 1789999100,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": MODEL,
        "output": [],
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "detailed"},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        **fields,
    }


def _opening(instructions: str = INSTRUCTIONS) -> list[Event]:
    """The backend echoes the request's instructions twice."""
    response = _response("in_progress", instructions=instructions, usage=None)
    return [{"type": f"response.{name}", "response": response} for name in ("created", "in_progress")]


def _completed() -> Event:
    usage = {
        "input_tokens": 12000,
        "input_tokens_details": {"cached_tokens": 10240},
        "output_tokens": OUTPUT_TOKENS,
        "output_tokens_details": {"reasoning_tokens": 512},
        "total_tokens": 12000 + OUTPUT_TOKENS,
    }
    return {"type": "response.completed", "response": _response("completed", usage=usage)}


def _delta(kind: str, item: Event, index: int, text: str, dice: random.Random, **place: Any) -> Event:
    padding = "".join(dice.choices(ALPHABET, k=max(0, PADDED_TO - len(text))))
    place = {"item_id": item["id"], "output_index": index, **place}
    return {"type": f"response.{kind}.delta", **place, "delta": text, "obfuscation": padding}


def _reasoning(words: list[str], dice: random.Random) -> Iterator[Event]:
    item = {"id": "rs_" + "1b" * 24, "type": "reasoning", "summary": [], "encrypted_content": "gAAAA" * 40}
    place = {"item_id": item["id"], "output_index": 0, "summary_index": 0}
    part = {"type": "summary_text", "text": "".join(words)}
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    yield {
        "type": "response.reasoning_summary_part.added",
        **place,
        "part": {"type": "summary_text", "text": ""},
    }
    for word in words:
        yield _delta("reasoning_summary_text", item, 0, word, dice, summary_index=0)
    yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
    yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
    done = {**item, "summary": [part], "encrypted_content": "gAAAA" * 400}
    yield {"type": "response.output_item.done", "output_index": 0, "item": done}


def _message(words: list[str], dice: random.Random, *, index: int = 1) -> Iterator[Event]:
    item = {"id": "msg_" + "2c" * 24, "type": "message", "status": "in_progress", "role": "assistant"}
    place = {"item_id": item["id"], "output_index": index, "content_index": 0}
    empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    part = {**empty, "text": "".join(words)}
    yield {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}}
    yield {"type": "response.content_part.added", **place, "part": empty}
    for word in words:
        yield _delta("output_text", item, index, word, dice, content_index=0, logprobs=[])
    yield {"type": "response.output_text.done", **place, "logprobs": [], "text": part["text"]}
    yield {"type": "response.content_part.done", **place, "part": part}
    done = {**item, "status": "completed", "content": [part]}
    yield {"type": "response.output_item.done", "output_index": index, "item": done}


def _tool_call(dice: random.Random) -> Iterator[Event]:
    arguments = json.dumps({"city": "Zürich", "days": [1, 2, 3]})
    item = {
        "id": "fc_" + "3d" * 24,
        "type": "function_call",
        "status": "in_progress",
        "name": "look",
        "call_id": "call_1",
        "arguments": "",
    }
    yield {"type": "response.output_item.added", "output_index": 2, "item": item}
    for at in range(0, len(arguments), 5):
        yield _delta("function_call_arguments", item, 2, arguments[at : at + 5], dice)
    place = {"item_id": item["id"], "output_index": 2}
    yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments}
    done = {**item, "status": "completed", "arguments": arguments}
    yield {"type": "response.output_item.done", "output_index": 2, "item": done}


def _numbered(events: Iterable[Event]) -> list[bytes]:
    return [frame({**event, "sequence_number": number}) for number, event in enumerate(events)]


def _batches(frames: list[bytes], size: int) -> Iterator[list[bytes]]:
    for at in range(0, len(frames), size):
        yield frames[at : at + size]
