"""Images: every common shape becomes an inline data URL, or a short text in its place."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..protocol import items
from .invalid import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.items import Part

MEDIA_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
REMOTE = "[image left out: it was given as a link, and only images sent as data can be shown]"
UNSEEN = "[image left out: this model cannot see images]"
_ALIASES = {"image/jpg": "image/jpeg"}
_CARRIERS = frozenset({"data", "url", "image_url"})
_DATA_URL = re.compile(r"data:([^;,]*)(?:;[^;,]*)*?;base64,", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Images:
    """How images are sent to one model; ``warn`` gets a sentence when one is left out."""

    accepted: bool
    warn: Callable[[str], None]

    def part(self, source: Mapping[str, Any]) -> Part:
        """Return the content part for an image's source.

        Raises InvalidRequestError, without the data, for an image the backend cannot read.
        """
        media_type, data = _read(source)
        if data is None:
            self.warn("An image given as a link was left out: the backend reads only images sent as data.")
            return items.text_part(REMOTE)
        url = f"data:{_checked_type(media_type)};base64,{_checked_data(data)}"
        if not self.accepted:
            self.warn("Images were left out: the model does not read them.")
            return items.text_part(UNSEEN)
        return items.image_part(url)


def image_source(block: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the source of an image given as a dictionary in a tool's output; None if it is not an image."""
    kind = block.get("type")
    if kind == "image":
        source = block.get("source")
        source = block if source is None else source
        return source if isinstance(source, Mapping) and not _CARRIERS.isdisjoint(source) else None
    return block if kind in {"image_url", "input_image"} and block.get("image_url") else None


def _read(source: Mapping[str, Any]) -> tuple[object, object]:
    """Return media type and base64 data; data None means there is only a link.

    Shapes: ``{type: base64, media_type, data}``, ``{type: url, url}``, ``{image_url: url | {url}}``,
    and ``{data, mimeType}`` of MCP.
    """
    data = source.get("data")
    if data is not None:
        named = (source.get(key) for key in ("media_type", "mediaType", "mimeType", "mime_type"))
        return next((name for name in named if name), None), data
    url = source.get("url") or source.get("image_url")
    if isinstance(url, Mapping):
        url = url.get("url")
    if not isinstance(url, str):
        raise invalid("An image has neither data nor an address.")
    inline = _DATA_URL.match(url)
    if inline:
        return inline[1], url[inline.end() :]
    if url[:5].lower() == "data:":
        raise invalid("An image's data URL is not base64.")
    return None, None


def _checked_type(media_type: object) -> str:
    name = str(media_type).strip().lower() if media_type else "none"
    name = _ALIASES.get(name, name)
    if name not in MEDIA_TYPES:
        shown = name[:40] if name.isprintable() else "unreadable"
        raise invalid(f"The image type {shown} is not supported; use {', '.join(MEDIA_TYPES)}.")
    return name


def _checked_data(data: object) -> str:
    if isinstance(data, bytes | bytearray):
        data = base64.b64encode(data).decode()
    if not isinstance(data, str):
        raise invalid("An image's data is not base64 text.")
    if not data.isascii() or not data.isprintable() or " " in data:
        data = "".join(data.split())
    try:
        decoded = binascii.a2b_base64(data, strict_mode=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise invalid("An image's data is not valid base64.")
    return data
