"""The token file: one JSON object, private, replaced in one step, under one lock.

Whatever happens to a process while it writes, the file always holds a whole sign-in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from .. import files
from ..services import CHATGPT_CODEX, Claims
from .store import StoreError
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 1024 * 1024
# More than a sign-in needs.
_REHEARSED = 32 * 1024
# The last warning about each path, so that it is logged once for each change of the file. Written by any
# thread without a lock: losing an entry only repeats a warning.
_warned: dict[str, tuple[object, str]] = {}

logger = logging.getLogger(__name__)


class RefusedFileError(OSError):
    """The file is not one that a secret may be read from or written to; the text says why."""


class TokenFile:
    """The ``TokenStore`` of one path. Holds no state of its own: the file is read at each call."""

    def __init__(self, path: Path, claims: Claims = CHATGPT_CODEX.claims) -> None:
        """``claims`` are those of the service whose tokens the file holds."""
        self.path = path.absolute()
        self._claims = claims
        self._new = self.path.with_name(f".{self.path.name}.new")
        self._lock = self.path.with_name(f"{self.path.name}.lock")

    @property
    def location(self) -> str:
        """Absolute path of the file."""
        return str(self.path)

    def stamp(self) -> tuple[int, ...] | None:
        """Identify the present content and mode; None when there is no file."""
        try:
            found = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return (error.errno or -1,)
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def load(self) -> Tokens | None:
        """Return the stored sign-in; None where there is none, or none that can be used (logged once)."""
        stamp = self.stamp()
        try:
            tokens = Tokens.from_dict(_parsed(_read(self.path)), self._claims)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            if _warned.get(self.location) != (stamp, reason):
                _warned[self.location] = (stamp, reason)
                logger.warning("The token file %s is not used: %s. You are signed out.", self.path, reason)
            return None
        return tokens if tokens.access_token or tokens.refresh_token else None

    def save(self, tokens: Tokens) -> None:
        """Replace the file; it is never readable by others and never half written."""
        content = to_json(tokens.to_dict(), indent=2) + b"\n"
        with self._reported():
            self._check_target()
            files.replace(self.path, content, temporary=self._new, durable=True)

    def rehearse(self) -> None:
        """Do what ``save`` does, except for the last step."""
        with self._reported():
            self._check_target()
            with files.staged(self.path, b" " * _REHEARSED, temporary=self._new, durable=True):
                pass

    def delete(self) -> None:
        """Remove the file, and what a killed process left next to it."""
        with self._reported():
            self.path.unlink(missing_ok=True)
            self._new.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Hold the lock file next to the token file, against this machine's processes and threads."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock, timeout=timeout, mode=files.PRIVATE)
        with self._reported(unless=Timeout):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def inspect(self) -> int:
        """Return the mode of the file, which is left as it is.

        Raises OSError or ValueError where ``load`` would not use the file; the text says why.
        """
        found = self.path.lstat()
        _check(found)
        _parsed(self.path.read_bytes()[:LARGEST])
        return stat.S_IMODE(found.st_mode)

    def _check_target(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            _check(self.path.lstat())

    @contextlib.contextmanager
    def _reported(self, unless: type[OSError] | tuple[()] = ()) -> Iterator[None]:
        """Turn what the system refuses into a sentence for a person."""
        try:
            yield
        except unless:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            if error.filename == str(self._lock):
                reason = f"{reason} ({self._lock})"
            raise StoreError(
                f"The token file {self.path} cannot be written: {reason}. Fix that, or set token_file_path."
            ) from error


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
            os.fchmod(descriptor, files.PRIVATE)
            logger.warning("The token file %s was readable by others; its mode was corrected to 0600.", path)
        return file.read(LARGEST)


def _check(found: os.stat_result) -> None:
    """Refuse what a secret may not be read from, nor be put in the place of."""
    if stat.S_ISLNK(found.st_mode):
        raise RefusedFileError("it is a symbolic link")
    if not stat.S_ISREG(found.st_mode):
        raise RefusedFileError("it is not a regular file")
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise RefusedFileError("it belongs to another user")


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
