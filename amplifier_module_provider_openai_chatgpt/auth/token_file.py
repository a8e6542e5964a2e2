"""The token file: one JSON object, private, replaced in one step, under one lock.

Whatever happens to a process while it writes, the file always holds a whole credential.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 1024 * 1024
_PRIVATE = 0o600
# More than a credential needs.
_ROOM = 32 * 1024
_warned: dict[str, tuple[object, str]] = {}

logger = logging.getLogger(__name__)


class RefusedFileError(OSError):
    """The file is not one that a secret may be read from or written to; the text says why."""


def load(path: Path) -> Tokens | None:
    """Return the stored credential; None where there is none.

    A file that cannot be used counts as none: one log line says why, once for each change of the file.
    """
    found = stamp(path)
    try:
        tokens = Tokens.from_dict(_parsed(_read(path)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if _warned.get(str(path)) != (found, reason):
            _warned[str(path)] = (found, reason)
            logger.warning("The token file %s is not used: %s. You count as signed out.", path, reason)
        return None
    return tokens if tokens.access_token or tokens.refresh_token else None


def inspect(path: Path) -> int:
    """Return the mode of the file, which is left as it is.

    Raises OSError or ValueError where ``load`` would not use it.
    """
    found = path.lstat()
    _check(found)
    _parsed(path.read_bytes()[:LARGEST])
    return stat.S_IMODE(found.st_mode)


def save(path: Path, tokens: Tokens) -> None:
    """Write the credential under the caller's lock; it is never wider than 0600 and never half written.

    Raises OSError, RefusedFileError among them.
    """
    with _written(path, to_json(tokens.to_dict(), indent=2) + b"\n") as beside:
        beside.replace(path)
    _sync_folder(path.parent)


def rehearse(path: Path) -> None:
    """Do all that ``save`` does but the last step, so that what would fail fails before it costs anything.

    Raises what ``save`` would.
    """
    with _written(path, b" " * _ROOM):
        pass


@contextlib.contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """Lend a file beside ``path`` that holds the content; one that is left there is removed."""
    _make_folder(path.parent)
    with contextlib.suppress(FileNotFoundError):
        _check(path.lstat())
    beside = _beside(path)
    beside.unlink(missing_ok=True)
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def delete(path: Path) -> None:
    """Remove the credential and what a killed process left of one; missing files are fine. Raises OSError."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def stamp(path: Path) -> tuple[int, ...] | None:
    """Identify the file's present content and mode cheaply; None when there is no file."""
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return (error.errno or -1,)
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


@contextlib.contextmanager
def locked(path: Path, timeout: float) -> Iterator[None]:
    """Hold the lock beside the file, on this machine's processes and threads; waits in this thread.

    Raises TimeoutError after ``timeout`` seconds, OSError where no lock can be made.
    """
    from filelock import FileLock

    _make_folder(path.parent)
    with FileLock(f"{path}.lock", timeout=timeout, mode=_PRIVATE):
        yield


def _beside(path: Path) -> Path:
    """Where a new content is written: one name, so that a killed process leaves one file at most."""
    return path.with_name(f".{path.name}.new")


def _read(path: Path) -> bytes:
    """Read through one descriptor, so that what was checked is what is read."""
    _check(path.lstat())
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _check(found)
        if found.st_size > LARGEST:
            raise RefusedFileError("it is far too large")
        if os.name == "posix" and found.st_mode & 0o077:
            os.fchmod(descriptor, _PRIVATE)
            logger.warning("The token file %s was open to others; it is private now.", path)
        return file.read(LARGEST)


def _check(found: os.stat_result) -> None:
    """Refuse what a secret may not be read from, nor be put in the place of."""
    if stat.S_ISLNK(found.st_mode):
        raise RefusedFileError("it is a symbolic link")
    if not stat.S_ISREG(found.st_mode):
        raise RefusedFileError("it is no regular file")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise RefusedFileError("it belongs to somebody else")


def _parsed(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise ValueError("it is empty")
    try:
        stored = from_json(content)
    except ValueError:
        raise ValueError("it does not hold a JSON object") from None
    if not isinstance(stored, dict):
        raise ValueError("it does not hold a JSON object")  # noqa: TRY004 - wrong content, as above
    return stored


def _make_folder(folder: Path) -> None:
    """Make the folder where it is missing, for its owner only."""
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable; some systems and file systems cannot."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
