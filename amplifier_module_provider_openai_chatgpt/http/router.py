"""Routes requests: directly, or through the proxy that the environment names for the server.

Every route is built by the first request that needs it, so a bad variable breaks only such requests: not
an unused client, and not requests to this machine.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from .bodies import bounded
from .certificates import tls_context
from .failures import NetworkSettingFailure, ProxyFailure
from .lean import httpx
from .proxies import Proxies, is_this_machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpcore

    from .proxies import ProxySetting

# A connection through a proxy has three steps: to the proxy, its reply to CONNECT, and TLS to the server.
_STEPS = 3
_CONNECT_LIMIT = 10.0


class Router(httpx.AsyncBaseTransport):
    """Sends each request by its route; ``largest`` bounds the decompressed bodies, in bytes."""

    def __init__(self, limits: httpx.Limits, largest: int | None) -> None:
        self._limits = limits
        self._largest = largest
        self._proxies = Proxies.from_environment()
        self._routes: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. Raises httpx's exceptions and HttpFailure."""
        response = await self._send(request)
        response.request = request
        try:
            return bounded(response, self._largest)
        except BaseException:
            await response.aclose()
            raise

    async def aclose(self) -> None:
        """Close all connections."""
        for route in list(self._routes.values()):
            await route.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme == "http" and is_this_machine(url.host):
            return await self._route("plain", self._plain).handle_async_request(request)
        if url.scheme != "https":
            raise httpx.UnsupportedProtocol("Only https leaves this machine.")
        proxy = self._proxies.for_host(url.host, url.port or 443)
        if proxy is None:
            return await self._route("direct", self._direct).handle_async_request(request)
        route = self._route("proxy", lambda: self._through(proxy))
        return await _through_proxy(route, request, proxy.variable)

    def _route(self, name: str, build: Callable[[], httpx.AsyncHTTPTransport]) -> httpx.AsyncHTTPTransport:
        if name not in self._routes:
            self._routes[name] = build()
        return self._routes[name]

    def _plain(self) -> httpx.AsyncHTTPTransport:
        """Build a route for HTTP without TLS. Its context is never used, trusts nothing and is cheap."""
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return httpx.AsyncHTTPTransport(verify=bare, limits=self._limits)

    def _direct(self) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(verify=tls_context(), limits=self._limits)

    def _through(self, setting: ProxySetting) -> httpx.AsyncHTTPTransport:
        url, tls = setting.url(), tls_context()
        try:
            proxy = httpx.Proxy(url, ssl_context=tls if url.scheme == "https" else None)
            return httpx.AsyncHTTPTransport(verify=tls, limits=self._limits, proxy=proxy)
        except ValueError:
            raise NetworkSettingFailure(f"{setting.variable} is not the address of a proxy") from None


async def _through_proxy(
    route: httpx.AsyncHTTPTransport, request: httpx.Request, variable: str
) -> httpx.Response:
    """Send through a proxy, with a timeout until the server is reached, because httpcore has none.

    Raises ProxyFailure from the cause, no matter which side failed.
    """
    limit = request.extensions.get("timeout", {}).get("connect") or _CONNECT_LIMIT
    approach = _Approach()
    try:
        async with asyncio.timeout(_STEPS * limit) as approach.wait:
            request.extensions = {**request.extensions, "trace": approach.observe}
            return await route.handle_async_request(request)
    except _failures() as error:
        if approach.is_over:
            raise
        raise ProxyFailure(variable) from error
    finally:
        if not approach.is_over:
            await approach.abandon()


class _Approach:
    """The part of a request before its server is reached, as httpcore's events report it."""

    wait: asyncio.Timeout

    def __init__(self) -> None:
        self.is_over = False
        self._streams: list[httpcore.AsyncNetworkStream] = []

    async def observe(self, event: str, info: Mapping[str, Any]) -> None:
        """Note each connection, and end the wait where the request itself begins."""
        if event.endswith(".connect_tcp.complete"):
            self._streams.append(info["return_value"])
        elif event == "http11.send_request_headers.started" and info["request"].method != b"CONNECT":
            self.is_over = True
            self.wait.reschedule(None)

    async def abandon(self) -> None:
        """Close what was opened: httpcore forgets a connection to a proxy that does not speak SOCKS."""
        for stream in self._streams:
            await stream.aclose()


def _failures() -> tuple[type[Exception], ...]:
    """Return what a proxied request may raise; the last two if the proxy does not speak SOCKS."""
    from socksio import SOCKSError

    return (httpx.TransportError, TimeoutError, SOCKSError, AssertionError)
