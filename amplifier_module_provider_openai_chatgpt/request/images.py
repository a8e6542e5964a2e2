"""Images: each common shape becomes a part of a message, or a short text in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..protocol import items
from .binary import IMAGE_TYPES, Encoded, decoded, is_complete, kind_of, text_kind_of
from .invalid import invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..protocol.items import Item, Part

# OpenAI's limits for image input: 20 MB for an image, 50 MB and 500 images for a request (platform
# documentation, "Images and vision"); whether this backend has the same ones is not known [unsure].
MAX_IMAGE_BYTES = 20_000_000
MAX_REQUEST_BYTES = 50_000_000
MAX_REQUEST_IMAGES = 500
LONGEST_LINK = 8_192

_CARRIERS = frozenset({"data", "url", "image_url"})
TYPE_KEYS = frozenset({"media_type", "mediaType", "mimeType", "mime_type"})
_LINK = re.compile(r"https://[^\s/]+(?:/\S*)?", re.IGNORECASE)
_NOT_AN_IMAGE = "it is not a PNG, JPEG, GIF or WebP image"
_OVER_BUDGET = f"there are more than {MAX_REQUEST_IMAGES} or {MAX_REQUEST_BYTES // 1_000_000} MB of images"


class Unusable(NamedTuple):
    """Why an image cannot be sent; ``detail`` describes this one."""

    why: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.why} ({self.detail})" if self.detail else self.why


_UNSEEN = Unusable("this model does not accept images")


def note(reason: Unusable) -> Part:
    """Return the text that replaces an image."""
    return items.text_part(f"[image left out: {reason}]")


@dataclass(slots=True)
class Images:
    """The images of one request. ``warn`` gets a sentence when one is left out; sizes are those of base64."""

    accepted: bool
    warn: Callable[[str], None]
    count: int = 0
    size: int = 0

    def part(self, source: Mapping[str, object], *, newest: bool = False) -> Part:
        """Return the content part for an image's source: the image, or a note that replaces it.

        ``newest`` marks an image of the message to be answered: if it cannot be sent, raises
        InvalidRequestError, without the data.
        """
        image = read_image(source) if self.accepted else _UNSEEN
        if isinstance(image, Unusable) and newest and self.accepted:
            raise invalid(f"An image of the newest message cannot be sent: {image}. Convert or remove it.")
        if isinstance(image, Unusable):
            self.warn(f"An image was left out: {image.why}.")
            return note(image)
        self.count += 1
        self.size += len(image)
        return items.image_part(image)

    def within_budget(self, written: list[Item], newest: int | None) -> None:
        """Replace the oldest images of a request that has too many; ``newest`` is the item to be answered.

        Raises InvalidRequestError if the newest message alone has too many.
        """
        if self._fits(self.count, self.size):
            return
        count = size = 0
        for place in range(len(written) - 1, -1, -1):
            urls = [part["image_url"] for part in items.image_parts(written[place])]
            count += len(urls)
            size += sum(map(len, urls))
            if not urls or self._fits(count, size):
                continue
            if place == newest:
                raise invalid(f"The images of the newest message cannot be sent: {_OVER_BUDGET}.")
            self.warn(f"An image was left out: {_OVER_BUDGET}.")
            written[place] = items.with_notes(written[place], f"[image left out: {_OVER_BUDGET}]")

    def _fits(self, count: int, size: int) -> bool:
        return count <= MAX_REQUEST_IMAGES and size * 3 // 4 <= MAX_REQUEST_BYTES


def image_source(block: Mapping[str, object]) -> Mapping[str, object] | None:
    """Return the source of an image given as a dictionary in a tool's output; None if it is not an image."""
    kind = type_of(block)
    if kind == "image":
        source = block.get("source")
        source = block if source is None else source
        return source if isinstance(source, Mapping) and not _CARRIERS.isdisjoint(source) else None
    return block if kind in {"image_url", "input_image"} and block.get("image_url") else None


def type_of(block: Mapping[str, object]) -> str:
    """Return the ``type`` of a block, empty if it has none that is text."""
    kind = block.get("type")
    return kind if isinstance(kind, str) else ""


def declared_type(source: Mapping[str, object]) -> str:
    """Return the media type that a source names, without parameters, in lower case; empty if none."""
    named = (value for key, value in source.items() if key in TYPE_KEYS)
    return plain_type(next((name for name in named if isinstance(name, str) and name), ""))


def plain_type(name: str) -> str:
    """Return a media type without parameters, short enough and safe to show; else empty."""
    name = name.partition(";")[0].strip().lower()
    return name if len(name) <= 60 and re.fullmatch(r"[\w.+-]+/[\w.+-]+", name, re.ASCII) else ""


def described(encoded: Encoded) -> str:
    """Return type and size of binary data, for a note."""
    declared = plain_type(encoded.declared)
    name = kind_of(encoded.data) or text_kind_of(encoded.data) or (declared and f"declared as {declared}")
    return f"{name or 'unknown type'}, {len(encoded.data):,} bytes"


def read_image(source: Mapping[str, object]) -> str | Unusable:
    """Return the address to send, a data URL or an https link, or why there is none.

    Shapes: ``{type: base64, media_type, data}``, ``{type: url, url}``, ``{image_url: url | {url}}``,
    and ``{data, mimeType}`` of MCP. The media type is taken from the data, not from what is declared.
    """
    data = source.get("data")
    if data is not None:
        return _from_data(data, declared_type(source))
    url = source.get("url") or source.get("image_url")
    if isinstance(url, Mapping):
        url = url.get("url")
    if not isinstance(url, str):
        return Unusable("it has neither data nor a link")
    if url.lstrip()[:5].lower() == "data:":
        return _from_data(url, declared_type(source))
    url = url.strip()
    if _LINK.fullmatch(url) and url.isprintable() and len(url) <= LONGEST_LINK:
        return url
    return Unusable("its link is not an https address")


def _from_data(data: object, declared: str) -> str | Unusable:
    encoded = decoded(data, declared)
    return Unusable("its data is not base64") if encoded is None else read_data(encoded)


def read_data(encoded: Encoded) -> str | Unusable:
    """Return the data URL for an image's bytes, or why they cannot be sent."""
    data, media_type = encoded.data, kind_of(encoded.data)
    if not data:
        return Unusable("it is empty")
    if media_type not in IMAGE_TYPES or media_type is None:
        return Unusable(_NOT_AN_IMAGE, described(encoded))
    if len(data) > MAX_IMAGE_BYTES:
        return Unusable(f"it is larger than {MAX_IMAGE_BYTES // 1_000_000} MB", described(encoded))
    if not is_complete(data, media_type):
        return Unusable("its data is incomplete", described(encoded))
    return f"data:{media_type};base64,{encoded.text}"
