"""Citation marks: private-use characters around references that no reader can resolve.

The models write them into answers that rest on a search: U+E200, a kind, U+E202, references, U+E201
(docs/backend.md, Text). The readable form of a citation is in the annotations of the message.
"""

from __future__ import annotations

import re
from typing import Any

OPEN, CLOSE = "\ue200", "\ue201"
# A mark is short; an opening character without a close within this many is ordinary text.
LONGEST_MARK = 512
_MARK = re.compile(f"{OPEN}[^{OPEN}{CLOSE}]{{0,{LONGEST_MARK}}}{CLOSE}")


def without_marks(text: str) -> str:
    """Remove whole marks from a finished text; anything else stays as it is."""
    return _MARK.sub("", text) if OPEN in text else text


def shifted(annotations: list[Any], text: str) -> list[Any]:
    """Move ``start_index`` and ``end_index`` of annotations to their places in ``text`` without marks."""
    marks = [found.span() for found in _MARK.finditer(text)] if OPEN in text else []
    if not marks:
        return annotations
    return [_moved(note, marks) if isinstance(note, dict) else note for note in annotations]


def _moved(note: dict[str, Any], marks: list[tuple[int, int]]) -> dict[str, Any]:
    indices = {key: note[key] for key in ("start_index", "end_index") if isinstance(note.get(key), int)}
    return {**note, **{key: place - _removed(place, marks) for key, place in indices.items()}}


def _removed(place: int, marks: list[tuple[int, int]]) -> int:
    return sum(min(end, place) - start for start, end in marks if start < place)


class MarkFilter:
    """Removes marks from a text that arrives in pieces; an open mark is held until it is decided."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return the part of the text that may be shown now."""
        if not self._held and OPEN not in text:
            return text
        text = without_marks(self._held + text)
        place = text.rfind(OPEN)
        is_open = place >= 0 and len(text) - place <= LONGEST_MARK + 1
        self._held = text[place:] if is_open else ""
        return text[:place] if is_open else text

    def release(self) -> str:
        """Return what was held of a text that ended within a mark."""
        text, self._held = self._held, ""
        return text
