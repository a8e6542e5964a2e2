"""Where commands write: consoles for a terminal or a pipe, a spinner, and text made safe to print."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNWRAPPED = 10_000


class Screen(Console):
    """A console that survives the end of its reader: `| head` stops the output, not the command."""

    def on_broken_pipe(self) -> None:
        """Discard everything written from now on."""
        self.quiet = True
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, self.file.fileno())
        os.close(devnull)


def new_console(*, stderr: bool = False) -> Screen:
    """Return a console on stdout for results, or on stderr for notes; a pipe gets unwrapped lines."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Screen(stderr=stderr, highlight=False, width=None if is_terminal else _UNWRAPPED)


def printable(text: str) -> str:
    """Remove characters that could control a terminal; line ends and tabs stay."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def error_text(error: Exception) -> str:
    """Return the sentence of an error for a terminal."""
    return printable(str(error))


@contextmanager
def spinner(text: str) -> Iterator[Callable[[], None]]:
    """Show a spinner on a terminal; yields a function that stops it early.

    Stop it before you write to stdout.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    with new_console(stderr=True).status(f"{text} …") as line:
        yield line.stop
