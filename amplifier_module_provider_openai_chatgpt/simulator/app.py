"""The ASGI application around the routes: it records each request and sends the answer, faults included."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from contextlib import nullcontext
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request

from .backend import Backend
from .edge import challenge
from .faults import Fault
from .issuer import Issuer
from .plan.api import PlanApi
from .plan.issuer import PlanIssuer
from .recorded import Recorded
from .strays import strays
from .validation.json_body import UnreadableError, decoded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.routing import Route
    from starlette.types import Message, Receive, Scope, Send

    from .edge import Service
    from .state import State


class _Routed(Protocol):
    """What serves the paths of one host."""

    def routes(self) -> list[Route]:
        """Return the paths."""
        ...


logger = logging.getLogger(__name__)

_SERVICES: dict[tuple[str, Service], Callable[[State], _Routed]] = {
    ("codex", "backend"): Backend,
    ("codex", "issuer"): Issuer,
    ("plan", "backend"): PlanApi,
    ("plan", "issuer"): PlanIssuer,
}
_NO_FAULT = Fault()
_NO_LINGER = struct.pack("ii", 1, 0)
_FORM = "application/x-www-form-urlencoded"


class App:
    """The ASGI application of one service; a connection's transport is in the scope's ``state``."""

    def __init__(self, state: State, service: Service) -> None:
        self._state, self._service = state, service
        self._routes = Starlette(routes=_SERVICES[state.world.kind, service](state).routes())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request until it is answered or the client disconnects."""
        body = await Request(scope, receive).body()
        request = _recorded(self._service, scope, body)
        self._state.record(request)
        for sentence in strays(self._service, request, self._state.accounts):
            self._state.add_stray(sentence)
        fault = self._state.next_fault(scope["path"]) or _NO_FAULT
        is_call = self._service == "backend" and scope["path"].endswith("/responses")
        with self._state.stream_open() if is_call else nullcontext():
            answer = asyncio.create_task(self._answer(scope, body, send, fault))
            disconnect = asyncio.create_task(_disconnected(receive))
            try:
                await asyncio.wait({answer, disconnect}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                disconnect.cancel()
                await _finish(answer)

    async def _answer(self, scope: Scope, body: bytes, send: Send, fault: Fault) -> None:
        if fault.stall_before_headers:
            await self._state.stall()
        transport = scope["state"]["transport"]
        if fault.drop_connection:
            await _close_connection(transport, fault)
            return
        if fault.replaces:
            status, headers, frames = fault.replacement()
            start: Message = {"type": "http.response.start", "status": status, "headers": _raw(headers)}
        else:
            start, frames = await self._normal(scope, body)
        start = {**start, "headers": _headers(start["headers"], fault)}
        await send(start)
        await self._send_body(send, frames, fault, transport)

    async def _normal(self, scope: Scope, body: bytes) -> tuple[Message, list[bytes]]:
        """Return the routes' answer: its start message and its body, one piece per event."""
        messages: list[Message] = []

        async def read() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def keep(message: Message) -> None:
            messages.append(message)

        page = challenge(self._service, scope["path"], Headers(scope=scope))
        await (page or self._routes)(scope, read, keep)
        return messages[0], [message["body"] for message in messages[1:]]

    async def _send_body(
        self, send: Send, frames: Sequence[bytes], fault: Fault, transport: asyncio.Transport
    ) -> None:
        pieces, rest = fault.schedule(frames)
        await _send(send, pieces, fault.pace)
        if fault.stall_after_event is not None:
            await self._state.stall()
            await _send(send, rest, fault.pace)
        if not fault.cuts:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await _close_connection(transport, fault)


async def _close_connection(transport: asyncio.Transport, fault: Fault) -> None:
    if fault.reset:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.close()
    await asyncio.sleep(0)


async def _send(send: Send, pieces: Sequence[bytes], pace: float) -> None:
    for number, piece in enumerate(pieces):
        if pace and number:
            await asyncio.sleep(pace)
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    """Return when the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _finish(answer: asyncio.Task[None]) -> None:
    """Cancel the rest of an answer; an exception in it is a defect of the simulator."""
    answer.cancel()
    [outcome] = await asyncio.gather(answer, return_exceptions=True)
    if isinstance(outcome, Exception):
        logger.error("The simulator failed.", exc_info=outcome)


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _headers(headers: Sequence[tuple[bytes, bytes]], fault: Fault) -> list[tuple[bytes, bytes]]:
    """Return the headers with those of the fault; a faulty body has no known length."""
    own = {name.lower(): value for name, value in fault.headers.items()}
    encoding = {"content-encoding": "gzip"} if fault.gzip else {}
    added = _raw({"date": formatdate(usegmt=True), **own, **encoding})
    replaced = {name for name, _ in added} | ({b"content-length"} if fault is not _NO_FAULT else set())
    return [pair for pair in headers if pair[0] not in replaced] + added


def _recorded(service: Service, scope: Scope, body: bytes) -> Recorded:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    is_form = headers.get("content-type", "").startswith(_FORM)
    content = _content(body, headers.get("content-encoding", ""))
    return Recorded(
        service=service,
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"))),
        headers=headers,
        body=body,
        content=content,
        json=_parsed(content),
        form=dict(parse_qsl(content.decode("utf-8", "replace"))) if is_form else None,
        at=time.monotonic(),
        peer=scope["client"],
    )


def _content(body: bytes, encoding: str) -> bytes:
    try:
        return decoded(body, encoding)
    except UnreadableError:
        return b""


def _parsed(body: bytes) -> Any:
    try:
        return from_json(body) if body else None
    except ValueError:
        return None
