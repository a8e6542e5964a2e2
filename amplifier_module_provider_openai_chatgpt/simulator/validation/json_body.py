"""The body as bytes: its encoding, and JSON in which no value is ambiguous."""

from __future__ import annotations

import importlib
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ..rules import Refused, detail, error

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

_LARGEST = 256 * 2**20
_GZIP = 31
ENCODINGS = ("identity", "gzip", "zstd")


class UnreadableError(Exception):
    """A body that is refused before any other rule sees it."""

    def __init__(self, rule: str, refused: Refused) -> None:
        super().__init__(rule)
        self.refused = replace(refused, rule=rule)


def decoded(body: bytes, encoding: str, accepted: Collection[str] = ENCODINGS) -> bytes:
    """Return the body without its Content-Encoding: gzip, or zstd if Python has it; else 415 [unsure]."""
    name = encoding.strip().lower() or "identity"
    decode = _DECODERS.get(name) if name in accepted else None
    if decode is None:
        raise UnreadableError("json.encoding", detail(f"Unsupported content encoding: {name}", 415))
    try:
        return decode(body)
    except ImportError:
        raise UnreadableError("json.encoding", detail("No zstd in this Python", 415)) from None
    except ValueError as failure:
        raise UnreadableError("json.encoding", detail(f"Invalid {name} body")) from failure


def parsed(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body; NaN, repeated keys and NUL characters are refused.

    [unsure]: the real parser may be more lenient, but what it makes of such a body is not known.
    """
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError:
        raise UnreadableError("json.valid", detail("Request body must be valid JSON")) from None
    if not isinstance(value, dict):
        raise UnreadableError("json.object", detail("Request body must be a JSON object"))
    if b"\\u0000" in body and _has_nul(value):
        raise UnreadableError("json.nul", error("Invalid input: text contains a NUL character."))
    json.loads(body, object_pairs_hook=_unique)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> None:
    names = [name for name, _ in pairs]
    if len(names) != len(set(names)):
        twice = next(name for name in names if names.count(name) > 1)
        raise UnreadableError("json.duplicate-key", error(f"Duplicate key: {twice!r}."))


def _has_nul(value: object) -> bool:
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = (*value, *value.values())
    if isinstance(value, list):
        inner = value
    return (isinstance(value, str) and "\0" in value) or any(map(_has_nul, inner))


def _gunzip(body: bytes) -> bytes:
    reader = zlib.decompressobj(wbits=_GZIP)
    try:
        content = reader.decompress(body, _LARGEST)
    except zlib.error as failure:
        raise ValueError(str(failure)) from failure
    if not reader.eof or reader.unused_data:
        raise ValueError("not one complete gzip stream")
    return content


def _unzstd(body: bytes) -> bytes:
    """Decompress by the standard library, which has zstd since Python 3.14, or by `zstandard`."""
    try:
        module = importlib.import_module("compression.zstd")
        decompress = module.decompress
    except ImportError:
        module = importlib.import_module("zstandard")
        decompress = module.ZstdDecompressor().decompressobj().decompress
    try:
        return bytes(decompress(body))
    except module.ZstdError as failure:
        raise ValueError(str(failure)) from failure


_DECODERS: dict[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": _gunzip, "zstd": _unzstd}
