"""Decodes JSON from a server, unless its values would need too much memory.

A value of a few bytes in JSON can need a hundred in memory: 30 MB of ``{}`` would need gigabytes.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

# A smaller document, in bytes, is always decoded.
ALWAYS_DECODED = 256 * 1024
MAX_VALUES = 100_000
# ``from_json`` refuses deeper nesting, so between two commas are at most this many values.
_DEEPEST = 256
# Possessive, and the last string may lack its end, so the work is linear. Without its strings, JSON has
# about as many commas and opening brackets as values.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)


class TooManyValuesError(ValueError):
    """A document contains more than MAX_VALUES values."""


def decode(document: bytes) -> Any:
    """Decode JSON. Raises ValueError for what is not JSON, and TooManyValuesError."""
    if has_too_many(document):
        raise TooManyValuesError
    return from_json(document)


def has_too_many(document: bytes) -> bool:
    """True if a document that is not small contains more than MAX_VALUES values."""
    if len(document) <= ALWAYS_DECODED or (document.count(b",") + 1) * _DEEPEST <= MAX_VALUES:
        return False
    return has_too_many_nested(document)


def has_too_many_nested(document: bytes) -> bool:
    """True if a document contains more than MAX_VALUES values, however deep they are nested."""
    if _count_values(document) <= MAX_VALUES:
        return False
    return _count_values(_STRING.sub(b"", document)) > MAX_VALUES


def _count_values(text: bytes) -> int:
    """Return an upper bound of the number of values: commas and brackets in strings count too."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")
