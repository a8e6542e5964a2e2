"""zstd where this Python has it: in the standard library since 3.14, or as the package ``zstandard``."""

from __future__ import annotations

import importlib
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_IN_STANDARD_LIBRARY = (3, 14)


def compressor() -> Callable[[bytes], bytes] | None:
    """Return a function that compresses, for one thread; None if there is none."""
    module = _module()
    if module is None:
        return None
    owner = module if _is_standard() else module.ZstdCompressor()
    compress: Callable[[bytes], bytes] = owner.compress
    return compress


@lru_cache(maxsize=1)
def _module() -> Any:
    try:
        return importlib.import_module("compression.zstd" if _is_standard() else "zstandard")
    except ImportError:
        return None


def _is_standard() -> bool:
    return sys.version_info >= _IN_STANDARD_LIBRARY
