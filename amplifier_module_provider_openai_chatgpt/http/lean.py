"""Imports httpx without its command line, whose click, rich and pygments take three times as long.

httpx expects that its command line cannot be imported. Everything here that uses httpx while it runs takes
it from this module.
"""

import sys

_COMMAND_LINE = "httpx._main"

if "httpx" in sys.modules:
    import httpx
else:
    sys.modules[_COMMAND_LINE] = None  # type: ignore[assignment] # Python's way to say: cannot be imported
    try:
        import httpx
    finally:
        del sys.modules[_COMMAND_LINE]

__all__ = ["httpx"]
