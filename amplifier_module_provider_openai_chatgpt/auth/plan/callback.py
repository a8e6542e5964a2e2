"""The loopback server to which a browser brings the outcome (docs/backend-plan.md, Callback)."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...secret import Secret
from ..failures import SignInError
from ..loopback import end_visits, page, visitor
from ..pkce import random_text
from .authorization import pasted_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ...services import PlanSignIn
    from ..loopback import Visit
    from .authorization import Attempt, Brought

# A page without the query, so the browser's address bar and history do not keep the code.
_LAST_PATH = "/finished"
_LAST_PAGE_LIMIT = 1.0


class Callback:
    """One expected callback: ``brought`` gets what a browser or a pasted line brings, or the failure."""

    def __init__(self, attempt: Attempt, service: PlanSignIn) -> None:
        self.port = service.redirect_port
        loop = asyncio.get_running_loop()
        self.brought: asyncio.Future[Brought] = loop.create_future()
        self._farewell: asyncio.Future[tuple[str, str]] = loop.create_future()
        self._shown = asyncio.Event()
        self._has_browser = False
        self._attempt, self._service = attempt, service
        self._start_path = f"/start/{random_text(16)}"
        self._starts: list[Secret[str]] = []

    @property
    def authority(self) -> str:
        """The host and port that a browser has to name."""
        return f"{self._service.redirect_host}:{self.port}"

    @property
    def redirect_uri(self) -> str:
        """The address that the issuer sends the browser to."""
        return f"http://{self.authority}{self._service.redirect_path}"

    def take(self, query: str) -> bool:
        """Take what was brought; False if it does not belong to this sign-in."""
        outcome = self._attempt.outcome(query)
        if outcome is None:
            return False
        if not self.brought.done():
            if isinstance(outcome, SignInError):
                self.brought.set_exception(outcome)
                self.farewell("Sign-in failed", str(outcome))
            else:
                self.brought.set_result(outcome)
        return True

    def start_page(self, once: Secret[str], later: Secret[str]) -> Secret[str]:
        """Return an address on this machine that leads a browser to ``once``, and from then on to ``later``.

        What opens a browser gets its address as an argument, which other users of the machine can see.
        """
        self._starts = [once, later]
        return Secret(f"http://{self.authority}{self._start_path}")

    def take_pasted(self, address: str) -> str:
        """Take an address that a person pasted; returns what is wrong with it.

        A code alone is not enough: the address has the state and, the first time, the registration.
        """
        query = pasted_query(address, self.redirect_uri)
        is_taken = query is not None and self.take(query)
        return "" if is_taken else "This is not the address at which this sign-in ends."

    def farewell(self, title: str, text: str) -> None:
        """Show the waiting browser how it ended; the first farewell counts."""
        if not self._farewell.done():
            self._farewell.set_result((title, text))

    async def respond(self, head: bytes) -> bytes:
        """Answer one request; the last page waits for the end of the sign-in."""
        method, target, hosts = _read(head)
        asked = urlsplit(target)
        if hosts != [self.authority]:
            return page(400, "Not accepted", "This address is not the one of the sign-in.")
        if method != "GET":
            return page(405, "Not accepted", "A sign-in ends with a GET request.")
        if asked.path == _LAST_PATH and self.brought.done():
            title, text = await asyncio.shield(self._farewell)
            self._shown.set()
            return page(200, title, text)
        return self._redirect(asked.path, asked.query)

    def _redirect(self, path: str, query: str) -> bytes:
        """Lead a browser from the start page to the issuer, and from the callback to the last page."""
        if self._starts and path == self._start_path:
            goal = self._starts.pop(0) if len(self._starts) > 1 else self._starts[0]
            return page(302, "Continuing", "One moment.", location=goal.reveal())
        if path != self._service.redirect_path:
            return page(404, "Not found", "There is nothing here.")
        if not self.take(query):
            return page(400, "Not accepted", "This answer does not belong to the sign-in under way.")
        self._has_browser = True
        return page(302, "Finishing", "One moment.", location=f"http://{self.authority}{_LAST_PATH}")

    async def finish(self) -> None:
        """Let a browser have its last page."""
        self.farewell("Sign-in ended", "It was cancelled in the terminal.")
        if self.brought.done() and not self.brought.cancelled():
            self.brought.exception()
        if self._has_browser:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_PAGE_LIMIT):
                    await self._shown.wait()


@contextlib.asynccontextmanager
async def listening(attempt: Attempt, service: PlanSignIn) -> AsyncIterator[Callback]:
    """Serve the callback on the usual port, else on any free one, until the block is left."""
    callback = Callback(attempt, service)
    visits: set[asyncio.Task[None]] = set()

    server = await _bind(visitor(visits, callback.respond), service)
    callback.port = server.sockets[0].getsockname()[1]
    try:
        yield callback
    finally:
        await callback.finish()
        server.close()
        await end_visits(visits, _LAST_PAGE_LIMIT)


async def _bind(visited: Visit, service: PlanSignIn) -> asyncio.Server:
    with contextlib.suppress(OSError):
        return await asyncio.start_server(visited, service.redirect_host, service.redirect_port)
    return await asyncio.start_server(visited, service.redirect_host, 0)


def _read(head: bytes) -> tuple[str, str, list[str]]:
    """Return method, target and the values of all Host headers."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, *_ = [*first.split(" "), "", ""]
    headers = (line.partition(":") for line in lines)
    return method, target, [value.strip() for name, _, value in headers if name.strip().lower() == "host"]
