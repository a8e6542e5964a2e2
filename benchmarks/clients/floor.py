"""The floor: httpx, a correct split into events and orjson, nothing else; it keeps no text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import orjson

BODY = {"model": "gpt-5.5", "input": [], "stream": True, "store": False}

_client: httpx.AsyncClient | None = None


def shared() -> httpx.AsyncClient:
    """Return this process's client."""
    global _client  # noqa: PLW0603
    _client = _client or httpx.AsyncClient(timeout=60)
    return _client


class Splitter:
    """Splits bytes into SSE payloads: LF, CRLF and CR end a line, data lines are joined, others skipped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the payloads completed by ``chunk``."""
        buffer = self._rest + chunk
        if b"\r" in buffer:
            held = buffer.endswith(b"\r")
            buffer = (buffer[:-1] if held else buffer).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            buffer += b"\r" if held else b""
        *lines, self._rest = buffer.split(b"\n")
        data = self._data
        for line in lines:
            if line[:5] == b"data:":
                data.append(line[5:])  # the space that may follow is white space of the JSON as well
            elif not line and data:
                yield data[0] if len(data) == 1 else b"\n".join(data)
                data.clear()


async def stream(url: str) -> dict[str, Any]:
    """Read a stream and return the number of reads and events and the token count."""
    return await _read(shared(), url)


async def calls(url: str, count: int, *, pooled: bool = True) -> dict[str, Any]:
    """Make ``count`` calls one after another, with one client or a new client for each."""
    for _ in range(count):
        if pooled:
            result = await _read(shared(), url)
        else:
            async with httpx.AsyncClient(timeout=60) as client:
                result = await _read(client, url)
    return result


async def parallel(url: str, count: int) -> dict[str, Any]:
    """Make ``count`` calls in parallel."""
    results = await asyncio.gather(*(stream(url) for _ in range(count)))
    return results[0]


async def first_delta(url: str) -> dict[str, Any]:
    """Measure the seconds from sending the first delta to the program that reads it."""
    splitter, delays = Splitter(), list[float]()
    async with shared().stream("POST", f"{url}/codex/responses", json=BODY) as response:
        async for chunk in response.aiter_bytes():
            for event in map(orjson.loads, splitter.feed(chunk)):
                if event["type"] == "response.output_text.delta" and not delays:
                    delays.append((time.monotonic_ns() - int(event["delta"])) / 1e9)
    return {"delay": delays[0]}


async def _read(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    splitter, events, reads = Splitter(), 0, 0
    event: Any = None
    async with client.stream("POST", f"{url}/codex/responses", json=BODY) as response:
        async for chunk in response.aiter_bytes():
            reads += 1
            for payload in splitter.feed(chunk):
                event = orjson.loads(payload)
                events += 1
    return {"reads": reads, "events": events, "output_tokens": event["response"]["usage"]["output_tokens"]}
