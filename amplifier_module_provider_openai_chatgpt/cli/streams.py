"""The process's stdin, stdout and stderr: closed ones, encodings that lack characters, and text for them."""

from __future__ import annotations

import codecs
import io
import json
import os
import re
import sys
from typing import IO

# Name of the codec error handler that puts ASCII in the place of characters an encoding lacks.
LOOK_ALIKES = "openai-chatgpt-look-alikes"
_ASCII = {
    "✓": "+",
    "✗": "x",
    "–": "-",
    "—": "-",
    "→": ">",
    "←": "<",
    "•": "*",
    "·": "-",
    "×": "x",
    "…": "...",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "\u00a0": " ",
    "\u202f": " ",
    "\u3000": " ",
    **dict.fromkeys("\u200b\u200c\u200d\ufeff", ""),
    **dict(zip("█░▁▂▃▄▅▆▇", "#._.-=+*#", strict=True)),
    **dict.fromkeys("─━", "-"),
    **dict.fromkeys("│┃▌", "|"),
    **dict.fromkeys("┏┓┗┛┳┻╋┡┩╇└┘┴┼├┤┬┌┐╭╮╰╯", "+"),
    **dict.fromkeys("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "*"),
}
# Control characters but not line ends and tabs, characters that change the direction of what follows, and
# halves of surrogate pairs, which no terminal can show.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def look_alike(text: str) -> str:
    """Return ASCII for a text; a character without a look-alike becomes a question mark."""
    return "".join(char if char.isascii() else _ASCII.get(char, "?") for char in text)


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return look_alike(error.object[error.start : error.end]), error.end


codecs.register_error(LOOK_ALIKES, _replace_unencodable)


def prepare() -> None:
    """Make the three streams usable, whatever the shell closed and whichever encoding they have.

    Notes go nowhere if the shell closed stderr (`2>&-`), and the answer if it closed stdout.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - until the end
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=LOOK_ALIKES)


def use_ascii() -> None:
    """Write only ASCII to stdout from now on."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="ascii", errors=LOOK_ALIKES)


def use_utf8() -> None:
    """Write UTF-8 and unchanged line ends to a pipe or a file, unless PYTHONIOENCODING asks for another."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        encoding = None if os.environ.get("PYTHONIOENCODING") else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors=LOOK_ALIKES, newline="\n")


def discard(stream: IO[str]) -> None:
    """Send what is still written to a stream nowhere: its reader has gone."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)


def printable(text: str) -> str:
    """Remove the characters that could control a terminal; spaces, joiners, line ends and tabs stay."""
    return _CONTROLS.sub("", text)


def json_text(value: object, encoding: str | None = "utf-8", *, indent: int | None = 2) -> str:
    """Return a value as JSON: what is not printable, or not part of the encoding, is escaped."""
    if not (encoding or "").lower().replace("_", "-").startswith("utf"):
        return json.dumps(value, indent=indent)
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]
