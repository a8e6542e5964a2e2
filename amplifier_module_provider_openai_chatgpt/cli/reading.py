"""What ``ask`` reads: the words of the prompt, stdin, and image files. Nothing here is unbounded."""

from __future__ import annotations

import base64
import codecs
import mimetypes
import os
import stat
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..request.images import MAX_IMAGE_BYTES
from ..request.lengths import LONGEST_TEXT
from .streams import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# Seconds without an end of stdin before a person learns what the command waits for.
PATIENCE = 3.0
# PowerShell's `>` writes UTF-16 with a mark at the beginning.
_MARKED = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_KINDS = {
    stat.S_ISDIR: "a folder",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISCHR: "a device",
    stat.S_ISSOCK: "a socket",
}


class InputError(ValueError):
    """What the user passed cannot be used; the message is one sentence."""


def read_prompt(words: Sequence[str], note: Callable[[str], object]) -> tuple[str, str]:
    """Return the prompt and the text to attach to it, which is empty if stdin has none.

    Without words, or with `-` alone, the prompt is what stdin has. ``note`` gets hints for a person who
    might not know that the command waits. Raises InputError.
    """
    is_from_stdin = list(words) in ([], ["-"])
    prompt = "" if is_from_stdin else " ".join(words)
    if is_from_stdin:
        prompt = _read_stdin("Type the prompt, then Ctrl-D on a line of its own:", note)
    if not prompt.strip():
        raise InputError("The prompt is empty: pass one, or pipe one in.")
    if is_from_stdin or sys.stdin.isatty():
        return prompt, ""
    with _hint("Reading stdin to attach it to the prompt. `< /dev/null` attaches nothing.", note):
        attached = _read_stdin("", note)
    return prompt, attached if attached.strip() else ""


@contextmanager
def _hint(text: str, note: Callable[[str], object]) -> Iterator[None]:
    """Show a hint if the block takes longer than a person expects."""
    timer = threading.Timer(PATIENCE, note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read_stdin(hint: str, note: Callable[[str], object]) -> str:
    if hint and sys.stdin.isatty():
        note(hint)
    try:
        data = sys.stdin.buffer.read(LONGEST_TEXT + 1)
    except OSError as error:
        raise InputError(f"stdin cannot be read: {error.strerror or 'it is closed'}.") from error
    if len(data) > LONGEST_TEXT:
        raise InputError(
            f"stdin has more than {LONGEST_TEXT // 1024**2} MB: pass only the part that matters."
        )
    return _decoded(data)


def _decoded(data: bytes) -> str:
    """Decode text: by its mark, as UTF-8, or in the encoding of stdin. Raises InputError."""
    marked = next((encoding for mark, encoding in _MARKED.items() if data.startswith(mark)), None)
    for encoding in (marked,) if marked else ("utf-8", sys.stdin.encoding or "utf-8"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            place = error.start
    raise InputError(
        f"stdin is not text in UTF-8 (byte {place + 1}): convert it, or use --image for an image."
    )


def read_image(path: str) -> dict[str, str]:
    """Read an image file as the source of an image block. Raises InputError."""
    try:
        kind = _kind_of(path)
        data = b"" if kind else _beginning_of(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not a path"
        raise InputError(f"The image {printable(path) or repr(path)} cannot be read: {why}.") from error
    if kind:
        raise InputError(f"The image {printable(path)} is {kind}: pass a file.")
    if len(data) > MAX_IMAGE_BYTES:
        raise InputError(f"The image {printable(path)} is larger than {MAX_IMAGE_BYTES // 1_000_000} MB.")
    media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


def _kind_of(path: str) -> str:
    """Name what is not a regular file: it could block, or never end."""
    mode = os.stat(path).st_mode  # noqa: PTH116 - the text may be no path at all
    return next((name for is_kind, name in _KINDS.items() if is_kind(mode)), "")


def _beginning_of(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MAX_IMAGE_BYTES + 1)
