"""Reading an answer takes linear work, counted in function calls, which are the same on every machine."""

import asyncio
import sys
import tracemalloc
from functools import partial

import pytest
from amplifier_core import HookResult

from amplifier_module_provider_openai_chatgpt.call.events import STREAM_DELTA
from amplifier_module_provider_openai_chatgpt.response.accumulator import ResponseAccumulator
from amplifier_module_provider_openai_chatgpt.transport.sse import SSEParser
from tests.event_recorder import EventRecorder

from .raw_backend import OPENING, closing, delta, frame, provider_for, question, raw_backend

PACKET = 1400
EVENTS_PER_READ = 16


def packets(wire):
    return [wire[at : at + PACKET] for at in range(0, len(wire), PACKET)]


def count(work):
    """Count the calls of Python and C functions in ``work``, and the JSON decodings among them."""
    calls = {"all": 0, "from_json": 0}

    def note(_frame, event, function):
        if event in {"call", "c_call"}:
            calls["all"] += 1
            calls["from_json"] += event == "c_call" and function.__name__ == "from_json"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def bytes_made(parser, pieces):
    """Add up by how much each piece made the memory grow, including every copy of the data."""
    made = 0
    tracemalloc.start()
    try:
        for piece in pieces:
            before, _ = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            parser.feed(piece)
            made += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    return made


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"], ids=["LF", "CRLF"])
def test_a_large_event_is_copied_a_few_times_and_not_with_every_packet(line_end):
    wire = frame({"type": "a", "text": "0123456789abcdef" * 2**19}).replace(b"\n", line_end)

    assert bytes_made(SSEParser(), packets(wire)) < 8 * len(wire)


def test_each_packet_of_a_large_event_needs_a_few_function_calls():
    pieces = packets(frame({"type": "a", "text": "0123456789abcdef" * 2**19}))
    parser = SSEParser()

    assert count(lambda: [parser.feed(piece) for piece in pieces])["all"] < 16 * len(pieces)


def stream(deltas):
    events = [OPENING, *(delta(f"word {number} ") for number in range(deltas))]
    pieces = [events[at : at + EVENTS_PER_READ] for at in range(0, len(events), EVENTS_PER_READ)]
    return [b"".join(map(frame, piece)) for piece in pieces]


def read(pieces):
    parser, answer = SSEParser(), ResponseAccumulator()
    for piece in pieces:
        answer.feed(parser.feed(piece))


def test_each_delta_is_decoded_once_and_needs_a_few_function_calls():
    short, long = (count(partial(read, stream(size))) for size in (2_000, 20_000))

    assert long["from_json"] - short["from_json"] == 18_000
    assert long["all"] < 10.5 * short["all"]
    assert long["all"] < 15 * 20_000


async def deltas_of(answer, config, recorder):
    """Complete a call and return the texts of its deltas."""
    async with (
        raw_backend(answer) as backend,
        provider_for(backend, config, recorder.coordinator) as provider,
    ):
        await provider.complete(question())
    return [data["text"] for data in recorder.of(STREAM_DELTA)]


@pytest.mark.parametrize("apart", [False, True], ids=["in one chunk", "each in a chunk of HTTP"])
async def test_data_of_one_read_is_emitted_as_one_event_without_waiting_for_more(config, apart):
    words = [[f"{read}.{place} " for place in range(EVENTS_PER_READ)] for read in range(50)]
    recorder = EventRecorder()

    async def answer(connection):
        connection.send(OPENING)
        for number, read_ in enumerate(words):
            for piece in read_ if apart else [read_]:
                connection.send(*map(delta, [piece] if apart else piece))
            await recorder.heard(STREAM_DELTA, number + 1)
        connection.send(*closing("".join(map("".join, words))))
        connection.end()

    assert await deltas_of(answer, config, recorder) == ["".join(read_) for read_ in words]


async def test_data_that_arrives_while_a_listener_is_busy_is_emitted_together_afterwards(config):
    words = [f"{number} " for number in range(100)]
    recorder, free = EventRecorder(), asyncio.Event()

    async def wait(_event, _data):
        await free.wait()
        return HookResult()

    async def answer(connection):
        connection.send(OPENING, delta("first "))
        await recorder.heard(STREAM_DELTA)
        for word in words:
            connection.send(delta(word))
            await connection.writer.drain()
            await asyncio.sleep(0)
        free.set()
        connection.send(*closing("first " + "".join(words)))
        connection.end()

    recorder.coordinator.hooks.register(STREAM_DELTA, wait, name="busy")
    texts = await deltas_of(answer, config, recorder)

    assert "".join(texts) == "first " + "".join(words)
    assert len(texts) <= 4, "the last words may come a moment later"
