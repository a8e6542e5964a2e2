"""Bodies are unpacked as they arrive, and never beyond their bound."""

import asyncio
import gzip
import zlib

import httpx
import pytest
from hypothesis import given, strategies as st

from amplifier_module_provider_openai_chatgpt.http.bodies import PIECE, Gunzip, bounded
from amplifier_module_provider_openai_chatgpt.http.failures import BodyTooLarge, UnknownEncoding


class Pieces(httpx.AsyncByteStream):
    """A stream of these pieces that counts what was read."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.read = 0
        self.is_closed = False

    async def __aiter__(self):
        for piece in self.pieces:
            self.read += 1
            yield piece

    async def aclose(self):
        self.is_closed = True


def response(*pieces, status=200, encoding=None):
    headers = {"content-encoding": encoding} if encoding else {}
    return httpx.Response(status, headers=headers, stream=Pieces(*pieces))


def body_of(answer, largest=None):
    return asyncio.run(bounded(answer, largest).aread())


def unpacked(*pieces):
    gunzip = Gunzip()
    return [piece for packed in pieces for piece in gunzip.feed(packed)]


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(1, 50))
def test_members_in_any_cut_are_unpacked(members, size):
    packed = b"".join(map(gzip.compress, members))
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert b"".join(unpacked(*pieces)) == b"".join(members)


def test_every_flush_of_the_server_is_delivered_immediately():
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    for event in (b"one", b"two" * 100_000, b"three"):
        packed = packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        if event == b"one":
            gunzip = Gunzip()
        assert b"".join(gunzip.feed(packed)) == event


def test_no_piece_is_large():
    assert max(map(len, unpacked(gzip.compress(bytes(4_000_000))))) == PIECE


def test_what_follows_the_last_member_is_padding():
    assert b"".join(unpacked(gzip.compress(b"text") + bytes(512), b"more")) == b"text"


def test_a_bomb_ends_early():
    bomb = gzip.compress(bytes(64 * 1024 * 1024))
    size = 0
    with pytest.raises(BodyTooLarge):
        for piece in Gunzip().feed(bomb):
            size += len(piece)
    assert size < 10 * 1024 * 1024


def test_a_large_body_that_packs_well_is_accepted():
    text = b"".join(b'data: {"type": "response.output_text.delta", "n": %d}\n\n' % n for n in range(400_000))
    assert b"".join(unpacked(gzip.compress(text))) == text


def test_damaged_data_is_an_error_of_httpx():
    with pytest.raises(httpx.DecodingError):
        body_of(response(b"not gzip", encoding="gzip"))


@pytest.mark.parametrize("encoding", [None, "identity", "gzip", "x-gzip", " GZIP "])
@pytest.mark.parametrize("largest", [None, 4])
def test_known_encodings_are_read(encoding, largest):
    packed = gzip.compress(b"text") if encoding and "gzip" in encoding.lower() else b"text"
    assert body_of(response(packed, encoding=encoding), largest) == b"text"


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "gzip,identity", "é"])
def test_other_encodings_are_refused(encoding):
    answer = httpx.Response(200, headers=[(b"content-encoding", encoding.encode())], stream=Pieces(b"x"))
    with pytest.raises(UnknownEncoding):
        bounded(answer, None)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip"])
def test_of_a_failure_in_another_encoding_the_status_is_left(encoding):
    assert body_of(response(b"x", status=429, encoding=encoding)) == b""


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_a_success_beyond_its_bound_is_refused_and_a_failure_cut(encoding):
    def pack(text):
        return gzip.compress(text) if encoding else text

    with pytest.raises(BodyTooLarge):
        body_of(response(pack(b"12345"), encoding=encoding), 4)
    assert body_of(response(pack(b"12345"), status=500, encoding=encoding), 4) == b"1234"


def test_a_stream_that_needs_nothing_is_left_alone():
    answer = response(b"text")
    stream = answer.stream
    assert bounded(answer, None).stream is stream


def test_reading_stops_at_the_bound():
    answer = response(*[b"1234"] * 100, status=500)
    source = answer.stream
    assert body_of(answer, 6) == b"123412"
    assert source.read == 2
    assert source.is_closed
