"""What may be at a token file's path: how it is read, and what a person reads if it is not used."""

from __future__ import annotations

import logging
import os
import re
import stat
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from pydantic_core import from_json

from .. import files
from ..services import CHATGPT_CODEX, CHATGPT_PLAN_SIGN_IN, Origin
from ..settings import LOGIN_COMMAND
from .store import Unusable
from .tokens import OUR_MODES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST = 1024 * 1024
_LARGEST_SALVAGED = 32 * LARGEST
# A pattern as text is compiled on first use, which keeps mounting fast.
_FIELD = (
    rb'(?m)^(?:\{|  )"(access_token|refresh_token|issuer|backend|client_id|subject|ext_agent_host_id)"'
    rb': ?"([!#-\[\]-~]+)"'
)
_TOKENS = ("access_token", "refresh_token")
_SET_PATH = "Set token_file_path or OPENAI_CHATGPT_TOKEN_FILE to the path of another file."
_OR_SET_PATH = f"Otherwise {_SET_PATH[0].lower()}{_SET_PATH[1:]}"
# The modes that could not be corrected, by path and mode: warned about once.
_exposed: set[tuple[str, int]] = set()

logger = logging.getLogger(__name__)


class Advice(NamedTuple):
    """Why a file is not used and what to do; ``is_ours``: a new sign-in may replace it."""

    why: str
    advice: str
    is_ours: bool = False


_SIGN_IN_AGAIN = f"To replace it, run {LOGIN_COMMAND}."


class Cause(Enum):
    """Why a file is not used."""

    LINK = Advice(
        "it is a symbolic link", "Set token_file_path to the file it points to, or remove the link."
    )
    NOT_REGULAR = Advice("it is not a regular file", _SET_PATH)
    ANOTHER_USERS = Advice("it belongs to another user", "Change its owner, or set token_file_path.")
    TOO_LARGE = Advice("it is far too large", _SET_PATH)
    OVERSIZED = Advice("it is far too large", _SIGN_IN_AGAIN, is_ours=True)
    EMPTY = Advice("it is empty", _SIGN_IN_AGAIN, is_ours=True)
    DAMAGED = Advice("it does not contain a JSON object", _SIGN_IN_AGAIN, is_ours=True)
    UTF_16 = Advice("it is not UTF-8 but UTF-16", "Save it as UTF-8, or remove it and sign in again.")
    NOT_JSON = Advice("it does not contain a JSON object and is not a sign-in", _SET_PATH)
    NOT_A_SIGN_IN = Advice("it contains no tokens: it is not a sign-in", _SET_PATH)
    UNREADABLE = Advice("the new sign-in could not be read again", _SIGN_IN_AGAIN)
    NO_HOME = Advice("there is no home directory", _SET_PATH)


class RefusedFileError(OSError):
    """The file is not one that a secret may be read from or written to."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value.why)
        self.cause = cause


class ForeignModeError(ValueError):
    """A sign-in of another kind; the text is its ``auth_mode``."""


def check_home(path: Path) -> None:
    """Raise RefusedFileError for a path below an unknown home directory."""
    if files.is_homeless(path):
        raise RefusedFileError(Cause.NO_HOME)


def is_default(path: Path) -> bool:
    """True for the file of the default service."""
    try:
        return path == Path(CHATGPT_CODEX.token_file).expanduser().absolute()
    except RuntimeError:
        return False


def place_of(path: Path, origin: Origin) -> Path:
    """Return the file next to ``path`` for the sign-in of one service."""
    names = [re.sub(r"[^\w.-]", "_", urlsplit(url).netloc) for url in (origin.backend, origin.issuer)]
    is_default_issuer = origin.issuer == CHATGPT_CODEX.origin.issuer
    name = names[0] if is_default_issuer else "+".join(names)
    return path.with_name(f"{path.stem}@{name}{path.suffix}")


def read(
    path: Path,
    *,
    make_private: bool = True,
    parser: Callable[[bytes], Mapping[str, Any]] | None = None,
) -> Mapping[str, Any]:
    """Read a sign-in through one descriptor: what was checked is what is read.

    ``make_private``: correct the mode of a file that others can read. ``parser`` reads another kind of
    sign-in. Raises OSError and ValueError; ``unusable`` says what they mean.
    """
    check_home(path)
    _check(path.lstat())
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _check(found)
        if found.st_size > LARGEST:
            is_ours = parser is None and _was_ours(file.read(LARGEST), is_default=is_default(path))
            raise RefusedFileError(Cause.OVERSIZED if is_ours else Cause.TOO_LARGE)
        content = file.read(LARGEST)
        stored = parser(content) if parser else parse(content, is_default=is_default(path))
        if make_private and os.name == "posix" and found.st_mode & 0o077:
            _make_private(descriptor, path, stat.S_IMODE(found.st_mode))
    return stored


def parse(content: bytes, *, is_default: bool = False) -> Mapping[str, Any]:
    """Read a file's content. Raises RefusedFileError or ForeignModeError for what is not our sign-in.

    ``is_default``: whatever is damaged there was a sign-in.
    """
    text = content.removeprefix(b"\xef\xbb\xbf")
    if not text.strip(b" \t\r\n\0"):
        raise RefusedFileError(Cause.EMPTY)
    if text.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RefusedFileError(Cause.UTF_16)
    try:
        stored = from_json(text)
    except ValueError:
        stored = None
    if not isinstance(stored, dict):
        was_ours = _was_ours(text, is_default=is_default)
        raise RefusedFileError(Cause.DAMAGED if was_ours else Cause.NOT_JSON)
    mode = stored.get("auth_mode")
    if isinstance(mode, str) and mode and mode not in OUR_MODES:
        raise ForeignModeError(mode)
    if not any(stored.get(name) for name in _TOKENS):
        is_ours = is_default or not stored or any(name in stored for name in _TOKENS)
        raise RefusedFileError(Cause.EMPTY if is_ours else Cause.NOT_A_SIGN_IN)
    return stored


def _was_ours(text: bytes, *, is_default: bool) -> bool:
    """Guess whether what cannot be parsed was a sign-in of this provider."""
    mode = re.search(rb'"auth_mode"\s*:\s*"([^"]+)"', text)
    is_foreign = mode is not None and mode[1].decode(errors="replace") not in OUR_MODES
    return not is_foreign and (is_default or b"_token" in text)


def salvaged(path: Path) -> dict[str, str]:
    """Return the fields of a damaged or oversized sign-in that can still be read, to revoke it.

    Only fields at the place where this provider writes them: a deeper one is another program's.
    """
    try:
        check_home(path)
        _check(path.lstat())
        with path.open("rb") as file:
            content = file.read(_LARGEST_SALVAGED)
    except OSError:
        return {}
    found = {name.decode(): value for name, value in re.findall(_FIELD, content)}
    return {name: value.decode(errors="replace") for name, value in found.items()}


def unusable(path: Path, error: OSError | ValueError) -> Unusable:
    """Say why a file is not used, and what to do."""
    what = f"The token file {path}"
    if isinstance(error, RefusedFileError):
        why, advice, is_ours = error.cause.value
        return Unusable(what, why, advice, is_ours=is_ours, is_link=error.cause is Cause.LINK)
    if isinstance(error, ForeignModeError):
        mode = re.sub(r"[^\w.-]", "?", str(error))[:40]
        why = f"it contains a sign-in of another kind, auth_mode {mode!r}"
        return Unusable(what, why, _advice_for(str(error)), foreign=True)
    why = getattr(error, "strerror", None) or "it cannot be read"
    return Unusable(what, why, "Fix that, or set token_file_path.")


def _advice_for(mode: str) -> str:
    """Say how a sign-in of the other mode is used; a mode that no setting names is another program's."""
    if mode == CHATGPT_PLAN_SIGN_IN.mode:
        return f"To use it, add --plan, or set auth_mode: {CHATGPT_PLAN_SIGN_IN.mode}. {_OR_SET_PATH}"
    if mode in OUR_MODES:
        return f"To use it, leave out --plan, or set auth_mode: {CHATGPT_CODEX.name}. {_OR_SET_PATH}"
    return _SET_PATH


def _check(found: os.stat_result) -> None:
    """Refuse what a secret may not be read from, nor be put in the place of."""
    if stat.S_ISLNK(found.st_mode):
        raise RefusedFileError(Cause.LINK)
    if not stat.S_ISREG(found.st_mode):
        raise RefusedFileError(Cause.NOT_REGULAR)
    if hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        raise RefusedFileError(Cause.ANOTHER_USERS)


def _make_private(descriptor: int, path: Path, mode: int) -> None:
    """Correct the mode; where the file system refuses that, the file is used and a person is warned."""
    try:
        os.fchmod(descriptor, files.PRIVATE)
    except OSError as error:
        if (str(path), mode) not in _exposed:
            _exposed.add((str(path), mode))
            logger.warning(
                "The mode %04o of the token file %s cannot be corrected (%s): others on this machine may "
                "be able to read it. To avoid that, set token_file_path to a file system with permissions.",
                mode,
                path,
                error.strerror,
            )
    else:
        logger.warning("The token file %s was readable by others; its mode was corrected to 0600.", path)
