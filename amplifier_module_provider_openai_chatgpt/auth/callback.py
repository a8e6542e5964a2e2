"""The loopback server to which a browser brings the outcome (docs/backend.md, Browser sign-in)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from ..errors.refusal import clean
from ..secret import Secret
from .failures import Reason, SignInError
from .loopback import end_visits, page, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from ..services import Issuer
    from .loopback import Visit

HOST = "127.0.0.1"
# Not the issuer's: programs that sign in this way end each other's forgotten sign-ins with it.
CANCEL_PATH = "/cancel"
_ATTEMPTS = 10
_PAUSE = 0.2
_LAST_PAGE_LIMIT = 0.5
_NO_CODEX = "missing_codex_entitlement"
# A browser sends one of these with whatever a page asks for; programs that sign in do not.
_FROM_A_PAGE = (b"\r\nsec-fetch-site:", b"\r\norigin:", b"\r\nreferer:", b"\r\nuser-agent: mozilla/")


class Callback:
    """One expected callback: ``code`` holds the authorization code, or the SignInError that came instead."""

    def __init__(self, state: str, at: Issuer) -> None:
        self.port = at.redirect_ports[0]
        self.code: asyncio.Future[Secret[str]] = asyncio.get_running_loop().create_future()
        self._state = state
        self._issuer = at
        self._farewell: asyncio.Future[tuple[str, str]] = asyncio.get_running_loop().create_future()

    @property
    def redirect_uri(self) -> str:
        """The address that the issuer knows, by the literal name."""
        return f"http://{self._issuer.redirect_host}:{self.port}{self._issuer.redirect_path}"

    def take_pasted(self, address: str) -> str:
        """Take an address that a person pasted; returns what is wrong with it."""
        try:
            query = urlsplit(address).query
        except ValueError:
            query = ""
        return self.take(query)

    def take(self, query: str) -> str:
        """Take what a browser brought; returns what is wrong with it if it is not for this sign-in."""
        fields = dict(parse_qsl(query))
        if not secrets.compare_digest(fields.get("state", "").encode(), self._state.encode()):
            return "This address does not belong to the sign-in under way."
        if self.code.done():
            return ""
        if fields.get("code") and "error" not in fields:
            self.code.set_result(Secret(fields["code"]))
        else:
            self._refuse(_failure(fields))
        return ""

    def farewell(self, title: str, text: str) -> None:
        """Show the waiting browser how it ended; the first farewell counts."""
        if not self._farewell.done():
            self._farewell.set_result((title, text))

    async def page(self, target: str, *, from_page: bool = False) -> tuple[int, str, str]:
        """Answer one request with status, title and text; a callback waits for the end of the sign-in.

        ``from_page``: a web page asks. Any page can, so it does not end a sign-in.
        """
        asked = urlsplit(target)
        if asked.path == CANCEL_PATH and from_page:
            return 403, "Not allowed", "A web page cannot end a sign-in."
        if asked.path == CANCEL_PATH:
            self._refuse(SignInError(Reason.CANCELLED))
            return 200, "Login cancelled", "You can close this page."
        if asked.path != self._issuer.redirect_path:
            return 404, "Not found", "There is nothing here."
        if problem := self.take(asked.query):
            return 400, "State mismatch", f"{problem} Start again from the terminal."
        return (200, *(await asyncio.shield(self._farewell)))

    async def respond(self, head: bytes) -> bytes:
        """Answer the head of one request."""
        method, target, *_ = [*head.split(b"\r\n", 1)[0].decode("latin-1").split(), "", ""]
        from_page = any(name in head.lower() for name in _FROM_A_PAGE)
        return page(*await self.page(target if method == "GET" else "", from_page=from_page))

    def _refuse(self, failure: SignInError) -> None:
        if not self.code.done():
            self.code.set_exception(failure)
            self.farewell("Sign-in failed", str(failure))


@contextlib.asynccontextmanager
async def listening(
    state: str, at: Issuer, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncIterator[Callback]:
    """Serve the callback on a registered port; on leaving, a page under way is finished and the port closed.

    Raises SignInError when all these ports are in use: the issuer's page accepts any other port, but the
    exchange that follows does not.
    """
    callback = Callback(state, at)
    visits: set[asyncio.Task[None]] = set()

    server, callback.port = await _bind(visitor(visits, callback.respond), at.redirect_ports, sleep)
    try:
        yield callback
    finally:
        server.close()
        await _finish(callback, visits)


async def _bind(
    visited: Visit, ports: tuple[int, ...], sleep: Callable[[float], Awaitable[object]]
) -> tuple[asyncio.Server, int]:
    """Listen on the first port, asking another sign-in that uses it to end; else on the next free one."""
    first, *others = ports
    for attempt in range(_ATTEMPTS):
        with contextlib.suppress(OSError):
            return await asyncio.start_server(visited, HOST, first), first
        if attempt == 0:
            await _ask_to_cancel(first)
        await sleep(_PAUSE)
    for port in others:
        with contextlib.suppress(OSError):
            return await asyncio.start_server(visited, HOST, port), port
    raise SignInError(Reason.PORTS_TAKEN, ports=" and ".join(map(str, ports)))


async def _ask_to_cancel(port: int) -> None:
    """End another program's sign-in that was left waiting; anything else ignores this."""
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(
                    f"GET {CANCEL_PATH} HTTP/1.1\r\nHost: {HOST}:{port}\r\nConnection: close\r\n\r\n".encode()
                )
                await writer.drain()
                await reader.read(4096)
            finally:
                writer.close()


async def _finish(callback: Callback, visits: set[asyncio.Task[None]]) -> None:
    """Let browsers that wait have their last page, and end all other connections."""
    if callback.code.done() and not callback.code.cancelled():
        callback.code.exception()
    callback.farewell("Sign-in ended", "It was cancelled in the terminal.")
    await end_visits(visits, _LAST_PAGE_LIMIT)


def _failure(fields: dict[str, str]) -> SignInError:
    """Say why a callback brings no code."""
    code, said = fields.get("error", ""), fields.get("error_description", "")
    if not code:
        return SignInError(Reason.CODE_MISSING)
    if code == "access_denied" and _NO_CODEX in said:
        return SignInError(Reason.NO_CODEX)
    return SignInError(Reason.BROWSER_ERROR, said=clean(said or code))
