"""Damaged streams and error bodies by number: the same number always gives the same bytes."""

import json
from itertools import pairwise
from random import Random
from typing import Any

from amplifier_module_provider_openai_chatgpt.simulator.stream import events as events_of

REASONING = {
    "type": "reasoning",
    "summary": [
        {"type": "summary_text", "text": "First this."},
        {"type": "summary_text", "text": "Then that."},
    ],
    "encrypted_content": "gAAAA" + "x" * 40,
}
NOTE = {"type": "url_citation", "url": "https://example.com", "start_index": 0, "end_index": 4}
MESSAGE = {
    "type": "message",
    "role": "assistant",
    "phase": "final_answer",
    "content": [
        {
            "type": "output_text",
            "text": "Ünïcode 😀 and\u2028lines, spoken at length.",
            "annotations": [NOTE],
        },
        {"type": "output_text", "text": " More.", "annotations": []},
    ],
}
REFUSAL = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I can't."}]}
CALL = {"type": "function_call", "name": "look", "call_id": "call_1", "arguments": '{"at": [1, 2.5, null]}'}
CUSTOM = {"type": "custom_tool_call", "name": "patch", "call_id": "call_2", "input": "*** Begin"}
SEARCH = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 19,
}
ANSWERS: list[list[dict]] = [
    [REASONING, MESSAGE],
    [REASONING, MESSAGE, CALL, CUSTOM],
    [SEARCH, MESSAGE],
    [REFUSAL],
    [CALL],
    [],
]
ENDS: list[dict] = [
    {},
    {},
    {"end": "incomplete"},
    {"end": "incomplete", "reason": "content_filter"},
    {"end": "failed", "error": {"code": "server_error", "message": "Broken."}},
    {"end": "error", "error": {"code": "rate_limit_exceeded", "message": "Slow down."}},
]
STRANGE = [
    "",
    "\0",
    "\ud83d",
    "\udc00x",
    "a" * 5000,
    "\x1b[2J",
    "<html>",
    "null",
    "\u2028",
    "gpt-5.5",
    "message",
]
WORDS = [
    *("type", "error", "code", "message", "detail", "param", "resets_at", "resets_in_seconds", "plan_type"),
    *("usage_limit_reached", "rate_limit_exceeded", "context_length_exceeded", "status", "headers", "item"),
]


def stream(number: int) -> list[bytes]:
    """Return damaged stream ``number`` in the pieces in which it arrives."""
    rng = Random(number)
    if number % 20 == 0:
        return cut(rng.randbytes(rng.randrange(400)), rng)
    options = {"usage": USAGE, **rng.choice(ENDS)}
    events: list[Any] = events_of(rng.choice(ANSWERS), response_id="resp_1", model="gpt-5.5", **options)
    for _ in range(rng.randrange(4)):
        rng.choice(DAMAGES)(events, rng)
    wire = b"".join(frame(event, rng) for event in events)
    for _ in range(rng.choice((0, 0, 0, 1, 3))):
        wire = garble(wire, rng)
    return cut(wire, rng)


def error_body(number: int) -> bytes:
    """Return body ``number`` of a refusal, more or less like the backend's."""
    rng = Random(-number - 1)
    if number % 10 == 0:
        return rng.randbytes(rng.randrange(300))
    error: Any = {word: value(rng) for word in rng.sample(WORDS, 5)}
    error |= {"message": rng.choice(["The usage limit has been reached", "Bad.", value(rng)])}
    error |= {"code": rng.choice([*WORDS, value(rng)]), "type": rng.choice([*WORDS, value(rng)])}
    shapes = [{"error": error}, {"detail": error}, {"detail": [error]}, {"detail": value(rng)}, error]
    shapes += [value(rng), {"error": value(rng)}, "<html><title>Bad gateway</title>" + str(error)]
    body = dumps(rng.choice(shapes)) if rng.random() < 0.9 else str(shapes[-1]).encode("utf-8", "replace")
    return garble(body, rng) if rng.random() < 0.3 else body


def cut(wire: bytes, rng: Random) -> list[bytes]:
    """Cut at up to forty places, or after every byte."""
    if rng.random() < 0.01:
        return [wire[at : at + 1] for at in range(len(wire))]
    places = sorted(rng.randrange(len(wire) + 1) for _ in range(rng.choice((0, 1, 5, 40))))
    return [wire[start:end] for start, end in pairwise([0, *places, len(wire)]) if start < end]


def frame(event: object, rng: Random) -> bytes:
    line = rng.choice((b"\n", b"\n", b"\r\n", b"\r"))
    return b"data: " + dumps(event) + line + line


def dumps(value: object) -> bytes:
    """Encode as JSON, NaN and half surrogate pairs included, escaped or not."""
    return json.dumps(value).encode()


def garble(wire: bytes, rng: Random) -> bytes:
    begin = rng.randrange(len(wire) + 1)
    end = min(len(wire), begin + rng.choice((0, 1, 1, 5, 200)))
    other = rng.choice((b"", b"\n\n", b"\xff\xfe", b"data:", rng.randbytes(3), wire[end : end + 60]))
    return wire[:begin] if rng.random() < 0.2 else wire[:begin] + other + wire[end:]


def value(rng: Random, depth: int = 0) -> Any:
    """Return any JSON value."""
    kind = rng.randrange(9 if depth < 3 else 7)
    if kind == 7:
        return [value(rng, depth + 1) for _ in range(rng.randrange(3))]
    if kind == 8:
        return {rng.choice(WORDS + STRANGE): value(rng, depth + 1) for _ in range(rng.randrange(4))}
    plain = [None, rng.random() < 0.5, rng.randrange(-3, 10), 10 ** rng.randrange(400), 0.5]
    plain += [float("nan"), float("-inf")]
    return rng.choice(rng.choice([plain[:kind], STRANGE, STRANGE, WORDS])) if kind else None


def drop(events: list, rng: Random) -> None:
    if events:
        del events[rng.randrange(len(events))]


def repeat(events: list, rng: Random) -> None:
    if events:
        events.insert(rng.randrange(len(events) + 1), rng.choice(events))


def swap(events: list, rng: Random) -> None:
    if events:
        here, there = rng.randrange(len(events)), rng.randrange(len(events))
        events[here], events[there] = events[there], events[here]


def shuffle(events: list, rng: Random) -> None:
    rng.shuffle(events)


def end_early(events: list, rng: Random) -> None:
    del events[rng.randrange(len(events) + 1) :]


def intrude(events: list, rng: Random) -> None:
    events.insert(rng.randrange(len(events) + 1), value(rng))


def deepen(events: list, rng: Random) -> None:
    """Replace a value with a very deeply nested one."""
    depth = rng.choice((90, 150, 3000))
    deep: Any = {}
    for _ in range(depth if depth < 1000 else 190):
        deep = [deep]
    _replace_one(events, rng, deep)


def corrupt(events: list, rng: Random) -> None:
    """Put any value into any field at any depth, or remove the field."""
    _replace_one(events, rng, value(rng) if rng.random() < 0.8 else drop)


def _is_weighty(event: dict) -> bool:
    """True for events that decide the answer; most others only show parts of it early."""
    return event.get("type") == "response.output_item.done" or "response" in event


def _replace_one(events: list, rng: Random, new: object) -> None:
    if not events:
        return
    weighty = [place for place, event in enumerate(events) if isinstance(event, dict) and _is_weighty(event)]
    place = rng.choice(weighty if weighty and rng.random() < 0.85 else range(len(events)))
    events[place] = json.loads(json.dumps(events[place]))
    holder = events[place]
    while isinstance(holder, dict | list) and holder:
        key = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        if not isinstance(holder[key], dict | list) or not holder[key] or rng.random() < 0.3:
            if new is drop:
                del holder[key]
            else:
                holder[key] = new
            return
        holder = holder[key]


DAMAGES = [drop, repeat, swap, shuffle, end_early, intrude, deepen, corrupt, corrupt, corrupt, corrupt]
