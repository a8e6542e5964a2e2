"""Binary data in messages: its kind by content, whether an image is complete, base64 in any spelling."""

from __future__ import annotations

import binascii
import re
from base64 import b64encode
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHORTEST_BINARY = 64

# The first bytes of each kind, and for containers the bytes at offset 8 or 4.
_MAGIC: tuple[tuple[bytes, int, bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image/png"),
    (b"\xff\xd8\xff", 0, b"", "image/jpeg"),
    (b"GIF87a", 0, b"", "image/gif"),
    (b"GIF89a", 0, b"", "image/gif"),
    (b"RIFF", 8, b"WEBP", "image/webp"),
    (b"RIFF", 8, b"WAVE", "audio/wav"),
    (b"RIFF", 8, b"AVI ", "video/x-msvideo"),
    (b"", 4, b"ftyphei", "image/heic"),
    (b"", 4, b"ftypmif", "image/heif"),
    (b"", 4, b"ftypavif", "image/avif"),
    (b"", 4, b"ftypM4A", "audio/mp4"),
    (b"", 4, b"ftyp", "video/mp4"),
    (b"II*\0", 0, b"", "image/tiff"),
    (b"MM\0*", 0, b"", "image/tiff"),
    (b"%PDF-", 0, b"", "application/pdf"),
    (b"PK\x03\x04", 0, b"", "application/zip"),
    (b"\x1f\x8b\x08", 0, b"", "application/gzip"),
    (b"ID3", 0, b"", "audio/mpeg"),
    (b"OggS", 0, b"", "audio/ogg"),
    (b"fLaC", 0, b"", "audio/flac"),
    (b"\x1aE\xdf\xa3", 0, b"", "video/webm"),
)
_TEXT_KINDS = (
    (b"<svg", "image/svg+xml"),
    (b"<?xml", "XML"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"{", "JSON"),
)
# How base64 of these kinds starts, for text that does not say that it is base64.
BASE64_STARTS = (
    "iVBORw0KGgo",
    "/9j/",
    "R0lGODdh",
    "R0lGODlh",
    "UklGR",
    "JVBERi0",
    "UEsDB",
    "H4sI",
    "SUQz",
    "T2dnUw",
    "ZkxhQw",
    "GkXfo",
)
_DATA_URL = re.compile(r"\s*data:([^;,\s]*)((?:;[^;,]*)*?);\s*base64\s*,", re.IGNORECASE)
_URLSAFE = str.maketrans("-_", "+/")


class Encoded(NamedTuple):
    """Bytes, their base64 text in the standard alphabet, and the declared media type."""

    data: bytes
    text: str
    declared: str = ""


def kind_of(data: bytes) -> str | None:
    """Return the media type of binary data by its first bytes; None if it is not a known one."""
    for start, offset, inner, media_type in _MAGIC:
        if data.startswith(start) and data.startswith(inner, offset):
            return media_type
    return None


def text_kind_of(data: bytes) -> str | None:
    """Return the media type of text that is often mistaken for an image, by how it starts."""
    start = data[:100].lstrip().lower()
    return next((kind for lead, kind in _TEXT_KINDS if start.startswith(lead)), None)


def decoded(value: object, declared: str = "") -> Encoded | None:
    """Decode base64 text, a base64 data URL, or bytes; None for anything else.

    Accepts missing padding, line breaks and the urlsafe alphabet. The type in a data URL takes
    precedence over ``declared``.
    """
    if isinstance(value, bytes | bytearray):
        return Encoded(bytes(value), b64encode(value).decode(), declared)
    if not isinstance(value, str):
        return None
    url = _DATA_URL.match(value)
    if url:
        return decoded(value[url.end() :], url[1] or declared)
    data = _decode(value)
    if data is not None:
        return Encoded(data, value, declared)
    data = _decode(_standard(value))
    return None if data is None else Encoded(data, b64encode(data).decode(), declared)


def _decode(text: str) -> bytes | None:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def _standard(text: str) -> str:
    digits = "".join(text.split()).translate(_URLSAFE).rstrip("=")
    return digits + "=" * (-len(digits) % 4)


def found_in_text(text: str) -> Encoded | None:
    """Return the binary data that a whole text consists of: a data URL, or base64 of a known kind."""
    if text[:5].lower() == "data:":
        return decoded(text) if _DATA_URL.match(text) else None
    if len(text) < SHORTEST_BINARY or not text.startswith(BASE64_STARTS) or " " in text:
        return None
    encoded = decoded(text)
    return encoded if encoded and kind_of(encoded.data) else None


def is_complete(data: bytes, media_type: str) -> bool:
    """Return whether image data has its first and its last block; the pixels are not decoded."""
    try:
        return _COMPLETE[media_type](data)
    except IndexError:
        return False


def _complete_png(data: bytes) -> bool:
    place, kind = 8, b""
    if data[12:16] != b"IHDR":
        return False
    while kind != b"IEND" and place + 12 <= len(data):
        kind = data[place + 4 : place + 8]
        place += 12 + int.from_bytes(data[place : place + 4])
    return kind == b"IEND" and place <= len(data)


def _complete_jpeg(data: bytes) -> bool:
    place = 2
    while data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:
            return data.find(b"\xff\xd9", place) > 0
        if marker == 0xFF:
            place += 1
        else:
            bare = marker == 0x01 or 0xD0 <= marker <= 0xD7
            place += 2 if bare else 2 + int.from_bytes(data[place + 2 : place + 4])
    return False


def _complete_gif(data: bytes) -> bool:
    place = 13 + _color_table(data[10])
    while data[place] != 0x3B:
        if data[place] == 0x2C:
            place += 11 + _color_table(data[place + 9])
        elif data[place] == 0x21:
            place += 2
        else:
            return False
        while data[place]:
            place += 1 + data[place]
        place += 1
    return True


def _color_table(flags: int) -> int:
    """Return the length in bytes of a GIF's color table."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _complete_webp(data: bytes) -> bool:
    return len(data) >= 16 and 8 + int.from_bytes(data[4:8], "little") <= len(data)


_COMPLETE: Mapping[str, Callable[[bytes], bool]] = {
    "image/png": _complete_png,
    "image/jpeg": _complete_jpeg,
    "image/gif": _complete_gif,
    "image/webp": _complete_webp,
}
IMAGE_TYPES = frozenset(_COMPLETE)
