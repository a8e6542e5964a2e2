"""The commands ``login`` and ``logout``: prompt, countdown and outcome in a terminal."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import time
from typing import TYPE_CHECKING

from ..auth.sign_in import with_browser, with_device_code
from .console import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ..auth.device import DeviceCode
    from ..auth.tokens import Tokens
    from ..provider import ChatGPTProvider

_TEXT_BROWSERS = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})


async def by_device_code(provider: ChatGPTProvider, notes: Console) -> None:
    """Sign in with a device code; a terminal shows a countdown."""
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
    """Sign in through a browser; without one on this machine, you can paste the redirect address."""
    settings = provider.settings
    with _echo_off():
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
    """Open the user's browser, unless it would take over this terminal."""
    import webbrowser

    browser = webbrowser.get()
    if browser.name not in _TEXT_BROWSERS:
        browser.open(url)


async def sign_out(provider: ChatGPTProvider) -> str:
    """Delete the stored sign-in and revoke it at OpenAI if possible; returns the outcome as a sentence."""
    if provider.credentials.peek() is None:
        return await _remove_unusable(provider)
    if await provider.credentials.sign_out():
        return "Signed out."
    return "Signed out on this machine. OpenAI could not be notified; the token will expire on its own."


async def _remove_unusable(provider: ChatGPTProvider) -> str:
    """Remove what is stored but not used, unless it is not a sign-in of ours; says which it was."""
    credentials = provider.credentials
    problem, place = credentials.problem(), credentials.place
    if problem is None:
        return "Not signed in."
    if not problem.is_removable:
        return f"Not signed in. {place} was left as it is: {problem.why}."
    was_revoked = await credentials.remove_unusable()
    outcome = "The sign-in in it was revoked." if was_revoked else "OpenAI could not be notified."
    return f"Removed {place}, which was not used: {problem.why}. {outcome}"


def _confirm(provider: ChatGPTProvider, tokens: Tokens, notes: Console) -> None:
    who = f" as {printable(tokens.email)}" if tokens.email else ""
    notes.print(f"Signed in{who}.", markup=False, soft_wrap=True)
    notes.print(f"Stored in {provider.credentials.place}", markup=False, soft_wrap=True)


async def _count_down(notes: Console, seconds: float) -> None:
    """Show the remaining time in one line of constant width; the line disappears at the end."""
    deadline = time.monotonic() + seconds
    with notes.status("") as line:
        while (left := deadline - time.monotonic()) > 0:
            minutes, rest = divmod(math.ceil(left), 60)
            line.update(f"Waiting for approval: {minutes:2}:{rest:02} left. Ctrl-C cancels.")
            await asyncio.sleep(left % 1 or 1)


def _can_paste() -> bool:
    """Return whether an event loop can read what the user types here."""
    return sys.platform != "win32" and sys.stdin.isatty()


@contextlib.contextmanager
def _echo_off() -> Iterator[None]:
    """Stop the terminal from echoing input: a pasted address contains a code."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    without_echo = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, without_echo)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _read_line() -> str:
    """Read one line from the terminal without blocking the event loop."""
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str] = loop.create_future()

    def on_input() -> None:
        loop.remove_reader(sys.stdin)
        if not line.done():
            line.set_result(sys.stdin.readline())

    loop.add_reader(sys.stdin, on_input)
    try:
        return await line
    finally:
        loop.remove_reader(sys.stdin)
