"""A whole sign-in: check that it can be stored, let the person approve it, store it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..http import new_client
from .browser import sign_in_by_browser
from .device import sign_in_by_device_code

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from .credentials import Credentials
    from .device import DeviceCode
    from .tokens import Tokens

# Longest wait for one answer of the issuer, in seconds.
_ANSWER_LIMIT = 30.0


async def with_device_code(
    credentials: Credentials,
    on_prompt: Callable[[DeviceCode], object],
    *,
    connect_timeout: float,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Tokens:
    """Sign in by device code; ``on_prompt`` shows it to the person. Raises kernel errors."""

    async def approve(client: httpx.AsyncClient) -> Tokens:
        return await sign_in_by_device_code(client, credentials.service, on_prompt, sleep=sleep)

    return await _sign_in(credentials, approve, connect_timeout)


async def with_browser(
    credentials: Credentials,
    originator: str,
    *,
    open_url: Callable[[str], object],
    show: Callable[[str], object],
    read_line: Callable[[], Awaitable[str]] | None,
    connect_timeout: float,
) -> Tokens:
    """Sign in through a browser, as ``sign_in_by_browser`` describes it. Raises kernel errors."""

    async def approve(client: httpx.AsyncClient) -> Tokens:
        return await sign_in_by_browser(
            client, credentials.service, originator, open_url=open_url, show=show, read_line=read_line
        )

    return await _sign_in(credentials, approve, connect_timeout)


async def _sign_in(
    credentials: Credentials,
    approve: Callable[[httpx.AsyncClient], Awaitable[Tokens]],
    connect_timeout: float,
) -> Tokens:
    await credentials.ensure_writable()
    async with new_client(connect=connect_timeout, silence=_ANSWER_LIMIT) as client:
        tokens = await approve(client)
    return await credentials.sign_in(tokens)
