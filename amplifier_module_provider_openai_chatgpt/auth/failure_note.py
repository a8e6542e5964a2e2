"""A note next to a file that a renewal has just failed, for all processes that use the file."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from .. import files

if TYPE_CHECKING:
    from pathlib import Path

# A renewal that failed after a long wait is remembered, so not every process waits in turn; one that failed
# fast may be tried again immediately. In seconds.
REMEMBERED = 10.0
SLOW = 2.0
# A note never holds for longer.
_LONGEST = 60.0


class FailureNote:
    """The note of one file. Nothing here ever raises."""

    def __init__(self, path: Path) -> None:
        """``path`` is that of the file."""
        self._path = path.with_name(f".{path.name}.failed")

    def leave(self, seconds: float) -> None:
        """Leave an empty file, dated when it is no longer of use."""
        with contextlib.suppress(OSError):
            self._path.touch(mode=files.PRIVATE)
            os.utime(self._path, ns=(time.time_ns() + int(seconds * 1e9),) * 2)

    def is_newer_than(self, moment: float) -> bool:
        """Return whether a renewal failed after this moment, or so recently that it is remembered.

        The moment is in seconds since 1970. A note from the future was left before the clock was set back:
        it says nothing.
        """
        try:
            noted = self._path.lstat().st_mtime
        except OSError:
            return False
        return moment < noted < time.time() + _LONGEST

    def remove(self) -> None:
        """Remove the note, if there is one."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
