"""What the machine offers a person who signs in: a browser, and the clipboard of the terminal."""

from __future__ import annotations

import base64
import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT_BROWSERS = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})
_REMOTE = ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
# Terminals that would print the sequence instead of obeying it.
_SIMPLE_TERMINALS = frozenset({"", "dumb", "linux", "unknown"})


def is_desktop(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """True where a browser of this machine is in front of the person: not over SSH, and with a screen."""
    if any(environ.get(name) for name in _REMOTE):
        return False
    return platform in {"darwin", "win32"} or any(environ.get(name) for name in _DISPLAYS)


def has_browser(environ: Mapping[str, str]) -> bool:
    """True where a browser of this machine is in front of the person and can be opened."""
    return is_desktop(environ) and can_open_pages(environ)


def can_open_pages(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """True where a page can be opened without taking over this terminal.

    An editor that runs its terminal on another machine sets BROWSER to a program that opens pages here.
    """
    return (bool(environ.get("BROWSER")) or is_desktop(environ, platform)) and _browser_name() is not None


def open_page(url: str) -> None:
    """Open the user's browser, unless it would take over this terminal."""
    import webbrowser

    with contextlib.suppress(OSError, webbrowser.Error):
        if _browser_name() is not None:
            webbrowser.open(url)


def _browser_name() -> str | None:
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return None
    name = getattr(browser, "name", "")
    return None if name in _TEXT_BROWSERS else name


def copy_sequence(text: str, environ: Mapping[str, str]) -> str:
    """Return what makes a terminal copy the text (OSC 52); empty for terminals known not to."""
    if environ.get("TERM", "") in _SIMPLE_TERMINALS:
        return ""
    return f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07"
