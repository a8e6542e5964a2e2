"""zstd where this Python has it: in the standard library since 3.14, or as the package ``zstandard``."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable


def compressor() -> Callable[[bytes], bytes] | None:
    """Return a function that compresses; None if there is none."""
    for name, factory in (("compression.zstd", ""), ("zstandard", "ZstdCompressor")):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        owner = getattr(module, factory)() if factory else module
        return cast("Callable[[bytes], bytes]", owner.compress)
    return None
