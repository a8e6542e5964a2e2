"""Signing in and out at a terminal: the prompt, the countdown, the outcome."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from typing import TYPE_CHECKING

from ..auth.sign_in import with_browser, with_device_code
from .transcript import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ..auth.device import DeviceCode
    from ..auth.tokens import Tokens
    from ..provider import ChatGPTProvider

_TEXT_BROWSERS = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})


async def by_device_code(provider: ChatGPTProvider, notes: Console) -> None:
    """Sign in by device code; at a terminal the time that is left counts down."""
    countdown: list[asyncio.Task[None]] = []

    def prompt(device: DeviceCode) -> None:
        notes.print(device.text() + "\n", markup=False, highlight=False, soft_wrap=True)
        if notes.is_terminal:
            countdown.append(asyncio.create_task(_count_down(notes, device.lifetime)))

    try:
        tokens = await with_device_code(
            provider.credentials, prompt, connect_timeout=provider.settings.connect_timeout
        )
    finally:
        for task in countdown:
            task.cancel()
        await asyncio.gather(*countdown, return_exceptions=True)
    _confirm(provider, tokens, notes)


async def by_browser(provider: ChatGPTProvider, notes: Console) -> None:
    """Sign in through a browser; where none reaches this machine, the redirect address can be pasted."""
    settings = provider.settings
    with _unseen():
        tokens = await with_browser(
            provider.credentials,
            settings.originator,
            open_url=_open_window,
            show=lambda text: notes.print(text, markup=False, highlight=False, soft_wrap=True),
            read_line=_read_line if _can_paste() else None,
            connect_timeout=settings.connect_timeout,
        )
    _confirm(provider, tokens, notes)


def _open_window(url: str) -> None:
    """Open the person's browser, unless it is one that would take over this terminal."""
    import webbrowser

    browser = webbrowser.get()
    if browser.name not in _TEXT_BROWSERS:
        browser.open(url)


async def sign_out(provider: ChatGPTProvider) -> str:
    """Forget the sign-in here and revoke it at the issuer as far as it can be reached; tells how it went."""
    if provider.credentials.peek() is None:
        return "Nobody was signed in."
    if await provider.credentials.sign_out():
        return "Signed out."
    return "Signed out here. OpenAI could not be told; the token expires by itself."


def _confirm(provider: ChatGPTProvider, tokens: Tokens, notes: Console) -> None:
    who = f" as {printable(tokens.email)}" if tokens.email else ""
    notes.print(f"Signed in{who}.", markup=False, soft_wrap=True)
    path = provider.settings.token_file_path
    notes.print(f"The sign-in is kept in {path}", markup=False, soft_wrap=True)


async def _count_down(notes: Console, seconds: float) -> None:
    """Show every second that is left in one line of one width, which is gone when the wait is over."""
    until = time.monotonic() + seconds
    with notes.status("") as line:
        while (left := until - time.monotonic()) > 0:
            minutes, rest = divmod(math.ceil(left), 60)
            line.update(f"Waiting for you: {minutes:2}:{rest:02} left. Ctrl-C cancels.")
            await asyncio.sleep(left % 1 or 1)


def _can_paste() -> bool:
    """Tell whether an event loop can wait for what a person types here."""
    return sys.platform != "win32" and sys.stdin.isatty()


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    """Keep a terminal from showing what is typed: a pasted address holds a code."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _read_line() -> str:
    """Read one line from the terminal without stopping the event loop."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def ready() -> None:
        loop.remove_reader(sys.stdin)
        if not line.done():
            line.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, ready)
    try:
        return await line
    finally:
        loop.remove_reader(sys.stdin)
