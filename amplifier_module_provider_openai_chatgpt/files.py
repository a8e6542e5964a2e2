"""Replaces files atomically: a reader sees the complete old or the complete new content."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PRIVATE = 0o600
# How often a denied replacement is tried again, and the seconds between: a virus scanner or a backup lets go.
_RETRIES = 10
_PAUSE = 0.1
# A mount point is never replaced, however long one waits.
_HOPELESS = {errno.EBUSY, errno.EXDEV}


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
    _make_folder(path.parent)
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


def stage(new: Path, content: bytes, *, room: int = 0) -> None:
    """Write a private file durably; before that, find out whether ``room`` bytes fit. Raises OSError.

    What fails halfway is removed.
    """
    _make_folder(new.parent)
    new.unlink(missing_ok=True)
    try:
        _write(new, content + b" " * max(0, room - len(content)), durable=True)
        if room > len(content):
            os.truncate(new, len(content))
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise


def put(
    new: Path,
    path: Path,
    *,
    replace: Callable[[Path, Path], object] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> bool:
    """Rename ``new`` to ``path``; False if that is denied, for a second or for ever. Both are then there.

    Raises OSError if something else is wrong.
    """
    for attempt in range(_RETRIES + 1):
        try:
            (replace or os.replace)(new, path)
        except OSError as error:
            if error.errno in _HOPELESS:
                return False
            if error.errno not in {errno.EACCES, errno.EPERM}:
                raise
            if attempt < _RETRIES:
                sleep(_PAUSE)
        else:
            _sync_folder(path.parent)
            return True
    return False


def new_of(path: Path) -> Path:
    """Return the path of the new file that ``finish`` puts in the place of a file."""
    return path.with_name(f".{path.name}.new")


def finish(
    path: Path,
    *,
    replace: Callable[[Path, Path], object] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Put the new file of a file in its place, or its content where that is denied. Raises OSError."""
    new = new_of(path)
    if not put(new, path, replace=replace, sleep=sleep):
        overwrite(path, new.read_bytes())
        new.unlink()


def is_newer(path: Path, than: Path) -> bool:
    """True if both files exist and the first was not changed before the other."""
    try:
        return path.lstat().st_mtime_ns >= than.lstat().st_mtime_ns
    except OSError:
        return False


def stamp(path: str) -> tuple[int, ...] | None:
    """Identify the present content and mode of a file, links not followed; None if there is none."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return (error.errno or -1,)
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def rehearse(
    path: Path,
    newest: Path,
    *,
    room: int,
    replace: Callable[[Path, Path], object] | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> None:
    """Replace a file by a copy of ``newest``, and find out whether ``room`` bytes would fit. Raises OSError.

    ``newest`` is the file itself, or what could not be put in its place. A file that cannot be replaced must
    be writable in place. Where there is no file, none is left.
    """
    trial = path.with_name(f".{path.name}.try")
    try:
        if not path.exists():
            stage(trial, b"", room=room)
            return
        content = newest.read_bytes()
        stage(trial, content, room=max(room, 2 * len(content)))
        if not put(trial, path, replace=replace, sleep=sleep):
            overwrite(path, None)
    finally:
        trial.unlink(missing_ok=True)


def overwrite(path: Path, content: bytes | None) -> None:
    """Write an existing file in place, durably; with None only find out whether it may be. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0))
    with os.fdopen(descriptor, "wb", closefd=True) as file:
        if content is not None:
            file.write(content)
            file.flush()
            os.ftruncate(descriptor, len(content))
            os.fsync(descriptor)


def is_homeless(path: Path) -> bool:
    """True for a path below a home directory that could not be found."""
    return path.parts[:1] == ("~",)


def _make_folder(folder: Path) -> None:
    if is_homeless(folder):
        raise FileNotFoundError(errno.ENOENT, "there is no home directory", str(folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


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
