"""Framings: other ways to write the same event stream, and two that lose events.

Each takes the frames of a stream, one per event, and returns new ones. A client that follows the SSE
rules reads the same answer from every framing in ``HARMLESS``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Frames = Sequence[bytes]

_BOM = b"\xef\xbb\xbf"
_ITEM_DONE = b'"type":"response.output_item.done"'


def crlf(frames: Frames) -> Frames:
    """End lines with CR LF."""
    return [frame.replace(b"\n", b"\r\n") for frame in frames]


def cr(frames: Frames) -> Frames:
    """End lines with CR alone."""
    return [frame.replace(b"\n", b"\r") for frame in frames]


def bom(frames: Frames) -> Frames:
    """Start with a byte order mark."""
    return [_BOM + frames[0], *frames[1:]] if frames else [_BOM]


def comments(frames: Frames) -> Frames:
    """Add one comment before each event and one within it."""
    return [b": keep-alive\n\n" + frame.replace(b"\ndata:", b"\n: note\ndata:", 1) for frame in frames]


def other_fields(frames: Frames) -> Frames:
    """Add the fields `id` and `retry`, and an unknown one."""
    return [b"id: 7\nretry: 10\nother\n" + frame for frame in frames]


def no_event_lines(frames: Frames) -> Frames:
    """Omit the `event:` lines; the type is in the JSON."""
    return [re.sub(rb"^event:.*\n", b"", frame) for frame in frames]


def no_space(frames: Frames) -> Frames:
    """Omit the space after each colon."""
    return [re.sub(rb"^(event|data): ", rb"\1:", frame, flags=re.MULTILINE) for frame in frames]


def multi_line_data(frames: Frames) -> Frames:
    """Split the JSON of each event over two data lines."""
    return [re.sub(rb"^data: \{", b"data: {\ndata: ", frame, flags=re.MULTILINE) for frame in frames]


def done_marker(frames: Frames) -> Frames:
    """End with `[DONE]`, as the public API does and a proxy may."""
    return [*frames, b"data: [DONE]\n\n"]


def no_final_blank(frames: Frames) -> Frames:
    """End without the final blank line."""
    return [*frames[:-1], *(frame.rstrip(b"\r\n") for frame in frames[-1:])]


def unknown_events(frames: Frames) -> Frames:
    """Start with an event of an unknown type and with data that is not JSON."""
    return [b'event: some.news\ndata: {"type":"some.news","x":{}}\n\n', b"data: not json\n\n", *frames]


def no_deltas(frames: Frames) -> Frames:
    """Drop every delta; the finished items still arrive."""
    return [frame for frame in frames if b'.delta"' not in frame]


def no_finished_items(frames: Frames) -> Frames:
    """Drop the finished items, so every item that began stays open."""
    return [frame for frame in frames if _ITEM_DONE not in frame]


HARMLESS: dict[str, Callable[[Frames], Frames]] = {
    framing.__name__: framing
    for framing in (
        crlf,
        cr,
        bom,
        comments,
        other_fields,
        no_event_lines,
        no_space,
        multi_line_data,
        done_marker,
        no_final_blank,
        unknown_events,
    )
}
