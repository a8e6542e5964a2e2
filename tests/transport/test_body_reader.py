"""A body is read as it arrives: everything available in one piece, up to a limit, without losses."""

import asyncio
from typing import cast

import httpx
import pytest
from hypothesis import given, strategies as st

from amplifier_module_provider_openai_chatgpt.transport.body_reader import MAX_BUFFERED, BodyReader

SILENCE = "silence"


class Source:
    """A response: bytes arrive immediately, None is an iteration of the loop without data.

    SILENCE never ends, an error ends the body.
    """

    def __init__(self, *script):
        self.script = script
        self.given = 0
        self.closing = asyncio.Event()
        self.stream_closed = self.is_closed = False

    async def aiter_bytes(self):
        try:
            for step in self.script:
                if step is None:
                    await asyncio.sleep(0)
                elif step is SILENCE:
                    await asyncio.Event().wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    self.given += len(step)
                    yield step
        finally:
            self.closing.set()
            await idle()
            self.stream_closed = True

    async def aclose(self):
        self.is_closed = True


def reading(source):
    return BodyReader(cast("httpx.Response", source))


async def idle():
    """Let all tasks run until they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


async def read_all(reader):
    pieces = []
    while piece := await reader.read_available():
        pieces.append(piece)
    return pieces


async def test_chunks_that_arrive_together_are_one_piece():
    reader = reading(Source(b"a", b"b", None, None, None, b"c", b"d"))

    assert await read_all(reader) == [b"ab", b"cd"]


@given(st.lists(st.none() | st.binary(min_size=1, max_size=5)))
async def test_the_pieces_joined_are_the_body(script):
    reader = reading(Source(*script))

    assert b"".join(await read_all(reader)) == b"".join(filter(None, script))


async def test_the_end_is_returned_again_on_every_further_read():
    reader = reading(Source(b"a"))

    assert [await reader.read_available() for _ in range(3)] == [b"a", b"", b""]


async def test_reading_pauses_at_the_limit_and_continues_once_the_data_is_read():
    source = Source(*[bytes(1000)] * 1000)
    reader = reading(source)

    await idle()
    assert MAX_BUFFERED <= source.given < MAX_BUFFERED + 1000
    first = await reader.read_available()
    await idle()

    assert len(first) < source.given < 2 * MAX_BUFFERED + 2000
    assert len(first) + sum(map(len, await read_all(reader))) == 1_000_000


async def test_data_before_an_error_is_returned_before_the_error_is_raised():
    reader = reading(Source(b"a", b"b", OSError("gone")))

    assert await reader.read_available() == b"ab"
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            await reader.read_available()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param([b"a", SILENCE], id="waiting for more"),
        pytest.param([bytes(MAX_BUFFERED), b"a"], id="waiting to be read"),
        pytest.param([b"a", OSError("gone")], id="failed"),
        pytest.param([b"a"], id="ended"),
    ],
)
async def test_closing_closes_the_body_and_ends_the_task(script):
    source, before = Source(*script), asyncio.all_tasks()
    reader = reading(source)
    await idle()

    await reader.aclose()

    assert source.stream_closed
    assert source.is_closed
    assert asyncio.all_tasks() == before


async def test_cancelling_the_close_repeatedly_does_not_interrupt_the_cleanup():
    source = Source(b"a", SILENCE)
    reader = reading(source)
    closing = asyncio.create_task(reader.aclose())

    await source.closing.wait()
    for _ in range(3):
        closing.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await closing
    assert source.stream_closed


async def test_a_last_piece_after_the_response_was_closed_does_not_delay_closing():
    """A decoder returns such a piece, because it is flushed after the network's last byte."""
    source = Source(bytes(MAX_BUFFERED))
    source.is_closed = True
    reader = reading(source)
    await idle()

    async with asyncio.timeout(5):
        await reader.aclose()
