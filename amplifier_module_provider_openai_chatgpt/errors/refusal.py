"""Reads the backend's refusals from answers of any shape. No I/O; what they mean is decided elsewhere.

A refusal may be an HTTP answer (JSON of several shapes, a web page, plain text, nothing) or an event in
the middle of a stream; both become a ``Refusal``: bounded, printable and free of secrets
(docs/backend.md, Failures).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pydantic_core import from_json

from ..quota.numbers import after, moment, number
from ..quota.reading import limit_headers, read_headers
from ..redaction import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..quota.values import Quota
    from ..services import ResponseHeaders

MAX_MESSAGE_LENGTH = 300
_MAX_BODY = 256 * 1024
_MAX_TEXT = 8 * 1024
_MAX_WAIT = 366 * 86400.0
_MESSAGE_KEYS = ("message", "msg", "error_description", "description", "reason", "detail", "error")
_TAG = r"</?[a-zA-Z!][^<>]*>"
_CHALLENGE_TITLES = (
    "just a moment",
    "checking if the site connection is secure",
    "attention required! | cloudflare",
)
_CHALLENGE_SCRIPTS = ("cf-chl", "challenge-platform")
_DELAY = r"(\d{1,9}(?:\.\d{1,9})?)\s{0,3}(ms|milli|s|m|h|d)[a-z]{0,11}"
_TRY_AGAIN = rf"(?i)try again in\s{{0,9}}((?:{_DELAY}[\s,]{{0,3}}){{1,4}})"
_UNITS = {"ms": 0.001, "milli": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_JSON_STARTS = frozenset('{["')
_CODE = r"[a-zA-Z0-9_.-]{1,100}"
_UNSUPPORTED = r"(?i)\b(?:unsupported|unknown) parameter:?\s{0,3}['\"`]?([\w.\[\]-]{1,100})"
_OTHER_SHAPE = r"(?i)^model not found\b|responses[-_ ]lite"
_UNSUPPORTED_MODEL = (
    r"(?i)\bmodel is not supported\b|not supported when using Codex with a ChatGPT account"
    r"|\bmodel '?[^' ]{1,80}'? does not exist"
)
_IMAGE = (
    r"(?i)\bvalid image\b|\bimage data\b|\bimage_url\b"
    r"|\bimages? .{0,80}(?:unsupported|not supported|invalid|too large|exceed|could not|cannot)"
    r"|(?:unsupported|invalid|too large|too many) .{0,40}\bimages?\b"
)
_TIER = r"(?i)service[_ ]tier"
_STALE = r"Item with id '?rs_|encrypted content .{0,200}could not be (?:verified|decrypted)"


@dataclass(eq=False, kw_only=True, repr=False)
class Refusal(Exception):  # noqa: N818 - data: ``kernel_error`` builds the error for hosts
    """A failed request, as data; the base class of all failures of a transport.

    ``code`` and ``kind`` (the server's ``error.type``) are in lower case and empty if missing;
    ``message`` is the server's own, cleaned and shortened. ``cloudflare``: a challenge page, which a retry
    does not pass. ``retry_after`` is in seconds, ``resets_at`` in Unix seconds.
    """

    status: int | None = None
    code: str = ""
    kind: str = ""
    param: str | None = None
    message: str = ""
    request_id: str | None = None
    cf_ray: str | None = None
    retry_after: float | None = None
    resets_at: float | None = None
    plan: str | None = None
    quota: Quota | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    html: bool = False
    cloudflare: bool = False

    def __str__(self) -> str:
        parts = (f"HTTP {self.status}" if self.status else "", self.code or self.kind, self.message)
        return ": ".join(part for part in parts if part) or "no reason given"

    def __repr__(self) -> str:
        return f"Refusal({str(self)!r})"


def read_refusal(
    status: int, headers: Mapping[str, object], body: bytes, *, names: ResponseHeaders, now: float
) -> Refusal:
    """Read an HTTP answer that is not an event stream. Accepts any body; never raises."""
    known = {str(name).lower(): value for name, value in headers.items()}
    text = body[:_MAX_BODY].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    html = _is_html(known, text)
    data = None if html else _decode_json(text) if text[:1] in _JSON_STARTS else text[:_MAX_TEXT]
    refusal = _refusal(data, known, status, names, now)
    refusal.html = html
    refusal.cloudflare = is_challenge(known, text if html else "", status, names)
    return refusal


def read_event_refusal(event: Mapping[str, object], *, names: ResponseHeaders, now: float) -> Refusal:
    """Read ``response.failed`` or an ``error`` event, nested or flat. Accepts anything; never raises."""
    response = event.get("response")
    inner = response if isinstance(response, dict) else {}
    data = {**event, "type": None, "error": inner.get("error") or event.get("error")}
    headers = event.get("headers") or inner.get("headers")
    known = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, dict) else {}
    status = number(event.get("status_code")) or number(event.get("status")) or 0
    return _refusal(data, known, int(status) if 300 <= status < 1000 else None, names, now)


def clean(value: object, longest: int = MAX_MESSAGE_LENGTH) -> str:
    """Reduce server text to one printable line without markup or secrets, cut to ``longest``."""
    if not isinstance(value, str):
        return ""
    text = re.sub(_TAG, " ", _beginning(value))
    text = " ".join(
        "".join(char if char.isprintable() and char != "\ufffd" else " " for char in text).split()
    )
    text = without_secrets(text)
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _beginning(text: str) -> str:
    """Return the first ``_MAX_TEXT`` characters, without a word that is cut: half a secret is one too."""
    if len(text) <= _MAX_TEXT:
        return text
    end = _MAX_TEXT
    while end and "!" <= text[end - 1] <= "~" and "!" <= text[end] <= "~":
        end -= 1
    return text[:end]


def unsupported_parameter(refusal: Refusal) -> str | None:
    """Return the name of the body field that the backend rejects, if it names one."""
    found = re.search(_UNSUPPORTED, refusal.message)
    if found:
        return found[1].rstrip(".")
    return refusal.param if refusal.code in {"unsupported_parameter", "unknown_parameter"} else None


def is_stale_reasoning(refusal: Refusal) -> bool:
    """True if the replayed reasoning is the cause, so the call may work without it."""
    if refusal.code == "invalid_encrypted_content" or re.search(_STALE, refusal.message):
        return True
    # Seen once instead of the code above.
    return refusal.status == 400 and not refusal.code and refusal.message == "Request blocked."


def is_unsupported_model(refusal: Refusal) -> bool:
    """True if the model is retired, unknown, not in the plan, or restricted: the messages are the same."""
    return refusal.code == "model_not_found" or (
        refusal.status in {400, 404, None} and bool(re.search(_UNSUPPORTED_MODEL, refusal.message))
    )


def accepted_efforts(refusal: Refusal) -> list[str] | None:
    """Return the efforts named in the refusal of an effort; None if it is about something else."""
    if refusal.code not in {"invalid_value", "unsupported_value"}:
        return None
    if refusal.param not in {"reasoning.effort", "reasoning_effort"}:
        return None
    _, _, named = refusal.message.partition("upported values are")
    return re.findall(r"'([a-z]{1,20})'", named)


def is_image_refusal(refusal: Refusal) -> bool:
    """True if an image is the cause, so the call may work without it."""
    if refusal.code.startswith("invalid_image") or "image" in (refusal.param or ""):
        return True
    return refusal.status in {400, 413, 422, None} and bool(re.search(_IMAGE, refusal.message))


def is_version_gate(refusal: Refusal) -> bool:
    """True if the model requires a newer client version."""
    return "requires a newer version" in refusal.message


def is_shape_refusal(refusal: Refusal) -> bool:
    """True if the model may accept the other request shape (docs/backend.md, Lite)."""
    return refusal.status in {400, 404} and bool(re.search(_OTHER_SHAPE, refusal.message))


def is_tier_refusal(refusal: Refusal) -> bool:
    """True if the service tier is the cause, so the call may work without it."""
    if refusal.status not in {400, 422, None}:
        return False
    return refusal.param == "service_tier" or bool(re.search(_TIER, refusal.message))


def _refusal(
    data: object, headers: Mapping[str, object], status: int | None, names: ResponseHeaders, now: float
) -> Refusal:
    error = _error_object(data)
    header_error = _error_object(_decode_error_header(headers.get(names.error)))
    quota = read_headers(headers, names.quota, now)
    found = _find_message(error) or _find_message(data) or _find_message(header_error)
    message = clean(found)
    wait = _retry_after(headers, (error, data), message, now)
    return Refusal(
        status=status,
        code=_short_code(error.get("code")) or _short_code(header_error.get("code")),
        kind=_short_code(error.get("type")) or _short_code(header_error.get("type")),
        param=clean(error.get("param"), 100) or None,
        message=message,
        request_id=_identifier(headers, *names.request_id),
        cf_ray=_identifier(headers, names.edge_ray),
        retry_after=None if wait is None else min(wait, _MAX_WAIT),
        resets_at=moment(error.get("resets_at")) or after(error.get("resets_in_seconds"), now),
        plan=clean(error.get("plan_type"), 60) or (quota.plan if quota else None),
        quota=quota,
        headers=limit_headers(headers),
    )


def _error_object(data: object) -> Mapping[str, object]:
    """Find the object with the code and the message, at whatever level it is."""
    if not isinstance(data, dict):
        return {}
    for key in ("error", "detail"):
        if isinstance(data.get(key), dict):
            inner = data[key]
            return _error_object(inner) if isinstance(inner.get("error"), dict) else inner
    if isinstance(data.get("error"), str) and re.fullmatch(r"[a-zA-Z0-9_.-]{1,100}", data["error"]):
        return {
            "code": data["error"],
            **data,
            "message": data.get("error_description") or data.get("message"),
        }
    return data


def _find_message(value: object, depth: int = 5) -> str:
    """Find the text for a human reader in a value of any shape."""
    if depth == 0:
        return ""
    if isinstance(value, str):
        return _find_message(_decode_json(value), depth - 1) if value.lstrip()[:1] in {"{", "["} else value
    if isinstance(value, list):
        return "; ".join(filter(None, (_find_message(entry, depth - 1) for entry in value[:3])))
    if not isinstance(value, dict):
        return ""
    message = next(filter(None, (_find_message(value.get(key), depth - 1) for key in _MESSAGE_KEYS)), "")
    location = value.get("loc")
    if message and isinstance(location, list) and location:
        return (
            ".".join(str(part)[:60] for part in location[:6] if isinstance(part, str | int)) + f": {message}"
        )
    return message


def _decode_json(text: str) -> object:
    """Decode JSON, also the beginning of a truncated document; None if it is not JSON."""
    for partial in (False, "trailing-strings"):
        try:
            return from_json(text, allow_partial=partial)
        except (ValueError, TypeError):  # TypeError: half a surrogate pair
            continue
    try:
        return json.loads(text)  # slower, but accepts half a surrogate pair
    except (ValueError, RecursionError):
        return None


def _decode_error_header(value: object) -> object:
    """Decode the error that some refused tokens have as base64 in a header."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT:
        return None
    try:
        return _decode_json(base64.b64decode(value + "=" * (-len(value) % 4)).decode("utf-8", "replace"))
    except (binascii.Error, ValueError):
        return None


def _short_code(value: object) -> str:
    """Return a code in lower case; empty for anything but text."""
    return clean(value, 100).lower() if isinstance(value, str) else ""


def _identifier(headers: Mapping[str, object], *names: str) -> str | None:
    return next(filter(None, (clean(headers.get(name), 100) for name in names)), None)


def _retry_after(
    headers: Mapping[str, object], bodies: Iterable[object], message: str, now: float
) -> float | None:
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None and milliseconds >= 0:
        return milliseconds / 1000
    hints = [body.get("retry_after") for body in bodies if isinstance(body, dict)]
    for value in (headers.get("retry-after"), *hints):
        seconds = number(value)
        if seconds is not None and seconds >= 0:
            return seconds
        if isinstance(value, str) and (seconds := _until(value, now)) is not None:
            return seconds
    found = re.search(_TRY_AGAIN, message)
    if not found:
        return None
    return sum(float(count) * _UNITS[unit.lower()] for count, unit in re.findall(f"(?i){_DELAY}", found[1]))


def _until(date: str, now: float) -> float | None:
    """Return the seconds from ``now`` to an HTTP date; a date in the past means no wait."""
    try:
        parsed = parsedate_to_datetime(date)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=UTC)
        return max(0.0, parsed.timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _is_html(headers: Mapping[str, object], text: str) -> bool:
    if "html" in str(headers.get("content-type", "")).lower():
        return text[:1] not in {"{", "["}
    start = text[:2000].lower()
    return start.startswith(("<!doctype html", "<html")) or (start.startswith("<") and "<head" in start)


def is_challenge(headers: Mapping[str, object], page: str, status: int, names: ResponseHeaders) -> bool:
    """True for a Cloudflare challenge, which only a few details show; other web pages are not from it.

    ``headers`` have lower-case names; ``page`` is the body if it is HTML, else empty.
    """
    if "challenge" in str(headers.get(names.edge_challenge, "")).lower():
        return True
    page = page.lower()
    if status in {403, 429, 503} and any(mark in page for mark in _CHALLENGE_TITLES):
        return True
    if status != 403 or not page:
        return False
    by_cloudflare = "cloudflare" in str(headers.get("server", "")).lower()
    blocked = "cloudflare" in page and "blocked" in page
    return by_cloudflare or blocked or any(mark in page for mark in _CHALLENGE_SCRIPTS)
