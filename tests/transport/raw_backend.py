"""A backend that says exactly what a test writes, in the network reads that the test decides."""

import asyncio
import json
import re
from contextlib import asynccontextmanager
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
class Line:
    """One connection while it is answered."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *events):
        """Write events as one piece, and so as one read."""
        self.send_bytes(b"".join(map(frame, events)))

    def send_bytes(self, piece):
        self.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self):
        self.writer.write(END)

    async def hung_up(self):
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
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                (length,) = re.findall(rb"content-length: *(\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length))
                writer.write(self._head)
                await self._answer(Line(reader, writer))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw_backend(answer, head=HEAD):
    """Run a backend on a free port of this machine."""
    backend = RawBackend(answer, head)
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    backend.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield backend
    finally:
        server.close()


@asynccontextmanager
async def provider_for(backend, config, hooks_of=None):
    """A signed-in provider for a raw backend, closed at the end."""
    provider = ChatGPTProvider({**config, "base_url": backend.url}, hooks_of or MockCoordinator())
    try:
        yield provider
    finally:
        await provider.close()


def question(**options):
    return ChatRequest(messages=[{"role": "user", "content": "Hi"}], **options)
