"""What both sign-ins in a browser say to the person, and how an address that is pasted gets to them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from .failures import SignInError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from ..secret import Secret

    ReadLine = Callable[[], Awaitable[str]]
    Show = Callable[[str], object]

_PASTE = (
    "\n\nOr: sign in there, copy the address of the final page (it will fail to load),\n"
    "paste it here and press Enter (input is hidden)."
)


def instructions(start: str, url: str, tunnel: str, *, pasting: bool) -> str:
    """Return what to do with an address; ``tunnel`` is what ``ssh -L`` forwards."""
    return (
        f"{start}\n\n{url}\n\n"
        "Is the browser on another machine? Forward the port there first:\n\n"
        f"    ssh -L {tunnel} <this machine>{_PASTE if pasting else ''}"
    )


def open_in_browser(open_url: Callable[[str], object], url: Secret[str]) -> None:
    """Open the browser where there is one, without waiting: some return only when they are closed.

    If it fails, the address is on screen anyway.
    """

    def run() -> None:
        with contextlib.suppress(Exception):
            open_url(url.reveal())

    threading.Thread(target=run, daemon=True).start()


@contextlib.asynccontextmanager
async def pasting(
    take: Callable[[str], str], brought: asyncio.Future[Any], read_line: ReadLine | None, show: Show
) -> AsyncIterator[None]:
    """Take pasted addresses as well as the callback, as long as the block runs and nothing was ``brought``.

    ``take`` returns what is wrong with a line. ``read_line`` answers with "" when there will be no more.
    """
    if read_line is None:
        yield
        return
    task = asyncio.create_task(_read(take, brought, read_line, show))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _read(
    take: Callable[[str], str], brought: asyncio.Future[Any], read_line: ReadLine, show: Show
) -> None:
    while not brought.done() and (line := await read_line()):
        address = line.strip()
        if address and (problem := take(address)):
            show(f"\n{problem}\nPaste the whole address of the page that failed to load.")


@contextlib.contextmanager
def reported(farewell: Callable[[str, str], None]) -> Iterator[None]:
    """Show the waiting browser how the block ended."""
    try:
        yield
    except SignInError as failure:
        farewell("Sign-in failed", str(failure))
        raise
    farewell("Signed in", "You can close this page and return to the terminal.")
