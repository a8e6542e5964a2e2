"""Stop sequences, applied on our side: the backend refuses the parameter."""

from __future__ import annotations


class StopFilter:
    """Lets text through up to the first stop sequence.

    A tail that may be the beginning of a sequence is held back until the next piece decides.
    """

    def __init__(self, sequences: tuple[str, ...]) -> None:
        self.hit = False
        self._sequences = tuple(filter(None, sequences))
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what of the text so far may be shown now; after a hit, nothing."""
        if not self._sequences:
            return text
        if self.hit:
            return ""
        text = self._held + text
        before = self.cut(text)
        if before != text:
            return before
        keep = self._undecided(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def cut(self, text: str) -> str:
        """Return the whole text of a finished block up to the first sequence in it."""
        self._held = ""
        places = [place for place in map(text.find, self._sequences) if place >= 0]
        self.hit = self.hit or bool(places)
        return text[: min(places)] if places else text

    def release(self) -> str:
        """Return the held tail of a block that broke off: no sequence was completed."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        longest = max(map(len, self._sequences)) - 1
        for size in range(min(longest, len(text)), 0, -1):
            tail = text[-size:]
            if any(sequence.startswith(tail) for sequence in self._sequences):
                return size
        return 0
