"""An answer on its way into a pipe or a file: exactly the text, as it arrives."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from ..call.events import STREAM_ABORTED, STREAM_DELTA
from .streams import discard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TextIO


class OutputError(RuntimeError):
    """The output does not have the complete answer; the message is one sentence."""


_CHANGED = (
    "The connection broke in the middle of the answer, and ChatGPT answered again in other words: "
    "the output has only a part of the first answer. Run the command again."
)


class RawAnswer:
    """Writes an answer to a pipe or a file. ``handle`` takes the provider's events.

    A regular file is cut where the answer began if the answer is generated again. A pipe cannot take
    anything back: it gets the rest if the new answer has the same beginning. A file that cannot be written
    stops the call: ``is_immediate`` is what a session's cancellation calls an immediate stop.
    """

    def __init__(self, file: TextIO, on_output: Callable[[], object] = lambda: None) -> None:
        self._file = file
        self._on_output = on_output
        self._pieces: list[str] = []
        self._size = 0
        self._is_held = False
        self._failure: OSError | None = None

    @property
    def is_immediate(self) -> bool:
        """Whether the call is to be stopped: nothing more can be written."""
        return self._failure is not None

    def handle(self, event: str, data: Mapping[str, Any]) -> None:
        """Write the text of an event; after a break, hold everything until the answer is complete."""
        if event == STREAM_DELTA and data["block_type"] == "text" and not self._is_held:
            self._write(data["text"])
        elif event == STREAM_ABORTED:
            self._is_held = not self._take_back()

    def finish(self, text: str) -> None:
        """Write what is missing of the complete answer, and a line end if it has none.

        Raises OutputError if the output has another text, or cannot be written. An output whose reader has
        gone is not a failure.
        """
        written = "".join(self._pieces)
        if text.startswith(written):
            self._write(text[len(written) :])
        elif self._take_back():
            self._write(text)
        elif not written.endswith(text) or self._is_held:
            raise OutputError(_CHANGED)
        if not text.endswith("\n"):
            self._write("\n")
        self.check()

    def check(self) -> None:
        """Raise OutputError if the output could not be written, unless its reader has gone."""
        if self._failure is not None and not isinstance(self._failure, BrokenPipeError):
            raise OutputError(f"The output could not be written: {self._failure.strerror}") from self._failure

    def _write(self, text: str) -> None:
        if self._failure is not None or not text:
            return
        self._on_output()
        data = text.encode(self._file.encoding, self._file.errors or "strict")
        try:
            self._file.buffer.write(data)
            self._file.buffer.flush()
        except OSError as error:
            self._failure = error
            discard(self._file)
        self._pieces.append(text)
        self._size += len(data)

    def _take_back(self) -> bool:
        """Cut a regular file where the answer began, unless another program has written to it since."""
        if not self._size:
            return True
        try:
            number = self._file.fileno()
            status, end = os.fstat(number), os.lseek(number, 0, os.SEEK_CUR)
            if not stat.S_ISREG(status.st_mode) or status.st_size != end:
                return False
            os.ftruncate(number, end - self._size)
            os.lseek(number, end - self._size, os.SEEK_SET)
        except OSError:
            return False
        self._pieces.clear()
        self._size = 0
        return True
