"""The one HTTP client of the backend: headers, sign-in, 401 rescues, bounded silence.

It makes single attempts and turns every failure into a kernel error; whether to try again is decided
by its caller.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from pydantic_core import from_json

from ..errors import kernel as errors
from ..http import new_client
from .body_reader import BodyReader
from .sse import EventTooLargeError, SSEParser

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

    import httpx
    from amplifier_core.llm_errors import LLMError

    from ..protocol.call import Call
    from ..settings import Settings
    from .sse import Event

LARGEST_ERROR_BODY = 64 * 1024
LARGEST_JSON_BODY = 32 * 1024 * 1024
JSON_TIMEOUT = 10.0
# How long the end of a stream is waited for after its last event, in seconds.
LINGER = 0.1
# After a 401: another token from disk, then a renewed one.
RESCUES = 2


class Identity(Protocol):
    """What a request needs to know of the person who signed in."""

    @property
    def access_token(self) -> str:
        """Value of the bearer header."""
        ...

    @property
    def account_id(self) -> str:
        """The ChatGPT account; empty where no claim names one."""
        ...

    @property
    def plan_type(self) -> str:
        """The plan as the token names it, for messages."""
        ...

    @property
    def is_fedramp(self) -> bool:
        """True for accounts that need a header of their own."""
        ...


class SignIn(Protocol):
    """Keeps somebody signed in; ``current`` and ``renew`` raise a kernel error where that is impossible."""

    def peek(self) -> Identity | None:
        """Return who is signed in, as far as it is known offline."""
        ...

    async def current(self) -> Identity:
        """Return an identity that is expected to be accepted."""
        ...

    async def renew(self, *refused: Any) -> Identity:
        """Return another identity than those that got a 401 in one call."""
        ...


class Client:
    """Speaks to one backend; may be used by many tasks and by several event loops in turn."""

    def __init__(
        self, settings: Settings, sign_in: SignIn, known_models: Callable[[], Sequence[str]]
    ) -> None:
        """``known_models`` names models that work, for the refusal of one that does not."""
        self._settings = settings
        self._sign_in = sign_in
        self._known_models = known_models
        self._clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[ResponseStream]:
        """Send one call and yield its answer's stream, closed on leaving whatever happens."""
        silence = call.timeout or self._settings.timeout
        with errors.translated(call.model, errors.Phase.CONNECTING, silence=silence):
            response = await self._send(
                self._client(),
                "POST",
                "/codex/responses",
                headers=_call_headers(call),
                content=call.body(),
                silence=silence,
            )
        if response.status_code != 200 or not _may_be_stream(response):
            raise await self._refusal(response, call.model)
        async with aclosing(ResponseStream(response, call.model, silence)) as stream:
            yield stream

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> tuple[Any, Mapping[str, str]]:
        """Fetch a JSON document with its headers, on a connection of its own.

        Such calls are rare and come from short-lived event loops, where a pooled connection would be
        left behind.
        """
        with errors.translated(None, errors.Phase.CONNECTING, silence=JSON_TIMEOUT):
            async with (
                asyncio.timeout(JSON_TIMEOUT),
                new_client(connect=self._settings.connect_timeout, silence=JSON_TIMEOUT) as client,
            ):
                headers = {"Accept": "application/json"}
                response = await self._send(client, "GET", path, headers=headers, params=params)
                if response.status_code != 200:
                    raise await self._refusal(response, None)
                body = bytearray()
                await _read_at_most(response, LARGEST_JSON_BODY, into=body)
        try:
            return from_json(bytes(body)), response.headers
        except ValueError as error:
            raise errors.not_json(path) from error

    async def close(self) -> None:
        """Close the connections of the running loop; the client can be used again afterwards."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _client(self) -> httpx.AsyncClient:
        """The pooled client of the running loop; connections of a closed loop are beyond use."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            for closed in [one for one in self._clients if one.is_closed()]:
                self._clients.pop(closed, None)
            self._clients[loop] = new_client(
                connect=self._settings.connect_timeout, silence=self._settings.timeout
            )
        return self._clients[loop]

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
        silence: float | None = None,
    ) -> httpx.Response:
        """Send with the current identity; after a 401 with another one, until there is none."""
        request = client.build_request(
            method, self._settings.base_url + path, headers=headers, params=params, content=content
        )
        if silence is not None:
            bounds = {"read": silence, "write": silence}
            request.extensions["timeout"] = {**request.extensions["timeout"], **bounds}
        tried = [await self._sign_in.current()]
        while True:
            request.headers.update(self._identity_headers(tried[-1]))
            response = await client.send(request, stream=True)
            if response.status_code != 401 or len(tried) > RESCUES:
                return response
            await BodyReader(response).aclose()
            tried.append(await self._sign_in.renew(*tried))

    def _identity_headers(self, identity: Identity) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {identity.access_token}",
            "ChatGPT-Account-ID": identity.account_id,
            "originator": self._settings.originator,
        }
        if identity.is_fedramp:
            headers["X-OpenAI-Fedramp"] = "true"
        return headers

    def explain(self, refusal: errors.Refusal, model: str | None) -> LLMError:
        """Return the kernel error for a refusal, with the refusal as its cause."""
        person = self._sign_in.peek()
        error = errors.kernel_error(
            refusal,
            model=model,
            now=time.time(),
            plan=person.plan_type if person else None,
            extra_params=tuple(self._settings.extra_request_params),
            alternatives=self._known_models(),
        )
        error.__cause__ = refusal
        return error

    async def _refusal(self, response: httpx.Response, model: str | None) -> LLMError:
        """Judge an answer that is no stream by what of its body can be read: its status says enough."""
        body = bytearray()
        with suppress(*errors.transport_failures()):
            async with asyncio.timeout(JSON_TIMEOUT):
                await _read_at_most(response, LARGEST_ERROR_BODY, into=body)
        refusal = errors.read_refusal(response.status_code, response.headers, bytes(body), now=time.time())
        return self.explain(refusal, model)


class ResponseStream:
    """A stream of events that has begun."""

    def __init__(self, response: httpx.Response, model: str, silence: float) -> None:
        self.headers: Mapping[str, str] = response.headers
        self._reader = BodyReader(response)
        self._model = model
        self._silence = silence

    async def reads(self) -> AsyncGenerator[list[Event]]:
        """Yield the events of all that has arrived, whenever that brought any.

        Ends at the end of the stream, which need not be the end of an answer. Raises LLMTimeoutError
        after ``silence`` seconds without an event (comments that keep a connection alive are none)
        and StreamError for a broken stream.
        """
        parser = SSEParser()
        phase = errors.Phase.WAITING
        last = time.monotonic()
        try:
            while piece := await self._reader.read_available():
                events = parser.feed(piece)
                if events:
                    phase = errors.Phase.ANSWERING
                    yield events
                    last = time.monotonic()
                elif time.monotonic() - last > self._silence:
                    began = phase is errors.Phase.ANSWERING
                    raise errors.silent_stream(self._model, self._silence, began=began)
                if parser.done:
                    break
            if events := parser.close():
                phase = errors.Phase.ANSWERING
                yield events
        except EventTooLargeError as error:
            raise errors.event_too_large(self._model) from error
        except errors.transport_failures() as error:
            raise errors.transport_error(
                error, model=self._model, phase=phase, silence=self._silence
            ) from error
        if parser.skipped and phase is errors.Phase.WAITING:
            raise errors.garbage_stream(self._model, parser.skipped)

    async def drain(self) -> None:
        """Read the end of a stream that has said all: only then its connection serves the next call.

        The end follows the last event at once, or it is not waited for.
        """
        with suppress(TimeoutError, *errors.transport_failures()):
            async with asyncio.timeout(LINGER):
                while await self._reader.read_available():
                    pass

    async def aclose(self) -> None:
        """Stop reading, wherever it is."""
        await self._reader.aclose()


def _call_headers(call: Call) -> dict[str, str]:
    """Headers of one call; the session id decides which machine's prompt cache it meets.

    The content type must be exactly this one (docs/backend.md, Request headers).
    """
    headers = {
        "Accept": "text/event-stream",
        "Content-Type": "application/json",
        "session-id": call.conversation_id,
        "thread-id": call.conversation_id,
        "x-client-request-id": call.conversation_id,
    }
    if call.version:
        headers["version"] = call.version
    if call.lite:
        headers["x-openai-internal-codex-responses-lite"] = "true"
    return headers


def _may_be_stream(response: httpx.Response) -> bool:
    """False for a document or a web page, such as the login page of a network; they come with status 200."""
    media_type = response.headers.get("content-type", "").lower()
    return "html" not in media_type and not media_type.startswith("application/json")


async def _read_at_most(response: httpx.Response, limit: int, *, into: bytearray) -> None:
    """Read a body, or as much of it as ``limit`` bytes; what came before a failure is kept."""
    async with aclosing(BodyReader(response)) as body:
        while len(into) < limit and (piece := await body.read_available()):
            into += piece
    del into[limit:]
