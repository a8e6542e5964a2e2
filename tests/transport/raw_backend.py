"""A backend that sends exactly what a test writes, in the reads that the test chooses."""

import asyncio
import json
import re
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from amplifier_core.message_models import ChatRequest
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
ITEM = {"type": "message", "id": "msg_1", "role": "assistant"}
OPENING = {"type": "response.output_item.added", "output_index": 0, "item": {**ITEM, "content": []}}


def frame(event):
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def delta(text):
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return {"type": "response.output_text.delta", **place, "delta": text}


def closing(text):
    item = {**ITEM, "content": [{"type": "output_text", "text": text}]}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    return [
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"id": "resp_1", "usage": usage}},
    ]


@dataclass
class Connection:
    """One connection of a client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *events):
        """Write events as one piece, which arrives in one read."""
        self.send_bytes(b"".join(map(frame, events)))

    def send_bytes(self, piece):
        self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self):
        self.writer.write(END)

    async def closed(self):
        """Wait until the other side has closed the connection."""
        assert await self.reader.read() == b""


class RawBackend:
    """Serves each request by ``answer(line)``."""

    def __init__(self, answer, head):
        self.connections = 0
        self.url = ""
        self._answer = answer
        self._head = head

    async def serve(self, reader, writer):
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            (length,) = re.findall(rb"content-length: *(\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length))
            writer.write(self._head)
            await self._answer(Connection(reader, writer))
            await writer.drain()


@asynccontextmanager
async def raw_backend(answer, head=HEAD):
    """Run a backend on a free port of this machine."""
    backend = RawBackend(answer, head)
    async with listening(backend.serve) as port:
        backend.url = f"http://127.0.0.1:{port}"
        yield backend


@asynccontextmanager
async def listening(serve, **options):
    """Run ``serve(reader, writer)`` for each connection to a free port; yield the port.

    ``options`` are those of asyncio.start_server.

    Leaving waits until every connection is closed on both sides: close the clients before. It raises a
    failure of ``serve``, but not a connection closed by the client.
    """
    tasks: set[asyncio.Task[None] | None] = set()

    async def handle(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    [listener] = server.sockets
    try:
        yield listener.getsockname()[1]
    finally:
        asyncio.get_running_loop().remove_reader(listener.fileno())
        for _ in range(5):  # asyncio needs as many turns to run the handler of a connection it has accepted
            await asyncio.sleep(0)
        server.close()
        async with asyncio.timeout(20):
            await asyncio.gather(*filter(None, tasks))


@asynccontextmanager
async def provider_for(backend, config, hooks_of=None):
    """Yield a signed-in provider for a raw backend; close it at the end."""
    provider = ChatGPTProvider({**config, "base_url": backend.url}, hooks_of or MockCoordinator())
    try:
        yield provider
    finally:
        await provider.close()


def question(**options):
    return ChatRequest(messages=[{"role": "user", "content": "Hi"}], **options)
