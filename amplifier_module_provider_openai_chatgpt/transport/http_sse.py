"""The HTTP transport with server-sent events. It makes single attempts; callers decide about retries.

Refused tokens are renewed here, because only the transport sees the 401.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from ..errors.refusal import Refusal, read_refusal
from ..errors.transport import (
    Fault,
    TransportFault,
    as_faults,
    fault_of,
    not_events,
    silent_fault,
    transport_failures,
)
from ..http import new_request, new_router, parsed_url
from ..http.cookies import AccountCookies
from ..quota.reading import read_headers
from ..redaction import Sealed
from .base import Document
from .body_reader import BodyReader
from .compression import may_be_refused, packed, stop_compressing
from .json_values import TooManyValuesError, decode
from .sse import EventTooLargeError, SSEParser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    import httpx

    from ..http.router import Router
    from ..protocol.call import Call
    from ..protocol.events import Event
    from ..quota.values import Quota
    from ..services import ResponseHeaders, Service
    from ..settings import Settings
    from .base import Identity, SignIn

LARGEST_ERROR_BODY = 64 * 1024
LARGEST_DOCUMENT = 8 * 1024 * 1024
JSON_TIMEOUT = 10.0
# How long to wait for the end of a stream after its last event, in seconds.
DRAIN_TIMEOUT = 0.1
# After a 401: first the token on disk, if it is another one, then a renewed one.
MAX_REAUTH = 2
# Statuses with which a server may refuse a compressed body.
_UNREADABLE = {400, 415}


class HttpSseTransport:
    """Sends calls to one backend; may be used by many tasks and by several event loops in turn."""

    def __init__(self, settings: Settings, sign_in: SignIn) -> None:
        self._settings = settings
        self._service = settings.service
        self._sign_in = sign_in
        # Each loop uses only its own entry.
        self._routers: dict[asyncio.AbstractEventLoop, Router] = {}
        self._urls: dict[str, httpx.URL] = {}
        self._cookies = AccountCookies()

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[HttpResponseStream]:
        """Send one call and yield the stream of its answer; leaving always closes it."""
        silence = call.timeout or self._settings.timeout
        response = await self._post(call, silence)
        if response.status_code != 200 or not _may_be_stream(response):
            raise await self._read_refusal(response)
        async with aclosing(HttpResponseStream(response, self._service.response, silence)) as stream:
            yield stream

    async def _post(self, call: Call, silence: float) -> httpx.Response:
        """Send a call, compressed where that is possible; plain if it is refused for that."""
        body, headers = call.body(), _call_headers(call, self._service)
        content, encoding = packed(body, self._settings)
        response = await self._post_body(content, {**headers, **encoding}, silence)
        if not encoding or response.status_code not in _UNREADABLE:
            return response
        refusal = await self._read_refusal(response)
        if not may_be_refused(refusal):
            raise refusal
        response = await self._post_body(body, headers, silence)
        if response.status_code not in _UNREADABLE:
            stop_compressing(self._settings)
        return response

    async def _post_body(self, content: bytes, headers: Mapping[str, str], silence: float) -> httpx.Response:
        with as_faults(silence=silence):
            return await self._send_signed_in(
                self._pooled,
                "POST",
                self._url(self._service.responses_path),
                headers=headers,
                content=content,
                silence=silence,
            )

    async def models(self, client_version: str | None) -> Document:
        """Fetch the model list as a client of that version."""
        params = {"client_version": client_version} if client_version else {}
        return await self._fetch(self._service.models_path, params)

    async def usage(self) -> Document:
        """Fetch the limits of the account."""
        return await self._fetch(self._service.usage_path, {})

    async def _fetch(self, path: str, params: Mapping[str, str]) -> Document:
        """Fetch a JSON document on a new connection.

        Such requests are rare and often made in short-lived event loops, where a pooled connection would
        stay open.
        """
        with as_faults(silence=JSON_TIMEOUT):
            async with asyncio.timeout(JSON_TIMEOUT), new_router(LARGEST_DOCUMENT) as router:
                response = await self._send_signed_in(
                    lambda: router,
                    "GET",
                    self._url(path).copy_merge_params(params),
                    headers={"Accept": "application/json"},
                    silence=JSON_TIMEOUT,
                )
                if response.status_code != 200:
                    raise await self._read_refusal(response)
                with Sealed():
                    await response.aread()
        try:
            with Sealed():
                return Document(decode(response.content), response.headers.get("etag"))
        except TooManyValuesError as error:
            raise TransportFault(Fault.TOO_LARGE) from error
        except ValueError as error:
            raise TransportFault(Fault.NOT_JSON, detail=path) from error

    async def close(self) -> None:
        """Close the connections of the running loop; the transport can be used again afterwards."""
        router = self._routers.pop(asyncio.get_running_loop(), None)
        if router is not None:
            await router.aclose()

    def _pooled(self) -> Router:
        """Return the router of the running loop; connections of a closed loop are unusable."""
        loop = asyncio.get_running_loop()
        if loop not in self._routers:
            for closed in [known for known in self._routers if known.is_closed()]:
                self._routers.pop(closed, None)
            self._routers[loop] = new_router(None)
        return self._routers[loop]

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = parsed_url(self._settings.base_url + path)
        return self._urls[path]

    async def _send_signed_in(
        self,
        route: Callable[[], Router],
        method: str,
        url: httpx.URL,
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        silence: float,
    ) -> httpx.Response:
        """Send with the current identity; after a 401, with another one, at most MAX_REAUTH times.

        ``route`` is asked at the last moment: the transport may be closed during a renewal.
        """
        tried = [await self._sign_in.current()]
        while True:
            account = tried[-1].account_id
            with Sealed():
                request = new_request(
                    method,
                    url,
                    headers={**headers, **identity_headers(tried[-1], self._settings)},
                    content=content,
                    connect=self._settings.connect_timeout,
                    silence=silence,
                )
                self._cookies.add_to(request, account)
                response = await route().handle_async_request(request)
                self._cookies.take_from(response, account)
            if response.status_code != 401 or len(tried) > MAX_REAUTH:
                return response
            await BodyReader(response).aclose()
            tried.append(await self._sign_in.renew(*tried))

    async def _read_refusal(self, response: httpx.Response) -> Refusal:
        """Read an answer that is not a stream. If its body cannot be read, the status is enough."""
        body = bytearray()
        with suppress(*transport_failures()):
            async with asyncio.timeout(JSON_TIMEOUT):
                await _read_at_most(response, LARGEST_ERROR_BODY, into=body)
        return read_refusal(
            response.status_code,
            response.headers,
            bytes(body),
            names=self._service.response,
            now=time.time(),
        )


class HttpResponseStream:
    """An answer that has started."""

    def __init__(self, response: httpx.Response, names: ResponseHeaders, silence: float) -> None:
        self.quota: Quota | None = read_headers(response.headers, names.quota, now=time.time())
        self.models_etag: str | None = response.headers.get(names.models_etag) if names.models_etag else None
        self._headers, self._names = response.headers, names
        self._reader = BodyReader(response)
        self._silence = silence

    async def reads(self) -> AsyncGenerator[list[Event]]:
        """Yield the events that have arrived, after each read that contains any.

        Ends with the stream, even if the answer is incomplete. Raises TransportFault if the stream breaks,
        and after ``silence`` seconds without an event (a keep-alive comment is not an event); a Refusal if
        what arrived is a document, whatever its Content-Type.
        """
        parser = SSEParser()
        began = False
        beginning = bytearray()
        last = time.monotonic()
        try:
            while not parser.done and (piece := await self._reader.read_available()):
                events = parser.feed(piece)
                if events:
                    began = True
                    yield events
                    last = time.monotonic()
                    continue
                if not began:
                    beginning += piece[: LARGEST_ERROR_BODY - len(beginning)]
                if time.monotonic() - last > self._silence:
                    raise silent_fault(self._silence, began=began)
            if events := parser.close():
                began = True
                yield events
        except EventTooLargeError as error:
            raise TransportFault(Fault.EVENT_TOO_LARGE) from error.with_traceback(None)
        except transport_failures() as error:
            fault = fault_of(error, silence=self._silence, began=began)
            raise fault from error.with_traceback(None)
        if not began and (refusal := self._refusal(bytes(beginning), parser.skipped)):
            raise refusal

    def _refusal(self, beginning: bytes, skipped: int) -> Refusal | None:
        """Return what an answer without events means: a document is read, whatever its Content-Type."""
        if beginning.lstrip()[:1] in {b"{", b"[", b"<"}:
            return read_refusal(200, self._headers, beginning, names=self._names, now=time.time())
        return not_events(skipped) if skipped else None

    async def drain(self) -> None:
        """Read the end of a stream whose answer is complete, so its connection can be reused.

        The end normally follows the last event immediately.
        """
        with suppress(TimeoutError, *transport_failures()):
            async with asyncio.timeout(DRAIN_TIMEOUT):
                while await self._reader.read_available():
                    pass

    async def aclose(self) -> None:
        """Stop reading and close the response."""
        await self._reader.aclose()


def identity_headers(identity: Identity, settings: Settings) -> dict[str, str]:
    """Return the headers that say to the service who is signed in, and by which client."""
    names = settings.service.request
    headers = {"Authorization": f"Bearer {identity.access_token.reveal()}"}
    if names.account and identity.account_id:
        headers[names.account] = identity.account_id.reveal()
    if names.originator:
        headers[names.originator] = settings.originator
    if names.fedramp and identity.is_fedramp:
        headers[names.fedramp] = "true"
    return headers


def _call_headers(call: Call, service: Service) -> dict[str, str]:
    """Return the headers of one call. The prompt cache depends on the session id.

    The content type must be exactly this one (docs/backend.md, Request headers).
    """
    names = service.request
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    headers |= dict.fromkeys(names.session, call.conversation_id)
    if call.version and names.version:
        headers[names.version] = call.version
    if call.lite and names.lite:
        headers[names.lite] = "true"
    return headers


def _may_be_stream(response: httpx.Response) -> bool:
    """False for a JSON document and for a web page, such as a network's login page with status 200."""
    media_type = response.headers.get("content-type", "").lower()
    return "html" not in media_type and not media_type.startswith("application/json")


async def _read_at_most(response: httpx.Response, limit: int, *, into: bytearray) -> None:
    """Read at most ``limit`` bytes of a body; keep what arrived before a failure."""
    async with aclosing(BodyReader(response)) as body:
        while len(into) < limit and (piece := await body.read_available()):
            into += piece
    del into[limit:]
