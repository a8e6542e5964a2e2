"""The host id: names this machine to the issuer, made once (docs/backend-plan.md, Host id)."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from ... import files
from ...secret import Secret
from ..store import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "ext_agent_host_id"
_LOCK_LIMIT = 30
_FORM = re.compile(r"[!-~]{1,500}")


def host_id(path: Path) -> Secret[str]:
    """Return the host id that is stored at ``path``, after storing a new one if there is none.

    Raises StoreError; a damaged file is not replaced, because the issuer knows this machine by its content.
    """
    from filelock import FileLock, Timeout

    try:
        if files.is_homeless(path):
            raise FileNotFoundError(2, "there is no home directory", str(path))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(path.with_name(f"{path.name}.lock"), timeout=_LOCK_LIMIT, mode=files.PRIVATE):
            stored = _read(path)
            known = stored.get(KEY)
            if known is None:
                known = f"urn:uuid:{uuid.uuid4()}"
                files.replace(path, to_json({**stored, KEY: known}) + b"\n", durable=True)
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


def _read(path: Path) -> Mapping[str, Any]:
    try:
        stored = from_json(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(stored, dict):
        raise _damaged(path)
    return stored


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"The file {path} does not name this machine: restore it, or remove it to register again."
    )
