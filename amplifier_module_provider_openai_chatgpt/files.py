"""Replaces files atomically: a reader sees the complete old or the complete new content."""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIVATE = 0o600


def replace(
    path: Path, content: bytes, *, mode: int = PRIVATE, temporary: Path | None = None, durable: bool = False
) -> None:
    """Replace the file at ``path``. Raises OSError; the old file is then unchanged.

    ``temporary``, ``mode`` and ``durable`` are as in ``staged``.
    """
    with staged(path, content, mode=mode, temporary=temporary, durable=durable) as new:
        new.replace(path)
    if durable:
        _sync_folder(path.parent)


@contextlib.contextmanager
def staged(
    path: Path, content: bytes, *, mode: int = PRIVATE, temporary: Path | None = None, durable: bool = False
) -> Iterator[Path]:
    """Write ``content`` to a new file next to ``path``, which is removed after the block if it still exists.

    The new file is private until it is complete. A missing folder is created, for its owner only.
    ``temporary`` is the path of the new file: with a fixed name, under a lock, a killed process leaves at
    most one file. ``durable`` waits until the content is on disk. Raises OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = temporary or path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    new.unlink(missing_ok=True)
    try:
        _write(new, content, durable=durable)
        if mode != PRIVATE:
            new.chmod(mode)
        yield new
    finally:
        with contextlib.suppress(OSError):
            new.unlink()


def _write(new: Path, content: bytes, *, durable: bool) -> None:
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, if the system supports that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
