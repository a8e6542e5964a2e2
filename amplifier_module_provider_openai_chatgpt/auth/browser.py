"""Signing in through a browser: PKCE, a callback or a pasted address (docs/backend.md, Browser sign-in)."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from ..secret import Secret
from .binding import announcement
from .callback import Callback, listening
from .failures import Reason, SignInError, translated
from .oauth import exchange_code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

    from ..services import Issuer, Service
    from .tokens import Tokens


# How long a person may take, in seconds.
LIFETIME = 15 * 60.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secrets of one sign-in, new each time."""

    verifier: Secret[str] = field(default_factory=lambda: Secret(_random(64)))
    state: str = field(default_factory=lambda: _random(32), repr=False)

    @property
    def challenge(self) -> str:
        """The hash that the issuer will check the verifier against."""
        return _base64url(hashlib.sha256(self.verifier.reveal().encode()).digest())

    def url(self, at: Issuer, redirect_uri: str, originator: str) -> str:
        """Return the page on which a person signs in."""
        query = {
            "response_type": "code",
            "client_id": at.client_id,
            "redirect_uri": redirect_uri,
            "scope": at.scope,
            "code_challenge": self.challenge,
            "code_challenge_method": "S256",
            **at.authorize_options,
            "state": self.state,
            at.originator_parameter: originator,
        }
        return f"{at.url}{at.authorize_path}?{urlencode(query, quote_via=quote)}"


async def sign_in_by_browser(
    client: httpx.AsyncClient,
    service: Service,
    originator: str,
    *,
    open_url: Callable[[str], object],
    show: Callable[[str], object],
    read_line: Callable[[], Awaitable[str]] | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    lifetime: float = LIFETIME,
) -> Tokens:
    """Run the browser flow to its tokens, cancellable at any moment; no port stays open.

    A person has ``lifetime`` seconds to bring the code.

    ``open_url`` runs in a thread of its own, since some browsers return only when they are closed.
    ``read_line`` answers with a pasted line, or "" when there will be no more. Raises kernel errors.
    """
    attempt = Attempt()
    with translated():
        async with listening(attempt.state, service.issuer, sleep) as callback:
            url = attempt.url(service.issuer, callback.redirect_uri, originator)
            instructions = _instructions(url, callback.port, pasting=read_line is not None)
            about = announcement(service)
            show(f"{about}\n\n{instructions}" if about else instructions)
            threading.Thread(target=_open, args=(open_url, url), daemon=True).start()
            async with _pasting(callback, read_line, show):
                code = await _brought(callback, lifetime)
            return await _redeem(client, service, callback, code, attempt.verifier)


async def _brought(callback: Callback, lifetime: float) -> Secret[str]:
    try:
        async with asyncio.timeout(lifetime):
            return await callback.code
    except TimeoutError as error:
        raise SignInError(Reason.BROWSER_TIMEOUT, minutes=f"{lifetime / 60:.0f}") from error


async def _redeem(
    client: httpx.AsyncClient, service: Service, callback: Callback, code: Secret[str], verifier: Secret[str]
) -> Tokens:
    """Exchange the code for tokens, and show the waiting browser how that went."""
    try:
        tokens = await exchange_code(client, service, code, verifier, callback.redirect_uri)
    except SignInError as failure:
        callback.farewell("Sign-in failed", str(failure))
        raise
    callback.farewell("Signed in", "You can close this page and return to the terminal.")
    return tokens


def _instructions(url: str, port: int, *, pasting: bool) -> str:
    paste = (
        "\n\nOr: sign in there, copy the address of the final page (it will fail to load),\n"
        "paste it here and press Enter (input is hidden)."
    )
    return (
        "To sign in, continue in your browser. If it does not open, open this address\n"
        f"yourself:\n\n{url}\n\n"
        "Is the browser on another machine? Forward the port there first:\n\n"
        f"    ssh -L {port}:localhost:{port} <this machine>{paste if pasting else ''}"
    )


@contextlib.asynccontextmanager
async def _pasting(
    callback: Callback, read_line: Callable[[], Awaitable[str]] | None, show: Callable[[str], object]
) -> AsyncIterator[None]:
    """Take pasted addresses as well as the callback, as long as the block runs."""
    if read_line is None:
        yield
        return
    task = asyncio.create_task(_read_pasted(callback, read_line, show))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _read_pasted(
    callback: Callback, read_line: Callable[[], Awaitable[str]], show: Callable[[str], object]
) -> None:
    while not callback.code.done() and (line := await read_line()):
        address = line.strip()
        if address and (problem := callback.take(urlsplit(address).query)):
            show(f"\n{problem}\nPaste the whole address of the page that failed to load.")


def _open(open_url: Callable[[str], object], url: str) -> None:
    """Open the browser where there is one; the address is on screen anyway."""
    with contextlib.suppress(Exception):
        open_url(url)


def _random(size: int) -> str:
    return _base64url(secrets.token_bytes(size))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
