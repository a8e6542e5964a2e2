"""Stop sequences, applied on the client: the backend rejects the parameter."""

from __future__ import annotations


class StopFilter:
    """Lets the text of an answer through up to the first stop sequence in it.

    Text comes block by block: ``feed`` while a block grows, ``cut`` for its whole text, ``end_block``
    after it. A tail that may be the beginning of a sequence is held back until the next piece decides.
    A sequence may begin in one block and end in the next; ``overlap`` is then the number of characters
    that it takes from the end of the blocks before.
    """

    def __init__(self, sequences: tuple[str, ...], before: str = "") -> None:
        """``before`` is the end of the text so far, where this filter takes over from another."""
        self.hit = False
        self.overlap = 0
        self._sequences = tuple(filter(None, sequences))
        self._longest = max(map(len, self._sequences), default=1) - 1
        self._before = before
        self._block = ""
        self._held = ""

    @property
    def before(self) -> str:
        """The end of the finished blocks, where a sequence may have begun."""
        return self._before

    @property
    def holds(self) -> bool:
        """True while a tail is held back."""
        return bool(self._held)

    def feed(self, text: str) -> str:
        """Return the part of the next piece that may be shown now; after a hit, nothing."""
        if not self._sequences:
            return text
        if self.hit:
            return ""
        text = self._held + text
        self._held = ""
        end = self._find(self._shown_before(), text)
        if end < len(text) or self.overlap:
            return text[:end]
        keep = min(len(text), self._undecided(self._shown_before() + text))
        self._held = text[len(text) - keep :]
        shown = text[: len(text) - keep]
        self._block = (self._block + shown)[-self._longest :] if self._longest else ""
        return shown

    def cut(self, text: str) -> str:
        """Return the whole text of a finished block up to the first sequence in it."""
        self._held = ""
        if not self._sequences:
            return text
        return text[: self._find(self._before, text)]

    def release(self) -> str:
        """Return the held tail of a block that broke off: no sequence was completed."""
        text, self._held = self._held, ""
        return text

    def end_block(self, text: str) -> None:
        """Remember the end of a finished block: a sequence may begin there."""
        if self._longest:
            self._before = (self._before + text)[-self._longest :]
        self._block = ""

    def _shown_before(self) -> str:
        """The text in front of the held one, as far back as a sequence may reach."""
        return (self._before + self._block)[-self._longest :] if self._longest else ""

    def _find(self, before: str, text: str) -> int:
        """Return where ``text`` ends: at the first sequence that is not wholly in ``before``."""
        whole = before + text
        found = [
            place
            for sequence in self._sequences
            if (place := whole.find(sequence, max(0, len(before) - len(sequence) + 1))) >= 0
        ]
        if not found:
            return len(text)
        self.hit = True
        place = min(found) - len(before)
        self.overlap = max(0, -place)
        return max(0, place)

    def _undecided(self, text: str) -> int:
        for size in range(min(self._longest, len(text)), 0, -1):
            tail = text[-size:]
            if any(sequence.startswith(tail) for sequence in self._sequences):
                return size
        return 0
