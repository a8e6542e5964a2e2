"""No answer fills the memory: compressed data, JSON that is larger in memory, or an endless head."""

import asyncio
import gzip
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bomb_child import ENDPOINTS
from .raw_backend import delta, frame, listening

MB = 2**20
CHILD = "tests.transport.bomb_child"
ROOT = Path(__file__).parents[2]
ITEMS = b"{}," * (MB // 3)
DELTAS = frame(delta("a" * 1000)) * 1000


def compressed(opening: bytes, repeated: bytes, megabytes: int) -> Iterator[bytes]:
    """Yield one gzip member: the opening, then the repeated data, each time in a few bytes."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    yield compressor.compress(opening + repeated) + compressor.flush(zlib.Z_FULL_FLUSH)
    again = compressor.compress(repeated) + compressor.flush(zlib.Z_FULL_FLUSH)
    for _ in range(megabytes * MB // len(repeated)):
        yield again


def repeated(opening: bytes, piece: bytes, megabytes: int) -> Iterator[bytes]:
    yield opening
    for _ in range(megabytes * MB // len(piece)):
        yield piece


# For each the Content-Encoding and the body.
BOMBS = {
    "nothing": lambda: ("", iter([b"{}"])),
    "2 GB of zeros in gzip": lambda: ("gzip", compressed(b"", bytes(MB), 2048)),
    "2 GB of deltas in gzip": lambda: ("gzip", compressed(b"", DELTAS, 2048)),
    "2 GB of objects in gzip": lambda: ("gzip", compressed(b"[", ITEMS, 2048)),
    "2 GB in members of gzip": lambda: ("gzip", repeated(b"", gzip.compress(bytes(MB)), 2)),
    "gzip in gzip": lambda: ("gzip, gzip", iter([gzip.compress(gzip.compress(bytes(64 * MB)))])),
    "brotli": lambda: ("br", iter([bytes(3000)])),
    "30 MB of objects": lambda: ("", repeated(b"[", ITEMS, 30)),
    "7 MB of objects": lambda: ("", iter([b"[", *[ITEMS] * 7, b"{}]"])),
    "30 MB of objects in an event": lambda: ("", repeated(b'data: {"type": "a", "x": [', ITEMS, 30)),
    "11 MB of objects in an event": lambda: (
        "",
        iter([b'data: {"type": "a", "x": [', *[ITEMS] * 11, b"{}]}\n\n"]),
    ),
    "a head without end": lambda: ("x\r\n" + "x-more: 0123456789\r\n" * 500_000 + "x-last: x", iter([])),
}
SHORT = ("2 GB of zeros in gzip", "gzip in gzip", "30 MB of objects")
LONG = tuple(name for name in BOMBS if name != "nothing")


async def serve(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = re.findall(rb"(?i)content-length: (\d+)", head) or [0]
    await reader.readexactly(int(length))
    _, status, name, *path = head.split()[1].decode().split("/")
    encoding, body = BOMBS[name.replace("-", " ")]()
    kind = "text/event-stream" if path[-1:] == ["responses"] else "application/json"
    writer.write(f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nconnection: close\r\n".encode())
    writer.write(f"content-encoding: {encoding}\r\n\r\n".encode() if encoding else b"\r\n")
    for piece in body:
        writer.write(piece)
        await writer.drain()


async def run_client(*bombs):
    """Run the client in a new process; return bomb, endpoint, what was raised, and the growth of memory."""
    async with listening(serve) as port:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", CHILD, f"http://127.0.0.1:{port}"),
            *(bomb.replace(" ", "-") for bomb in bombs),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        lines = (await child.communicate())[0].splitlines()
    return [json.loads(line) for line in lines][len(ENDPOINTS) :]


def assert_bounded(found, bombs):
    assert len(found) == len(bombs) * len(ENDPOINTS)
    grown = {(bomb, endpoint): peak // MB for bomb, endpoint, _, peak in found if peak >= 64 * MB}
    assert not grown
    kinds = {raised.partition(":")[0] for _, _, raised, _ in found}
    assert kinds <= {
        "",
        "TransportFault",
        "Refusal",
        "SignInError",
        "RefreshRefusedError",
        "CheckFailedError",
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports a process's own peak")
async def test_no_answer_needs_64_mb_at_any_endpoint():
    bombs = [f"200/{name}" for name in SHORT]
    found = await run_client(*bombs)
    assert_bounded(found, bombs)
    raised_by = {(bomb.partition("/")[2], endpoint): raised for bomb, endpoint, raised, _ in found}
    assert raised_by["gzip-in-gzip", "call"] == "TransportFault: encoding"
    assert raised_by["30-MB-of-objects", "models"] == "TransportFault: too large"
    assert "is too large to read" in raised_by["2-GB-of-zeros-in-gzip", "refresh"]


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports a process's own peak")
@pytest.mark.parametrize("status", [200, 401, 429, 503])
async def test_no_bomb_needs_64_mb_with_any_status(status):
    bombs = [f"{status}/{name}" for name in LONG]
    assert_bounded(await run_client(*bombs), bombs)
