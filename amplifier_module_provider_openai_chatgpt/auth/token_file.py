"""The token file: one JSON object, private, replaced in one step, under one lock.

Whatever happens to a process while it writes, the file or the new one next to it holds a whole sign-in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING

from pydantic_core import to_json

from .. import files
from ..redaction import Sealed
from ..services import CHATGPT_CODEX, Claims, Origin
from . import stored
from .failure_note import FailureNote
from .store import StoreError, Unusable
from .stored import LARGEST, Cause, RefusedFileError
from .tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..services import Service
    from .store import TokenStore

# More than a sign-in needs.
_REHEARSED = 32 * 1024
# The last warning about each path, so it is logged once for each change of the file. Written by any
# thread without a lock: losing an entry only repeats a warning.
_warned: dict[str, tuple[object, str]] = {}

logger = logging.getLogger(__name__)


class TokenFile:
    """The ``TokenStore`` of one path. Holds no state of its own: the file is read at each call.

    With an ``origin`` it is the store of one service: where another service's sign-in is at ``path``, or
    where ``path`` is reserved for the default service, a file next to it is used (``of_service``). All files
    of one path share its lock.
    """

    def __init__(
        self,
        path: Path,
        claims: Claims = CHATGPT_CODEX.claims,
        *,
        origin: Origin | None = None,
        replace: Callable[[Path, Path], object] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """``claims`` are those of the service whose tokens the file holds; ``replace`` renames a file."""
        self._replace, self._sleep = replace, sleep
        self._asked = path
        self._is_homeless = files.is_homeless(path)
        self._given = path if self._is_homeless else path.absolute()
        self._claims = claims
        self._origin = origin
        self._own = stored.place_of(self._given, origin) if origin else None
        # Looked at several times in each call: in order of precedence, with the new file next to each.
        places = (self._given,) if self._own is None else (self._own, self._given)
        self._places = [(str(place), str(files.new_of(place))) for place in places]
        self._lock = self._given.with_name(f"{self._given.name}.lock")
        self._queue = self._given.with_name(f".{self._given.name}.queue")
        self._failure = FailureNote(self._given)

    @property
    def location(self) -> str:
        """Absolute path that was asked for."""
        return str(self._given)

    @property
    def place(self) -> str:
        """Path of the file that is used at this moment."""
        path = self.path
        return str(self._asked if path == self._given else path)

    @property
    def path(self) -> Path:
        """The file of this service at this moment."""
        own = self.of_service
        if own is None or (not os.path.lexists(own) and not self._is_anothers()):
            return self._given
        return own

    @property
    def of_service(self) -> Path | None:
        """The file next to ``path`` that only this service uses."""
        return self._own

    def _is_anothers(self) -> bool:
        """True if the path that was asked for is another service's."""
        if self._origin is None:
            return False
        found = self._read(self._given, make_private=False)
        if isinstance(found, Tokens) and (found.origin is not None or not self._is_default()):
            return not found.belongs_to(self._origin)
        return self._is_default() and self._origin != CHATGPT_CODEX.origin

    def _is_default(self) -> bool:
        return stored.is_default(self._given)

    def stamp(self) -> tuple[tuple[int, ...] | None, ...] | None:
        """Identify the present content and mode; None when there is no file."""
        if self._is_homeless:
            return ((0,), None)
        for path, new in self._places:
            if found := files.stamp(path):
                return (found, files.stamp(new))
        return None

    def read(self) -> Tokens | Unusable | None:
        """Return the stored sign-in, None where there is none, or why it is not used (logged once).

        Where this service has none, another service's is returned: its owner says so to a person.
        """
        path = self.path
        found = self._newest(path)
        if found is None and path != self._given:
            path = self._given
            found = self._newest(path)
        self._warn(path, found)
        return found

    def _newest(self, path: Path) -> Tokens | Unusable | None:
        """Read the file, or what a killed or hindered process left next to it after its last change.

        Without the file there is no sign-in: a person removed it.
        """
        found = self._read(path)
        if found is None or (isinstance(found, Unusable) and not found.is_ours):
            return found
        left = files.new_of(path)
        if isinstance(found, Tokens) and not files.is_newer(left, path):
            return found
        complete = self._read(left) if os.path.lexists(left) else None
        return complete if isinstance(complete, Tokens) else found

    def _read(self, path: Path, *, make_private: bool = True) -> Tokens | Unusable | None:
        try:
            return Tokens.from_dict(stored.read(path, make_private=make_private), self._claims)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return stored.unusable(path, error)

    def _warn(self, path: Path, found: Tokens | Unusable | None) -> None:
        if isinstance(found, Unusable) and not found.foreign:
            news = (files.stamp(str(path)), found.text)
            if _warned.get(str(path)) != news:
                _warned[str(path)] = news
                logger.warning("%s You are signed out.", found.text)

    def save(self, tokens: Tokens) -> None:
        """Replace the file. It is never readable by others, and whatever happens one whole sign-in is there.

        A file that may not be replaced (a mount point) is written in place, after its new content is on the
        disk next to it.
        """
        path = self.path
        with self._reported(path):
            self._check_target(path)
            with Sealed():
                self._write(path, tokens)

    def _write(self, path: Path, tokens: Tokens) -> None:
        content = to_json(tokens.to_dict(), indent=2) + b"\n"
        self._check_content(content, tokens)
        files.stage(files.new_of(path), content)
        self._finish(path)

    def rehearse(self) -> None:
        """Do what ``save`` does with the content that is there, and find out whether a larger one fits."""
        path = self.path
        with self._reported(path):
            self._check_target(path)
            self._check_leftover(path)
            with Sealed():
                newest = files.new_of(path) if os.path.lexists(files.new_of(path)) else path
                files.rehearse(path, newest, room=_REHEARSED, replace=self._replace, sleep=self._sleep)

    def _check_leftover(self, path: Path) -> None:
        """Remove a new file that is not complete. Raises OSError where that is impossible."""
        new = files.new_of(path)
        if os.path.lexists(new) and not isinstance(self._read(new), Tokens):
            new.unlink()

    def _finish(self, path: Path) -> None:
        files.finish(path, replace=self._replace, sleep=self._sleep)

    def _settle(self) -> None:
        """Finish what a killed process began, under the lock; what is not complete is removed."""
        path = self.path
        new = files.new_of(path)
        if not os.path.lexists(new):
            return
        with contextlib.suppress(OSError):
            found = self._newest(path)
            if isinstance(found, Tokens) and found == self._read(new) and found != self._read(path):
                self._finish(path)
            else:
                new.unlink()

    def _check_content(self, content: bytes, tokens: Tokens) -> None:
        """Refuse to write what could not be read again."""
        if len(content) > LARGEST or not tokens.is_same(
            Tokens.from_dict(stored.parse(content), self._claims)
        ):
            raise RefusedFileError(Cause.UNREADABLE)

    def delete(self) -> None:
        """Remove the file, and what a killed process left next to it; never what is not a sign-in."""
        path = self.path
        with self._reported(path):
            if path != self._given or not self._is_kept():
                path.unlink(missing_ok=True)
                files.new_of(path).unlink(missing_ok=True)
                self._failure.remove()

    def salvage(self) -> Tokens | None:
        """Return the tokens in a damaged or oversized file, None if there are none."""
        found = stored.salvaged(self.path)
        return Tokens.from_dict(found, self._claims) if found else None

    def _is_kept(self) -> bool:
        found = self._read(self._given)
        return isinstance(found, Unusable) and not found.is_removable

    @contextlib.contextmanager
    def lock(self, timeout: float) -> Iterator[None]:
        """Hold the lock file next to the token file, against this machine's processes and threads."""
        with self._held(self._lock, timeout):
            self._settle()
            yield

    @contextlib.contextmanager
    def queue(self, timeout: float) -> Iterator[None]:
        """Hold another lock file, which is removed afterwards."""
        with self._held(self._queue, timeout):
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    self._queue.unlink()

    @contextlib.contextmanager
    def _held(self, path: Path, timeout: float) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock = FileLock(path, timeout=timeout, mode=files.PRIVATE)
        with self._reported(self._given, unless=Timeout):
            stored.check_home(self._given)
            self._given.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def note_failure(self, seconds: float) -> None:
        """Leave a note that a renewal has just failed."""
        self._failure.leave(seconds)

    def failed_since(self, moment: float) -> bool:
        """Return whether a renewal failed after this moment, or so recently that it is remembered."""
        return self._failure.is_newer_than(moment)

    def _check_target(self, path: Path) -> None:
        """Refuse to replace what is not a sign-in: a link, another user's file, other notes."""
        found = self._read(path)
        if isinstance(found, Unusable) and not found.is_ours:
            raise StoreError(f"The token file {path} cannot be written: {found.why}. {found.advice}")

    @contextlib.contextmanager
    def _reported(self, path: Path, unless: type[OSError] | tuple[()] = ()) -> Iterator[None]:
        """Turn what the system refuses into a sentence for a person."""
        try:
            yield
        except unless:
            raise
        except RefusedFileError as error:
            found = stored.unusable(path, error)
            raise StoreError(
                f"The token file {path} cannot be written: {found.why}. {found.advice}"
            ) from error
        except OSError as error:
            reason = error.strerror or str(error)
            if error.filename in {str(self._lock), str(self._queue)}:
                reason = f"{reason} ({error.filename})"
            raise StoreError(
                f"The token file {path} cannot be written: {reason}. Fix that, or set token_file_path."
            ) from error


def token_store(path: Path, service: Service) -> TokenStore:
    """Return the place where a sign-in is stored. Another kind of store is chosen here."""
    return TokenFile(path, service.claims, origin=service.origin)


__all__ = ["LARGEST", "TokenFile", "token_store"]
