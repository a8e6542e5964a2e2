"""The host id: names this machine to the issuer, made once (docs/backend-plan.md, Host id)."""

from __future__ import annotations

import errno
import os
import re
import stat
import uuid
from typing import TYPE_CHECKING

from pydantic_core import from_json, to_json

from ... import files
from ...secret import Secret
from ..store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ext_agent_host_id"
_LOCK_LIMIT = 30
_LARGEST = 64 * 1024
_FORM = re.compile(r"[!-~]{1,500}")


def host_id(path: Path) -> Secret[str]:
    """Return the host id that is stored at ``path``, after storing a new one if there is no file.

    Raises StoreError; any other file is left alone, and so is a damaged one, because the issuer knows this
    machine by its content.
    """
    from filelock import Timeout

    try:
        if files.is_homeless(path):
            raise FileNotFoundError(2, "there is no home directory", str(path))
        known = _read(path) if path.exists() else _made(path)
    except Timeout as error:
        raise StoreError(f"The file {path} is in use by another program: try again.") from error
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"The file {path} cannot be used: {reason}. Fix that, or set host_file_path."
        ) from error
    if not isinstance(known, str) or not _FORM.fullmatch(known):
        raise _damaged(path)
    return Secret(known)


def _made(path: Path) -> object:
    """Store a new host id, unless another process does it now."""
    from filelock import FileLock

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_LIMIT, mode=files.PRIVATE):
        if path.exists():
            return _read(path)
        made = f"urn:uuid:{uuid.uuid4()}"
        files.replace(path, to_json({KEY: made}) + b"\n", durable=True)
        return made


def _read(path: Path) -> object:
    """Read what is stored as the host id. Raises OSError, also for a pipe or a device, and StoreError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        content = file.read(_LARGEST)
    try:
        found = from_json(content)
    except ValueError as error:
        raise _damaged(path) from error
    return found.get(KEY) if isinstance(found, dict) else None


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"The file {path} does not name this machine: restore it, or remove it to register again."
    )
