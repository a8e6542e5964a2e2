"""Rules for images: what a part may hold, and whether the bytes are a whole image of the stated type."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from ..rules import Incoming, Json, Refused, as_list, error, unsupported, wrong_value
from .parts import parts_of
from .rule import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DETAILS = ("auto", "low", "high", "original")
_DATA_URL = re.compile(r"data:image/(png|jpeg|gif|webp);base64,(.+)", re.DOTALL)
_BAD_IMAGE = "The image data you provided does not represent a valid image. Please check your input."
_PNG = b"\x89PNG\r\n\x1a\n"
_RIFF_HEADER = 12


def _images(request: Incoming) -> Iterator[tuple[str, Json]]:
    parts = parts_of(request.items)
    yield from ((param, part) for param, part in parts if part.get("type") == "input_image")


def _modality(request: Incoming) -> Refused | None:
    if "image" in as_list(request.entry.get("input_modalities", ["image"])):
        return None
    params = (param for param, _ in _images(request))
    return next((unsupported(f"{param}.type", "input_image", request.slug) for param in params), None)


def _detail(request: Incoming) -> Refused | None:
    """Refuse an unknown detail, and any in Lite. [unsure]: the official client leaves it out there."""
    for param, part in _images(request):
        if "detail" in part and (request.lite or part["detail"] not in _DETAILS):
            return wrong_value(f"{param}.detail", part["detail"], () if request.lite else _DETAILS)
    return None


def _address(request: Incoming) -> Refused | None:
    """Refuse what is neither a data URL of a supported type nor, in the classic shape, an https address.

    [unsure]: the official client never sends an address; that the classic shape takes it is a kind reading.
    """
    for param, part in _images(request):
        url = part["image_url"]
        by_address = url.startswith("https://") and not request.lite
        if not by_address and _DATA_URL.fullmatch(url) is None:
            return error(_BAD_IMAGE, param)
    return None


def _bytes(request: Incoming) -> Refused | None:
    """Refuse bytes that are not an image of the stated type, from its first byte to its last."""
    for param, part in _images(request):
        match = _DATA_URL.fullmatch(part["image_url"])
        if match and not _is_whole(match.group(1), match.group(2)):
            return error(_BAD_IMAGE, param)
    return None


def _is_whole(kind: str, encoded: str) -> bool:
    try:
        content = base64.b64decode(encoded, validate=True)
    except ValueError:
        return False
    return _WHOLE[kind](content)


def _is_png(content: bytes) -> bool:
    """Follow the chunks from IHDR to IEND; their checksums are not verified."""
    at, first = len(_PNG), True
    while content.startswith(_PNG) and at + 12 <= len(content):
        kind = content[at + 4 : at + 8]
        if first and kind != b"IHDR":
            return False
        at, first = at + 12 + int.from_bytes(content[at : at + 4], "big"), False
        if kind == b"IEND":
            return at <= len(content)
    return False


def _is_jpeg(content: bytes) -> bool:
    return content.startswith(b"\xff\xd8\xff") and content.rstrip(b"\0").endswith(b"\xff\xd9")


def _is_gif(content: bytes) -> bool:
    return content[:6] in (b"GIF87a", b"GIF89a") and content.rstrip(b"\0").endswith(b";")


def _is_webp(content: bytes) -> bool:
    if content[:4] != b"RIFF" or content[8:_RIFF_HEADER] != b"WEBP" or len(content) <= _RIFF_HEADER:
        return False
    return len(content) >= int.from_bytes(content[4:8], "little") + 8


_WHOLE: dict[str, Callable[[bytes], bool]] = {
    "png": _is_png,
    "jpeg": _is_jpeg,
    "gif": _is_gif,
    "webp": _is_webp,
}

RULES = (
    Rule("images.modality", "Items", _modality),
    Rule("images.detail", "Items", _detail),
    Rule("images.address", "Items", _address),
    Rule("images.bytes", "Items", _bytes),
)
