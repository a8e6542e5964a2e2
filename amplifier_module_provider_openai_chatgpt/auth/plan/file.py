"""The file of one connected account: private, replaced in one step, under one lock."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from ... import files
from ...redaction import Sealed
from ...services import CHATGPT_PLAN_SIGN_IN
from .. import stored
from ..failure_note import FailureNote
from ..failures import Reason, SignInError
from ..store import StoreError, Unusable
from ..stored import Cause, ForeignModeError, RefusedFileError
from ..waiting import ANNOUNCE_AFTER, OTHER_PROCESS, announced
from .credential import PlanCredential
from .failures import LOGIN, PlanError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ...services import Origin

_DAMAGED = {Cause.EMPTY, Cause.DAMAGED}
_REGISTRATION = ".registration"
# More than a sign-in needs.
_REHEARSED = 32 * 1024
# Seconds; a renewal may take as long.
LOCK_LIMIT = 30.0


class PlanFile:
    """The store of one path and one service. Holds no state of its own: the file is read at each call.

    The registration of an app that was not signed in to yet is in a file next to it, or in the one that is
    given as ``registration``, which stays after the sign-in.
    """

    def __init__(
        self,
        path: Path,
        origin: Origin = CHATGPT_PLAN_SIGN_IN.origin,
        *,
        registration: Path | None = None,
        announce_after: float = ANNOUNCE_AFTER,
    ) -> None:
        """A wait for another process of more than ``announce_after`` seconds is announced."""
        self._announce_after = announce_after
        self.path = _absolute(path)
        self._new = files.new_of(self.path)
        self.failure = FailureNote(self.path)
        self._origin = origin
        self._lock = self.path.with_name(f"{self.path.name}.lock")
        self.keeps_registration = registration is not None
        self._registration = _absolute(registration or self.path.with_name(self.path.name + _REGISTRATION))

    @property
    def default_host_file(self) -> Path:
        """Where the host id is, if nothing else is said."""
        return self.path.with_name("host.json")

    def stamp(self) -> tuple[tuple[int, ...] | None, ...]:
        """Identify what ``read`` would find at this moment."""
        return files.stamp(str(self.path)), files.stamp(str(self._new))

    def read(self) -> PlanCredential | Unusable | None:
        """Return what is stored, None where nothing is, else why it is not used.

        A complete new file, left by a process that was killed before it could rename it, takes precedence.
        """
        found = self._read(self.path)
        if found is None or (isinstance(found, Unusable) and not found.is_ours):
            return found
        return self._left() or found

    def _left(self) -> PlanCredential | None:
        """Return what a killed process left next to the file after its last change."""
        left = self._read(self._new) if files.is_newer(self._new, self.path) else None
        return left if isinstance(left, PlanCredential) else None

    def _settle(self) -> None:
        """Finish what a killed process began, under the lock; what is not complete is removed."""
        if not os.path.lexists(self._new):
            return
        with contextlib.suppress(OSError):
            left = self._left()
            if left is not None and self.read() == left:
                files.finish(self.path)
            else:
                self._new.unlink()

    def save(self, credential: PlanCredential) -> None:
        """Replace what is stored; whatever happens, a whole one is there. Raises StoreError."""
        with self._reported():
            self._check_replaceable()
            self._put(self.path, credential)

    def _check_replaceable(self) -> None:
        found = self._read(self.path)
        if isinstance(found, Unusable) and not found.is_ours:
            advice = found.login_advice or found.advice
            raise StoreError(f"The file {self.path} cannot be written: {found.why}. {advice}")

    def salvage(self) -> PlanCredential | None:
        """Return what can be read of a damaged file; nothing of another service."""
        found = self._read(self.path)
        if not isinstance(found, Unusable) or not found.is_ours:
            return None
        salvaged = PlanCredential.from_dict(stored.salvaged(self.path))
        return salvaged if salvaged.origin == self._origin else None

    def delete_unusable(self) -> None:
        """Remove a damaged file or a link; never what is not a sign-in. Raises StoreError."""
        with self._reported():
            found = self._read(self.path)
            if isinstance(found, Unusable) and found.is_removable:
                self.path.unlink(missing_ok=True)
                self._new.unlink(missing_ok=True)

    @property
    def registration_path(self) -> Path:
        """Where an issued registration is kept until the sign-in is complete."""
        return self._registration

    def registration(self) -> PlanCredential | None:
        """Return the registration of a sign-in that did not get to its end."""
        for path in (self._registration, files.new_of(self._registration)):
            found = self._read(path)
            if isinstance(found, PlanCredential) and found.client_id:
                return found
        return None

    def save_registration(self, registration: PlanCredential) -> None:
        """Keep an issued registration, before anything else can fail. Raises StoreError."""
        with self._reported():
            self._put(self._registration, registration)

    def drop_registration(self) -> None:
        """Remove the registration file, unless it was asked for: it is part of the credential now."""
        if self.keeps_registration:
            return
        with contextlib.suppress(OSError):
            self._registration.unlink(missing_ok=True)
            files.new_of(self._registration).unlink(missing_ok=True)

    def rehearse(self) -> None:
        """Find out whether ``save`` would work. Raises StoreError."""
        with self._reported():
            self._check_replaceable()
            with Sealed():
                files.rehearse(self.path, self._new if self._left() else self.path, room=_REHEARSED)

    @contextlib.contextmanager
    def lock(self, limit: float = LOCK_LIMIT) -> Iterator[None]:
        """Keep other threads and processes out of the block.

        Raises SignInError, LOCKED, if they held it for ``limit`` seconds, StoreError if there can be none.
        """
        with self._held(self._lock, limit, SignInError(Reason.LOCKED, seconds=f"{limit:g}")):
            self._settle()
            yield

    @contextlib.contextmanager
    def queue(self, limit: float = LOCK_LIMIT) -> Iterator[None]:
        """Keep out others who want a renewal, without keeping out the renewal itself. Raises as ``lock``."""
        path = self.path.with_name(f".{self.path.name}.queue")
        with self._held(path, limit, SignInError(Reason.LOCKED, seconds=f"{limit:g}")):
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    path.unlink()

    @contextlib.contextmanager
    def consent(self) -> Iterator[None]:
        """Keep out another sign-in with this registration, while a person decides; renewals go on.

        Raises PlanError, UNDER_WAY, immediately, and StoreError.
        """
        path = self._registration.with_name(f".{self._registration.name}.login")
        with self._held(path, 0, PlanError(Problem.UNDER_WAY, place=str(self.path))):
            yield

    @contextlib.contextmanager
    def _held(self, path: Path, limit: float, in_use: SignInError) -> Iterator[None]:
        from filelock import FileLock, Timeout

        lock = FileLock(path, timeout=limit, mode=files.PRIVATE)
        try:
            with self._reported(unless=Timeout):
                stored.check_home(path)
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with announced(OTHER_PROCESS, self._announce_after):
                    lock.acquire()
        except Timeout as error:
            raise in_use from error
        try:
            yield
        finally:
            lock.release()

    def _put(self, path: Path, credential: PlanCredential) -> None:
        with Sealed():
            self._write(path, credential)

    def _write(self, path: Path, credential: PlanCredential) -> None:
        saved = replace(credential, saved_at=time.time() if credential.access_token else None)
        files.stage(files.new_of(path), to_json(saved.to_dict(), indent=2) + b"\n")
        files.finish(path)

    def _read(self, path: Path) -> PlanCredential | Unusable | None:
        try:
            credential = PlanCredential.from_dict(stored.read(path, parser=_parse))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            return _unusable(path, error)
        return credential if credential.origin == self._origin else self._foreign(path, credential)

    def _foreign(self, path: Path, credential: PlanCredential) -> Unusable:
        return Unusable(
            f"The sign-in in {path}",
            f"it belongs to {credential.origin}, but base_url and auth_url name {self._origin}",
            "Remove these settings; or, only if you trust that service, set token_file_path to another file, "
            f"OPENAI_CHATGPT_BASE_URL and OPENAI_CHATGPT_AUTH_URL to these addresses, and run {LOGIN}.",
            foreign=True,
            login_advice="Use --profile NAME or another token_file_path, or delete that file.",
        )

    @contextlib.contextmanager
    def _reported(self, unless: type[OSError] | tuple[()] = ()) -> Iterator[None]:
        """Turn what the system refuses into a sentence for a person."""
        try:
            yield
        except unless:
            raise
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(
                f"The file {self.path} cannot be written: {reason}. Fix that, or set token_file_path."
            ) from error


def _parse(content: bytes) -> Mapping[str, Any]:
    """Read a file's content. Raises RefusedFileError or ForeignModeError for anything but this kind."""
    if not content.strip(b" \t\r\n\0"):
        raise RefusedFileError(Cause.EMPTY)
    try:
        found = from_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        is_ours = CHATGPT_PLAN_SIGN_IN.mode.encode() in content
        raise RefusedFileError(Cause.DAMAGED if is_ours else Cause.NOT_JSON)
    mode = found.get("auth_mode")
    if mode != CHATGPT_PLAN_SIGN_IN.mode:
        is_sign_in = mode or found.get("access_token")
        raise ForeignModeError(str(mode or "")) if is_sign_in else RefusedFileError(Cause.NOT_A_SIGN_IN)
    return found


def _unusable(path: Path, error: OSError | ValueError) -> Unusable:
    if isinstance(error, RefusedFileError) and error.cause in _DAMAGED:
        advice = f"To replace it, run {LOGIN}."
        return Unusable(f"The token file {path}", error.cause.value.why, advice, is_ours=True)
    return stored.unusable(path, error)


def _absolute(path: Path) -> Path:
    return path if files.is_homeless(path) else path.absolute()
