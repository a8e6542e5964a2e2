"""Signing in through a browser: PKCE, a callback or a pasted address (docs/backend.md, Browser sign-in)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from ..secret import Secret
from .binding import announcement
from .callback import Callback, listening
from .failures import Reason, SignInError, translated
from .oauth import exchange_code
from .pkce import challenge_of, random_text
from .prompting import instructions, open_in_browser, pasting, reported

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from ..services import Issuer, Service
    from .tokens import Tokens


# How long a person may take, in seconds.
LIFETIME = 15 * 60.0
_START = "To sign in, continue in your browser. If it does not open, open this address\nyourself:"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The secrets of one sign-in, new each time."""

    verifier: Secret[str] = field(default_factory=lambda: Secret(random_text(64)))
    state: str = field(default_factory=lambda: random_text(32), repr=False)

    def url(self, at: Issuer, redirect_uri: str, originator: str) -> str:
        """Return the page on which a person signs in."""
        query = {
            "response_type": "code",
            "client_id": at.client_id,
            "redirect_uri": redirect_uri,
            "scope": at.scope,
            "code_challenge": challenge_of(self.verifier),
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
            tunnel = f"{callback.port}:localhost:{callback.port}"
            text = instructions(_START, url, tunnel, pasting=read_line is not None)
            about = announcement(service.origin)
            show(f"{about}\n\n{text}" if about else text)
            open_in_browser(open_url, Secret(url))
            async with pasting(callback.take_pasted, callback.code, read_line, show):
                code = await _brought(callback, lifetime)
            with reported(callback.farewell):
                return await exchange_code(client, service, code, attempt.verifier, callback.redirect_uri)


async def _brought(callback: Callback, lifetime: float) -> Secret[str]:
    try:
        async with asyncio.timeout(lifetime):
            return await callback.code
    except TimeoutError as error:
        raise SignInError(Reason.BROWSER_TIMEOUT, minutes=f"{lifetime / 60:.0f}") from error
