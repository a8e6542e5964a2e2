"""What the loopback servers of both browser sign-ins share: one request per connection, and its page."""

from __future__ import annotations

import asyncio
import contextlib
import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Respond = Callable[[bytes], Awaitable[bytes]]
    Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

_REQUEST_LIMIT = 10.0
_REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
}


def visitor(visits: set[asyncio.Task[None]], respond: Respond) -> Visit:
    """Return what serves one connection: ``respond`` answers the head of its request.

    ``visits`` holds the tasks that are under way.
    """

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visit = asyncio.current_task()
        if visit is not None:
            visits.add(visit)
            visit.add_done_callback(visits.discard)
        # Some versions of asyncio report a connection's task that ends as cancelled with a traceback.
        with contextlib.suppress(asyncio.CancelledError):
            await _answer(respond, reader, writer)

    return visited


async def end_visits(visits: set[asyncio.Task[None]], limit: float) -> None:
    """Let browsers have their last page for ``limit`` seconds, and end all other connections."""
    open_visits = list(visits)
    if open_visits:
        await asyncio.wait(open_visits, timeout=limit)
    for visit in open_visits:
        visit.cancel()
    await asyncio.gather(*open_visits, return_exceptions=True)


def page(status: int, title: str, text: str, location: str = "") -> bytes:
    """Return a response with one page. It closes its connection: a kept one would hang the next sign-in."""
    title, text = html.escape(title), html.escape(text)
    body = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{title}</title></head>"
        '<body style="font:1.1em system-ui;margin:4em auto;max-width:36em">'
        f"<h1>{title}</h1><p>{text}</p></body></html>"
    ).encode()
    head = [
        f"HTTP/1.1 {status} {_REASONS[status]}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
        "Connection: close",
        *([f"Location: {location}"] if location else []),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


async def _answer(respond: Respond, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_REQUEST_LIMIT):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.write(await respond(head))
        await writer.drain()
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
