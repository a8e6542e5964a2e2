"""Where commands write: a terminal of some width and colour, or a pipe, which gets plain unbroken lines."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNBROKEN = 10_000


class Screen(Console):
    """A console that outlives its reader: `| head` ends what is shown, not what is done."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def screen(*, stderr: bool = False) -> Screen:
    """Return the console for results, or for what happens around them."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Screen(stderr=stderr, highlight=False, width=None if is_terminal else _UNBROKEN)


@contextmanager
def waiting(text: str) -> Iterator[Callable[[], None]]:
    """Show on a terminal that something is waited for; yields what ends that early.

    Nothing may be written to stdout before it has ended.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with screen(stderr=True).status(f"{text} …") as line:
        yield line.stop
