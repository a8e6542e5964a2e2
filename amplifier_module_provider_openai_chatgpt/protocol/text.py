"""Text and JSON values cleaned for the wire: any input can be encoded as UTF-8 JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
DEEPEST = 100
_ESCAPED_NUL = b"\\u0000"
_SUSPECT = (_ESCAPED_NUL, b"NaN", b"Infinity")


def clean_text(text: str) -> str:
    """Replace NUL and lone surrogates with U+FFFD; join the two halves of a surrogate pair."""
    if text.isascii() and "\0" not in text:
        return text
    text = text.replace("\0", REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def encode(value: object) -> bytes:
    """Encode as compact JSON. NaN and infinities become null, non-JSON objects text. Never fails."""
    try:
        return to_json(value, inf_nan_mode="null", fallback=_described)
    except (PydanticSerializationError, UnicodeError, ValueError, TypeError, RecursionError):
        return to_json(clean_value(value), inf_nan_mode="null")


def json_text(value: object) -> str:
    """Encode a JSON value as text, without NUL."""
    encoded = encode(value)
    return (encode(clean_value(value)) if _ESCAPED_NUL in encoded else encoded).decode()


def clean_json(value: Any) -> Any:
    """Return the value itself if it can be encoded unchanged, else a clean copy."""
    try:
        encoded = to_json(value)
    except (PydanticSerializationError, UnicodeError, ValueError, TypeError, RecursionError):
        return clean_value(value)
    return clean_value(value) if any(text in encoded for text in _SUSPECT) else value


def clean_value(value: Any, depth: int = 0) -> Any:
    """Copy a JSON value with all text cleaned; what is not JSON, or nested too deep, becomes text.

    NaN and infinities become None.
    """
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, int | float):
        return None if isinstance(value, float) and not math.isfinite(value) else value
    if depth >= DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {clean_text(str(key)): clean_value(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_value(item, depth + 1) for item in value]
    return _described(value)


def _described(value: object) -> str:
    """Return text for a non-JSON object, without a memory address, which would differ between turns."""
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a foreign __str__ may fail in any way
        text = ""
    return clean_text(text) if text and " at 0x" not in text else f"<{type(value).__name__}>"
