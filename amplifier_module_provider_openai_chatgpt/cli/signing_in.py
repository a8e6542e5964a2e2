"""The command ``login``: prompt, countdown and outcome in a terminal."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from typing import TYPE_CHECKING, Literal

from ..auth.failures import PortsTakenError
from ..auth.sign_in import with_browser, with_device_code
from ..quota.words import plan_name
from ..settings import LOGIN_COMMAND
from .console import printable
from .desktop import can_open_pages, copy_sequence, has_browser, open_page
from .keyboard import can_paste, echo_off, read_line

if TYPE_CHECKING:
    from rich.console import Console

    from ..auth.device import DeviceCode
    from ..auth.tokens import Tokens
    from ..provider import ChatGPTProvider

Way = Literal["browser", "device"]

_DEVICE, _BROWSER = f"{LOGIN_COMMAND} --device", f"{LOGIN_COMMAND} --browser"


async def sign_in(provider: ChatGPTProvider, notes: Console, way: Way | None = None) -> None:
    """Sign in: in the browser where there is one in front of the person, else with a code."""
    _show_who_is_replaced(provider, notes)
    chosen = way or ("browser" if notes.is_terminal and has_browser(os.environ) else "device")
    if chosen == "device":
        await by_device_code(provider, notes)
        return
    try:
        await by_browser(provider, notes)
    except PortsTakenError as error:
        if way is not None:
            raise
        notes.print(f"{error}\n\nContinuing with a code.\n", markup=False, soft_wrap=True)
        await by_device_code(provider, notes)


def _show_who_is_replaced(provider: ChatGPTProvider, notes: Console) -> None:
    tokens = provider.credentials.peek()
    if tokens is None:
        return
    plan = f"({plan_name(tokens.plan_type)})" if tokens.plan_type else ""
    who = " ".join(filter(None, (tokens.email and f"as {tokens.email}", plan)))
    notes.print(
        f"{printable(f'You are signed in {who}'.strip())}. A new sign-in replaces this one.\n"
        "To keep both, stop with Ctrl-C and add --profile NAME.\n",
        markup=False,
        soft_wrap=True,
    )


async def by_device_code(provider: ChatGPTProvider, notes: Console) -> None:
    """Sign in with a device code; a terminal shows a countdown, and Enter opens the page."""
    tasks: list[asyncio.Task[None]] = []

    def prompt(device: DeviceCode) -> None:
        _show_code(device, notes)
        if notes.is_terminal:
            tasks.append(asyncio.create_task(_count_down(notes, device.lifetime)))
        if _can_open_by_enter(notes):
            tasks.append(asyncio.create_task(_open_at_enter(device.url)))

    try:
        with echo_off():
            tokens = await with_device_code(
                provider.codex_credentials, prompt, connect_timeout=provider.settings.connect_timeout
            )
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    _confirm(provider, tokens, notes)


def _show_code(device: DeviceCode, notes: Console) -> None:
    from rich.text import Text

    text = Text(device.text())
    code = device.user_code.reveal()
    text.highlight_words([code], "bold")
    notes.print(text, soft_wrap=True)
    if notes.is_terminal and (sequence := copy_sequence(code, os.environ)):
        notes.file.write(sequence)
        notes.print("The code is in your clipboard if the terminal allows that.")
    if _can_open_by_enter(notes):
        notes.print("Press Enter to open the page in your browser.")
    notes.print(f"\nIn this machine's browser instead: {_BROWSER}\n", soft_wrap=True)


def _can_open_by_enter(notes: Console) -> bool:
    return notes.is_terminal and can_paste() and can_open_pages(os.environ)


async def _open_at_enter(url: str) -> None:
    """Open the page each time the person presses Enter, until the end of input."""
    while await read_line():
        threading.Thread(target=open_page, args=(url,), daemon=True).start()


async def by_browser(provider: ChatGPTProvider, notes: Console) -> None:
    """Sign in through a browser; without one on this machine, you can paste the redirect address."""
    settings = provider.settings

    other_way = [f"\n\nFor a code instead: Ctrl-C, then {_DEVICE}"]

    def show(text: str) -> None:
        added = other_way.pop() if other_way else ""
        notes.print(text + added, markup=False, highlight=False, soft_wrap=True)

    with echo_off():
        tokens = await with_browser(
            provider.codex_credentials,
            settings.originator,
            open_url=open_page,
            show=show,
            read_line=read_line if can_paste() else None,
            connect_timeout=settings.connect_timeout,
        )
    _confirm(provider, tokens, notes)


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
