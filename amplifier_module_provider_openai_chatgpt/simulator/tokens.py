"""How many tokens a text, a picture or sealed reasoning has: a plausible count without a vocabulary.

Texts are cut into the pieces that OpenAI's o200k tokenizer cuts first, and a piece costs more the longer it
is. [unsure]: the backend's own count; here it only has to be as uneven as a real one.
"""

from __future__ import annotations

import base64
import re
import struct
from functools import lru_cache

from .rules import SEAL, SEALED_FROM

# Longer texts are counted by their beginning: the simulator counts every request.
_COUNTED = 60_000
# Schemas repeat their keys and types.
_SHORT = 32
_WORDS = re.compile(r"[A-Z\u00c0-\u00de]*[a-z\u00df-\u024f]+|[A-Z\u00c0-\u00de]+")
_NUMBERS = re.compile(r"[0-9]{1,3}")
# The last mark before a word is part of it.
_MARKS = re.compile(r"([!-/:-@\[-`{-~\u0080-\u00bf]+)([A-Za-z]?)")
_BREAKS = re.compile(r"\n\s*|\s{2,}|[\x00-\x08\x0e-\x1f]")
_FOREIGN = re.compile(r"[\u0250-\u1fff]+")
_WIDE = re.compile(r"[\u2000-\uffff]")
_ASTRAL = re.compile(r"[\U00010000-\U0010ffff]")

_PATCH = 32
_MOST_PATCHES = 1_536
_TYPICAL_IMAGE = 1_024
_PNG_SIZE = re.compile(rb"\x89PNG\r\n\x1a\n.{8}(.{8})", re.DOTALL)
_GIF_SIZE = re.compile(rb"GIF8[79]a(.{4})", re.DOTALL)


def text_tokens(text: str) -> int:
    """Return the tokens of a text."""
    if len(text) < _SHORT:
        return _short_tokens(text)
    if len(text) > _COUNTED:
        return _counted(text[:_COUNTED]) * len(text) // _COUNTED
    return _counted(text)


@lru_cache(maxsize=4096)
def _short_tokens(text: str) -> int:
    return _counted(text)


def _counted(text: str) -> int:
    tokens = sum(1 + (len(word) - 1) // 8 for word in _WORDS.findall(text))
    tokens += len(_NUMBERS.findall(text)) + len(_BREAKS.findall(text))
    tokens += sum((len(marks) + 1 - len(letter)) // 2 for marks, letter in _MARKS.findall(text))
    if text.isascii():
        return tokens
    tokens += sum(-(-len(word) // 3) for word in _FOREIGN.findall(text))
    return tokens + len(_WIDE.findall(text)) * 9 // 10 + len(_ASTRAL.findall(text)) * 2


def image_tokens(url: str) -> int:
    """Return the tokens of a picture: one per patch of 32 by 32 pixels, at most 1,536.

    JPEG, WebP and links count as 1,024, because their size is not read.
    """
    _, _, data = url.partition(";base64,")
    size = _size(data[:64])
    if size is None:
        return _TYPICAL_IMAGE
    width, height = size
    return min(_MOST_PATCHES, -(-width // _PATCH) * -(-height // _PATCH))


def _size(encoded: str) -> tuple[int, int] | None:
    try:
        start = base64.b64decode(encoded)
    except ValueError:
        return None
    if found := _PNG_SIZE.match(start):
        width, height = struct.unpack(">II", found[1])
        return width, height
    if found := _GIF_SIZE.match(start):
        width, height = struct.unpack("<HH", found[1])
        return width, height
    return None


def sealed_tokens(blob: object) -> int:
    """Return the tokens of the reasoning in a ciphertext; of one from elsewhere, by its length."""
    if not isinstance(blob, str):
        return 0
    if not blob.startswith(SEAL):
        return len(blob) // 6
    try:
        content = base64.urlsafe_b64decode(blob[len(SEAL) :])[SEALED_FROM:]
    except ValueError:
        return len(blob) // 6
    return text_tokens(content.decode(errors="replace"))
