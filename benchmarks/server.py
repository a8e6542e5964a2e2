"""A loopback server that only replays prepared streams, so it is not a bottleneck.

Run as a program, it prints its ports as one line of JSON and serves until its input ends. The first part
of a request's path names the stream: ``POST /deltas-20000/codex/responses``. ``GET /`` returns how many
connections have carried a request, ``GET /received`` how many bytes their bodies had. It checks no
request; the answers of the clients are checked.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import time
from functools import lru_cache
from threading import Thread
from typing import BinaryIO

from .streams import frame, prepare

HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"content-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_123\r\n"
    b"openai-model: gpt-5.5\r\n"
    b"x-codex-plan-type: plus\r\n"
    b"x-codex-primary-used-percent: 12\r\n"
    b"x-codex-primary-window-minutes: 300\r\n"
    b"x-codex-primary-reset-at: 1790000000\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"
STAMPED = "stamped"
PAUSE = 0.02


@lru_cache(maxsize=4)
def framed(name: str) -> tuple[bytes, ...]:
    """Return the pieces of a stream, each as one HTTP chunk."""
    return tuple(map(_chunk, prepare(name).pieces))


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Server:
    """Serves each connection in a thread and counts those that request a stream."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = 0

    def listen(self, context: ssl.SSLContext | None) -> int:
        """Serve on a free port and return it."""
        listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        Thread(target=self._accept, args=(listening, context), daemon=True).start()
        return int(listening.getsockname()[1])

    def _accept(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Thread(target=self._serve, args=(connection, context), daemon=True).start()

    def _serve(self, connection: socket.socket, context: ssl.SSLContext | None) -> None:
        try:
            if context:
                connection = context.wrap_socket(connection, server_side=True)
            with connection:
                self._answer(connection)
        except (ConnectionError, ssl.SSLError):
            pass

    def _answer(self, connection: socket.socket) -> None:
        """Answer the requests of one connection until the client closes it."""
        with connection.makefile("rb") as incoming:
            for number, (path, size) in enumerate(iter(lambda: _read_request(incoming), ("", 0))):
                if path in {"/", "/received"}:
                    body = str(self.connections if path == "/" else self.received).encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                    return
                self.connections += number == 0
                self.received += size
                _replay(path.split("/")[1], connection)


def _read_request(incoming: BinaryIO) -> tuple[str, int]:
    """Read one request and return its path and the bytes of its body; empty at the end of the connection."""
    first = incoming.readline()
    head = b"".join(iter(incoming.readline, b"\r\n")) if first else b""
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    size = len(incoming.read(int(length[1]) if length else 0))
    return (first.split()[1].decode() if first else "", size)


def _replay(name: str, connection: socket.socket) -> None:
    connection.sendall(HEAD)
    if name == STAMPED:
        _stamp(connection)
        name = "small-5"
    for chunk in framed(name):
        connection.sendall(chunk)
    connection.sendall(END)


def _stamp(connection: socket.socket) -> None:
    """Pause, then send a delta whose text is the time of the machine's monotonic clock."""
    item = {"id": "msg_0", "type": "message", "role": "assistant", "content": []}
    place = {"item_id": "msg_0", "output_index": 9}
    connection.sendall(_chunk(frame({"type": "response.output_item.added", "output_index": 9, "item": item})))
    time.sleep(PAUSE)
    now = str(time.monotonic_ns())
    connection.sendall(_chunk(frame({"type": "response.output_text.delta", **place, "delta": now})))
    time.sleep(PAUSE)
    connection.sendall(_chunk(frame({"type": "response.output_item.done", "output_index": 9, "item": item})))


def main(certificate: str | None) -> None:
    """Serve plain HTTP, and TLS if a certificate (one PEM file with its key) is given."""
    server = Server()
    ports = {"http": server.listen(None)}
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        ports["https"] = server.listen(context)
    print(json.dumps(ports), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
