"""Removes secrets from text, payloads, events and exceptions.

Removed are the secrets in use, known keys and known token shapes; ids, hashes and ordinary text stay.
"""

from __future__ import annotations

import math
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .secret import REDACTED, spellings_in_use
from .services import CHATGPT_CODEX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

_MAX_DEPTH = 64

# Keys whose whole value is hidden, also as ``Refresh-Token`` and ``refreshToken``.
_HIDDEN_KEYS = frozenset(
    {
        "access_token",
        "refresh_token",
        "id_token",
        "session_token",
        "session_key",
        "session_secret",
        "session_cookie",
        "token",
        "auth",
        "authorization",
        "proxy_authorization",
        "cookie",
        "set_cookie",
        "cookies",
        "account_id",
        CHATGPT_CODEX.claims.account,
        "code_verifier",
        "authorization_code",
        "user_code",
        "usercode",
        "device_auth_id",
        "encrypted_content",
        "encrypted_function_args",
        "client_secret",
        "secret",
        "api_key",
        "apikey",
        "x_api_key",
        "password",
        "private_key",
        "privatekey",
        "credential",
        "credentials",
        "x_oai_attestation",
        "x_error_json",
    }
)
_HIDDEN_NAMES = frozenset(key.replace("_", "") for key in _HIDDEN_KEYS)
# Keys that end like these are hidden too: ``chatgptAccountId``, ``__Secure-next-auth.session-token``.
_HIDDEN_ENDINGS = (
    "accesstoken",
    "refreshtoken",
    "idtoken",
    "sessiontoken",
    "sessionkey",
    "accountid",
    "apikey",
    "clientsecret",
    "password",
)
# Keys that are also searched in text, because they do not occur in ordinary text.
_NAMES_IN_TEXT = "|".join(sorted(key for key in _HIDDEN_KEYS if "_" in key)).replace("_", "[_-]?")
# (text that must occur, in lower case, for the pattern to be tried; pattern; replacement). Every pattern is
# linear: a run of token characters can match only from its beginning. Patterns are plain text, like all
# patterns of this package: ``re`` compiles them on first use, so mounting stays cheap.
_SHAPES = (
    (";base64,", r"data:([\w.+-]{1,60}/[\w.+-]{1,60});base64,[A-Za-z0-9+/=_-]*", None),
    (
        "bearer",
        r"(?i)\bbearer\s+(?!(?:tokens?|auth\w*|credentials?|scheme)\b)[^\s\"',;]+",
        f"Bearer {REDACTED}",
    ),
    ("eyj", r"(?<![A-Za-z0-9])eyJ[\w-]{8,}(?:\.[\w-]*){0,4}", REDACTED),
    ("gaaaa", r"(?<![A-Za-z0-9])gAAAA[\w=-]{16,}", REDACTED),
    ("rt_", r"(?<![A-Za-z0-9])rt_[\w.-]{6,}", REDACTED),
    ("ac_", r"(?<![A-Za-z0-9])ac_[\w.-]{12,}", REDACTED),
    ("sk-", r"(?<![A-Za-z0-9])sk-[\w-]{16,}", REDACTED),
    ("at-", r"(?<![\w-])at-(?=[A-Za-z-]*\d)[\w-]{20,}", REDACTED),
    ("cookie", r"(?i)\b((?:set-)?cookie)\s*:\s*[^\s=;:]{1,100}=[^\r\n]*", rf"\1: {REDACTED}"),
    ("code=", r"([?&]code=)[^\s&#\"']+", rf"\1{REDACTED}"),
    (
        "",
        rf"(?i)\b({_NAMES_IN_TEXT})([\\\"']*\s?[:=]\s?[\\\"']*)[^\s\\\"'&,;{{}}\[\]]+",
        rf"\1\2{REDACTED}",
    ),
)


def redact(value: object) -> Any:
    """Copy a payload for raw events: valid JSON, without secrets."""
    in_use = spellings_in_use()

    @lru_cache(maxsize=256)  # keys, types and ids come again in every event
    def text(found: str) -> str:
        return _without(in_use, _valid_unicode(found))

    return _copy(value, text, hide=True)


def for_events(payload: Mapping[str, object]) -> dict[str, Any]:
    """Copy an event's payload as valid JSON for the kernel.

    Half surrogate pairs are replaced, NaN and infinities become None, models are dumped, keys become
    text, and so does every other value that JSON does not support.
    """
    return {_key(key): _copy(value, _valid_unicode, hide=False) for key, value in payload.items()}


def without_secrets(text: str) -> str:
    """Replace the secrets in use, what looks like a token, and inline data URLs by their type and size."""
    return _without(spellings_in_use(), text)


def _without(in_use: list[str], text: str) -> str:
    lowered = text.lower()
    for secret in in_use:
        if secret in lowered:
            text = re.sub(f"(?i){re.escape(secret)}", REDACTED, text)
    for needle, pattern, replacement in _SHAPES:
        if needle in lowered:
            text = re.sub(pattern, replacement or _shorten_data_url, text)
    return text


class Sealed:
    """Context manager for calls into libraries: what is raised leaves the block without their secrets.

    The libraries' frames, whose local variables hold requests and answers, are removed from its traceback
    and from those of its causes; so are the requests themselves, and secrets in the exceptions' texts.
    Exceptions that were already being handled before the block are left alone.
    """

    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = sys.exception()

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        for one in _chain(error, self._before):
            one.__traceback__ = None
            one.args = tuple(without_secrets(arg) if isinstance(arg, str) else arg for arg in one.args)
            if "_request" in vars(one):
                vars(one)["_request"] = None
            if isinstance(one, UnicodeEncodeError | UnicodeDecodeError):
                one.object = one.object[:0]
        if trace is not None:
            trace.tb_next = None
            error.__traceback__ = trace


def _chain(error: BaseException, before: BaseException | None) -> list[BaseException]:
    """Return an exception and everything it was raised from, up to ``before``."""
    found: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or one is before or id(one) in found:
            continue
        found[id(one)] = one
        waiting += [one.__cause__, one.__context__]
        waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else []
    return list(found.values())


def _shorten_data_url(found: re.Match[str]) -> str:
    payload = len(found[0]) - found[0].index(",") - 1
    return f"[data URL: {found[1]}, {payload * 3 // 4} bytes]"


def _copy(value: object, text: Callable[[str], str], *, hide: bool, path: tuple[int, ...] = ()) -> object:
    if isinstance(value, str):
        return text(value)
    if value is None or isinstance(value, int | float):
        return _json_number(value)
    if id(value) in path or len(path) > _MAX_DEPTH:
        return "[nested too deep]"
    path = (*path, id(value))
    if isinstance(value, dict):
        return {
            text(_key(key)): REDACTED
            if hide and entry and _is_hidden(key)
            else _copy(entry, text, hide=hide, path=path)
            for key, entry in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [_copy(entry, text, hide=hide, path=path) for entry in value]
    return _copy(_dump(value), text, hide=hide, path=path)


def _is_hidden(key: object) -> bool:
    return isinstance(key, str) and _is_hidden_name(key[-100:])


@lru_cache(maxsize=1024)
def _is_hidden_name(key: str) -> bool:
    name = re.sub(r"[^a-z0-9]", "", key.lower())
    return name in _HIDDEN_NAMES or name.endswith(_HIDDEN_ENDINGS)


def _key(key: object) -> str:
    return _valid_unicode(key if isinstance(key, str) else _as_text(key))


def _json_number(value: Any) -> object:
    """Return a number that JSON supports; hexadecimal for others, because Python limits decimal digits."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or -(2**63) <= value < 2**64:
        return value
    return hex(value)


def _valid_unicode(text: str) -> str:
    """Join surrogate pairs, and replace single halves, which UTF-8 does not support."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _dump(value: object) -> object:
    """Convert a model into its fields, and anything else into text."""
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        try:
            return dump(mode="json")
        except Exception:  # noqa: BLE001 - a payload that cannot be dumped must not break the call
            return f"[{type(value).__name__}]"
    return _as_text(value)


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - as above
        return f"[{type(value).__name__}]"
