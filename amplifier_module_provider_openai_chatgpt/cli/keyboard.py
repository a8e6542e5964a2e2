"""What a person types while a sign-in waits: whole lines, which the terminal does not show."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def can_paste() -> bool:
    """Return whether an event loop can read what the user types here."""
    return sys.platform != "win32" and sys.stdin.isatty()


@contextlib.contextmanager
def echo_off() -> Iterator[None]:
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


async def read_line() -> str:
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
