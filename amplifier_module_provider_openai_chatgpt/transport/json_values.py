"""JSON of a server, decoded only if its values fit into memory.

A few bytes of JSON can make a value of a hundred: 30 MB of ``{}`` would need gigabytes.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

# A document below this size is decoded whatever it holds.
UNSUSPICIOUS = 256 * 1024
MOST_VALUES = 100_000
# Possessive, so the work is linear. What is left of JSON without its strings has as many commas and
# opening brackets as values, or nearly.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


class TooManyValuesError(ValueError):
    """A document holds more than MOST_VALUES values."""


def decode(document: bytes) -> Any:
    """Decode JSON. Raises ValueError for what is not JSON, and TooManyValuesError."""
    if has_too_many(document):
        raise TooManyValuesError
    return from_json(document)


def has_too_many(document: bytes) -> bool:
    """True if a document that is not small holds more than MOST_VALUES values."""
    if len(document) <= UNSUSPICIOUS or _values(document) <= MOST_VALUES:
        return False
    return _values(_STRING.sub(b"", document)) > MOST_VALUES


def _values(text: bytes) -> int:
    """Return at least as many as there are values in JSON, commas and brackets in strings included."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")
