"""Connections are kept where that is free, and given up where it would cost a wait."""

import asyncio

from .raw_backend import OPENING, closing, delta, provider_for, question, raw_backend


async def whole(line):
    line.send(OPENING, delta("Hello"), *closing("Hello"))
    line.end()


async def test_calls_one_after_another_share_a_connection(config):
    async with raw_backend(whole) as backend, provider_for(backend, config) as provider:
        for _ in range(5):
            response = await provider.complete(question())
            assert response.text == "Hello"

    assert backend.connections == 1


async def test_the_end_of_a_stream_may_come_a_little_after_the_answer(config):
    async def in_two_pieces(line):
        line.send(OPENING, *closing("Hello"))
        await line.writer.drain()
        await asyncio.sleep(0)
        line.end()

    async with raw_backend(in_two_pieces) as backend, provider_for(backend, config) as provider:
        for _ in range(5):
            await provider.complete(question())

    assert backend.connections == 1


async def test_an_answer_is_not_kept_waiting_by_a_stream_that_stays_open(config):
    left = asyncio.Event()

    async def holds_on(line):
        line.send(OPENING, *closing("Hello"))
        await line.hung_up()
        left.set()

    async with raw_backend(holds_on) as backend, provider_for(backend, config) as provider:
        async with asyncio.timeout(5):
            response = await provider.complete(question())
            await left.wait()

    assert response.text == "Hello"


async def test_an_answer_cut_by_a_stop_sequence_is_not_read_on(config):
    left = asyncio.Event()

    async def talks_on(line):
        line.send(OPENING, delta("one STOP"))
        try:
            while not left.is_set():
                line.send(delta(" and on"))
                await line.writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            left.set()

    async with raw_backend(talks_on) as backend, provider_for(backend, config) as provider:
        async with asyncio.timeout(5):
            response = await provider.complete(question(stop=["STOP"]))
            await left.wait()

    assert response.text == "one "


async def test_an_answer_stands_even_if_the_connection_breaks_right_after_it(config):
    async def breaks(line):
        line.send(OPENING, *closing("Hello"))
        line.writer.write(b"no chunk\r\n")

    async with raw_backend(breaks) as backend, provider_for(backend, config) as provider:
        assert (await provider.complete(question())).text == "Hello"
        assert (await provider.complete(question())).text == "Hello"

    assert backend.connections == 2
