"""The shape of what a server sent, without its content, so a report can be pasted into an issue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors.refusal import clean

if TYPE_CHECKING:
    from ..errors.refusal import Refusal

_MAX_DEPTH = 6
_MAX_FIELDS = 60
_MAX_ENTRIES = 3
_MAX_NAME = 80
# Values that are words of the protocol, not content.
_WORDS = frozenset(
    {"type", "object", "status", "code", "role", "phase", "effort", "service_tier", "plan_type"}
)
_WORD = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]{0,60}")
_ID = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")
_LONG = re.compile(r"\b(?=[a-zA-Z_-]*\d)[a-zA-Z0-9_-]{24,}\b")
_E_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+")
_PERSON = re.compile(r"\b(?:user|org|acct|proj)-[A-Za-z0-9-]+")


def shape_of(value: object, depth: int = 0, name: str = "") -> Any:
    """Return names and types; values only of fields that contain a word of the protocol."""
    if depth < _MAX_DEPTH and isinstance(value, dict):
        return _fields_of(value, depth)
    if depth < _MAX_DEPTH and isinstance(value, list):
        return _distinct([shape_of(inner, depth + 1) for inner in value[:_MAX_FIELDS]])
    if isinstance(value, str):
        return value if name in _WORDS and _WORD.fullmatch(value) and safe(value) == value else "text"
    if value is None or isinstance(value, bool):
        return value
    return "number" if isinstance(value, int | float) else "…"


def _fields_of(value: Mapping[Any, object], depth: int) -> dict[str, Any]:
    fields = list(value.items())[:_MAX_FIELDS]
    return {safe(str(key))[:_MAX_NAME]: shape_of(inner, depth + 1, str(key)) for key, inner in fields}


def _distinct(shapes: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for shape in shapes:
        if shape not in kept and len(kept) < _MAX_ENTRIES:
            kept.append(shape)
    return kept


def refusal_shape(refusal: Refusal) -> dict[str, Any]:
    """Return what a refusal says, cleaned: its words are the claim."""
    found = {
        "status": refusal.status,
        "code": safe(refusal.code),
        "type": safe(refusal.kind),
        "param": safe(refusal.param or ""),
        "message": safe(refusal.message),
    }
    return {name: value for name, value in found.items() if value}


def safe(text: str) -> str:
    """Return server text as one printable line without secrets, addresses, ids and e-mail addresses."""
    text = _E_MAIL.sub("[e-mail]", clean(text))
    return _LONG.sub("[id]", _PERSON.sub("[id]", _ID.sub("[id]", text)))


def header_names(headers: Mapping[str, str]) -> list[str]:
    """Return the names of response headers, sorted."""
    return sorted(safe(name)[:_MAX_NAME] for name in headers)[:_MAX_FIELDS]


def at(value: object, *path: str) -> Any:
    """Return what is at a path of field names; None where the value has another shape."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def objects(value: object) -> list[Mapping[str, Any]]:
    """Return the objects in a list; none for anything else."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []
