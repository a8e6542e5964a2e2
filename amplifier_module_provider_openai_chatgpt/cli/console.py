"""Where commands write: consoles for a terminal or a pipe, and a spinner."""

from __future__ import annotations

import sys
import textwrap
from contextlib import contextmanager
from itertools import groupby
from typing import TYPE_CHECKING

from amplifier_core.llm_errors import AuthenticationError
from rich.console import Console
from rich.measure import Measurement
from rich.theme import Theme

from ..settings import LOGIN_COMMAND
from .accounts import for_this_account
from .streams import discard, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

__all__ = [
    "Screen",
    "error_text",
    "fits",
    "needs_sign_in",
    "new_console",
    "print_paragraphs",
    "print_wrapped",
    "printable",
    "spinner",
]

_UNWRAPPED = 10_000
# Without rich's black background, which is a blot on a light terminal.
_THEME = Theme({"markdown.code": "cyan", "markdown.code_block": "cyan"})


class Screen(Console):
    """A console that survives the end of its reader: `| head` stops the output, not the command."""

    def on_broken_pipe(self) -> None:
        """Discard everything written from now on."""
        self.quiet = True
        discard(self.file)


def new_console(*, stderr: bool = False) -> Screen:
    """Return a console on stdout for results, or on stderr for notes; a pipe gets unwrapped lines."""
    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if is_terminal else _UNWRAPPED
    return Screen(stderr=stderr, highlight=False, width=width, theme=_THEME)


def print_paragraphs(text: str, out: Console) -> None:
    """Print a text with its lines wrapped between words; an indented line or an address stays whole."""
    for is_fixed, lines in groupby(
        text.split("\n"), lambda line: not line or line[0] == " " or "://" in line
    ):
        for line in lines if is_fixed else (" ".join(lines),):
            out.print(line, markup=False, highlight=False, soft_wrap=is_fixed)


def print_wrapped(text: str, out: Console, indent: str = "") -> None:
    """Print a line, wrapped between words; ``indent`` begins each line but the first. No word is split."""
    for line in textwrap.wrap(
        text, out.width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    ):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def fits(table: Table, out: Console) -> bool:
    """Return whether a table has room without splitting a word of a column that is not wrapped."""
    unlimited = out.options.update(max_width=_UNWRAPPED)
    return Measurement.get(out, unlimited, table).minimum <= out.width


def error_text(error: Exception) -> str:
    """Return the sentence of an error for a terminal."""
    return printable(for_this_account(str(error)))


def needs_sign_in(error: Exception) -> bool:
    """Return whether the error says that you need to sign in."""
    return isinstance(error, AuthenticationError) and LOGIN_COMMAND in str(error)


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
