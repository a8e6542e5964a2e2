"""Decompresses the body of an answer as it arrives, up to a limit.

httpx would decompress every encoding that a server names, in any number of layers and without a limit.
Here only gzip is offered and decompressed, in small pieces; other bodies are left to httpx.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from .failures import BodyTooLarge, UnknownEncoding
from .lean import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 64 * 1024
# Text of a model compresses to about 5 %; a large body that compresses to less than 1 % is a bomb.
_ALWAYS_ACCEPTED = 8 * 1024 * 1024
_LARGEST_RATIO = 100
_GZIP = {"gzip", "x-gzip"}


def bounded(response: httpx.Response, largest: int | None) -> httpx.Response:
    """Make a response return its decompressed body, at most ``largest`` bytes of it (None: no limit).

    If the body of a success is larger, reading it raises BodyTooLarge. The body of a failure is cut
    there, and empty if it cannot be decompressed, because the status is enough. Raises UnknownEncoding.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    is_plain = encoding in {"", "identity"}
    if is_plain and largest is None:
        return response
    if not is_plain and encoding not in _GZIP:
        if response.is_success:
            raise UnknownEncoding(encoding)
        largest = 0
    stream = response.stream
    if not isinstance(stream, httpx.AsyncByteStream):
        raise TypeError(type(stream))
    response.headers.pop("content-encoding", None)
    gunzip = Gunzip() if encoding in _GZIP else None
    response.stream = Body(stream, gunzip, largest, is_cut=not response.is_success)
    return response


class Body(httpx.AsyncByteStream):
    """The decompressed bytes of a stream, up to a limit. A generator would stay open after ``break``."""

    def __init__(
        self, stream: httpx.AsyncByteStream, gunzip: Gunzip | None, largest: int | None, *, is_cut: bool
    ) -> None:
        self._stream = stream
        self._packed = stream.__aiter__()
        self._gunzip = gunzip
        self._unpacked: Iterator[bytes] = iter(())
        self._left = largest
        self._is_cut = is_cut

    def __aiter__(self) -> Body:
        """Return itself, because a body is read once."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece as soon as its bytes have arrived."""
        if self._left == 0 and self._is_cut:
            raise StopAsyncIteration
        while (piece := next(self._unpacked, None)) is None:
            packed = await anext(self._packed)
            self._unpacked = self._gunzip.feed(packed) if self._gunzip else iter((packed,))
        return piece if self._left is None else self._within(piece, self._left)

    async def aclose(self) -> None:
        """Close the compressed stream."""
        await self._stream.aclose()

    def _within(self, piece: bytes, left: int) -> bytes:
        if len(piece) > left and not self._is_cut:
            raise BodyTooLarge
        self._left = max(0, left - len(piece))
        return piece[:left]


class Gunzip:
    """Decompresses gzip with any number of members, in pieces of limited size. No I/O."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._is_first = True
        self._is_over = False
        self._packed = self._unpacked = 0

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield the data in these bytes. Raises httpx.DecodingError and BodyTooLarge."""
        self._packed += len(packed)
        piece = b""
        while not self._is_over and (packed or len(piece) == PIECE):
            piece = self._unpack(packed)
            if piece:
                yield piece
            packed = self._rest()

    def _unpack(self, packed: bytes) -> bytes:
        try:
            piece = self._member.decompress(packed, PIECE)
        except zlib.error as error:
            if self._is_first:
                raise httpx.DecodingError(str(error)) from error
            self._is_over = True  # padding after the last member
            return b""
        self._unpacked += len(piece)
        if self._unpacked > max(_ALWAYS_ACCEPTED, _LARGEST_RATIO * self._packed):
            raise BodyTooLarge
        return piece

    def _rest(self) -> bytes:
        if not self._member.eof:
            return self._member.unconsumed_tail
        rest = self._member.unused_data
        self._member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._is_first = False
        return rest
