"""Ways to write the same event stream differently, and two that lose something.

Each takes the frames of a stream, one per event, and returns others. A client that follows the rules
of SSE reads the same answer from all of ``HARMLESS``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Frames = Sequence[bytes]

_MARK = b"\xef\xbb\xbf"
_ITEM_DONE = b'"type":"response.output_item.done"'


def crlf(frames: Frames) -> Frames:
    """End lines by CR LF."""
    return [frame.replace(b"\n", b"\r\n") for frame in frames]


def cr(frames: Frames) -> Frames:
    """End lines by CR alone."""
    return [frame.replace(b"\n", b"\r") for frame in frames]


def bom(frames: Frames) -> Frames:
    """Begin with a byte order mark."""
    return [_MARK + frames[0], *frames[1:]] if frames else [_MARK]


def comments(frames: Frames) -> Frames:
    """Put one comment before each event and one within it."""
    return [b": keep-alive\n\n" + frame.replace(b"\ndata:", b"\n: note\ndata:", 1) for frame in frames]


def other_fields(frames: Frames) -> Frames:
    """Add the fields `id` and `retry`, and one that nobody knows."""
    return [b"id: 7\nretry: 10\nother\n" + frame for frame in frames]


def no_event_lines(frames: Frames) -> Frames:
    """Leave the type to the JSON alone."""
    return [re.sub(rb"^event:.*\n", b"", frame) for frame in frames]


def no_space(frames: Frames) -> Frames:
    """Leave out the blank after each colon."""
    return [re.sub(rb"^(event|data): ", rb"\1:", frame, flags=re.MULTILINE) for frame in frames]


def multi_line_data(frames: Frames) -> Frames:
    """Spread the JSON of each event over two data lines."""
    return [re.sub(rb"^data: \{", b"data: {\ndata: ", frame, flags=re.MULTILINE) for frame in frames]


def done_marker(frames: Frames) -> Frames:
    """End with the marker of the public API, as a proxy may."""
    return [*frames, b"data: [DONE]\n\n"]


def no_final_blank(frames: Frames) -> Frames:
    """End right after the last line."""
    return [*frames[:-1], *(frame.rstrip(b"\r\n") for frame in frames[-1:])]


def strangers(frames: Frames) -> Frames:
    """Begin with an event of a type that nobody knows and with data that is not JSON."""
    return [b'event: some.news\ndata: {"type":"some.news","x":{}}\n\n', b"data: not json\n\n", *frames]


def no_deltas(frames: Frames) -> Frames:
    """Lose everything that is told in pieces; the finished items still come."""
    return [frame for frame in frames if b'.delta"' not in frame]


def no_finished_items(frames: Frames) -> Frames:
    """Lose the finished items, so that all that was begun stays open."""
    return [frame for frame in frames if _ITEM_DONE not in frame]


HARMLESS: dict[str, Callable[[Frames], Frames]] = {
    mangling.__name__: mangling
    for mangling in (
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
        strangers,
    )
}
