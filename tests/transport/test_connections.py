"""Connections are reused where that costs nothing, and closed where it would cost a wait."""

import asyncio
import time

import pytest
from amplifier_core.llm_errors import LLMError

from amplifier_module_provider_openai_chatgpt.transport.body_reader import CLOSE_GRACE
from tests.event_recorder import busy_connections, eventually

from .raw_backend import HEAD, OPENING, closing, delta, provider_for, question, raw_backend


async def whole(line):
    line.send(OPENING, delta("Hello"), *closing("Hello"))
    line.end()


async def test_consecutive_calls_share_a_connection(config):
    async with raw_backend(whole) as backend, provider_for(backend, config) as provider:
        for _ in range(5):
            response = await provider.complete(question())
            assert response.text == "Hello"

    assert backend.connections == 1


async def test_a_connection_is_reused_if_its_stream_ends_soon_after_the_answer(config):
    async def in_two_pieces(line):
        line.send(OPENING, *closing("Hello"))
        await line.writer.drain()
        await asyncio.sleep(0)
        line.end()

    async with raw_backend(in_two_pieces) as backend, provider_for(backend, config) as provider:
        for _ in range(5):
            await provider.complete(question())

    assert backend.connections == 1


async def test_a_stream_that_stays_open_does_not_delay_the_answer(config):
    left = asyncio.Event()

    async def holds_on(line):
        line.send(OPENING, *closing("Hello"))
        await line.closed()
        left.set()

    async with raw_backend(holds_on) as backend, provider_for(backend, config) as provider:
        async with asyncio.timeout(5):
            response = await provider.complete(question())
            await left.wait()

    assert response.text == "Hello"


async def test_nothing_is_read_after_a_stop_sequence(config):
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


async def test_an_answer_is_valid_even_if_the_connection_breaks_right_after_it(config):
    async def breaks(line):
        line.send(OPENING, *closing("Hello"))
        line.writer.write(b"no chunk\r\n")

    async with raw_backend(breaks) as backend, provider_for(backend, config) as provider:
        assert (await provider.complete(question())).text == "Hello"
        assert (await provider.complete(question())).text == "Hello"

    assert backend.connections == 2


async def in_pieces(line):
    for events in [OPENING, delta("one ")], [delta("STOP")], closing("one STOP"):
        line.send(*events)
        await line.writer.drain()
        await asyncio.sleep(0)
    line.end()


async def at_step(step, call, *, times):
    """Cancel a call after ``step`` turns of the loop and again every two turns, ``times`` times in all.

    Returns whether the call was still running.
    """
    task = asyncio.create_task(call)
    for time_of_cancel in range(times):
        for _ in range(2 if time_of_cancel else step):
            await asyncio.sleep(0)
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    except LLMError:
        pass
    return False


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(
    ("status", "stop"),
    [
        pytest.param(b"200", [], id="an answer"),
        pytest.param(b"200", ["STOP"], id="a stop sequence"),
        pytest.param(b"503", [], id="a failure"),
        pytest.param(b"401", [], id="a sign-in refused"),
    ],
)
async def test_a_call_cancelled_at_any_step_gives_its_connection_back(config, status, stop, times):
    trouble = False

    async def answer(line):
        line.writer.write(HEAD.replace(b"200", status) if trouble else HEAD)
        await in_pieces(line)

    async with (
        raw_backend(answer, head=b"") as backend,
        provider_for(backend, config | {"max_retries": 0}) as provider,
    ):
        step, ran = 0, True
        while ran and step < 60:
            trouble = False
            await provider.complete(question())
            trouble = True
            ran = await at_step(step, provider.complete(question(stop=stop)), times=times)
            await eventually(lambda: not busy_connections(provider))
            step += 1

    assert step > 15


async def test_a_stream_that_ends_at_the_moment_its_wait_runs_out_leaves_no_connection_busy(config):
    """A stream that ended in time gives its connection to the next call; a busy machine may end one late."""
    in_time = []

    async def ends_in_a_held_up_loop(line):
        started = time.monotonic()
        line.send(OPENING, delta("one STOP"))
        await line.writer.drain()
        for _ in range(20):  # meanwhile the call begins to wait for the end
            await asyncio.sleep(0)
        in_time.append(time.monotonic() - started < CLOSE_GRACE)
        line.end()
        time.sleep(2 * CLOSE_GRACE)  # noqa: ASYNC251 - then the end and the time are up in one step of the loop

    async with raw_backend(ends_in_a_held_up_loop) as backend, provider_for(backend, config) as provider:
        while in_time.count(True) < 3:
            assert (await provider.complete(question(stop=["STOP"]))).text == "one "
            assert busy_connections(provider) == []

    assert backend.connections <= 1 + in_time.count(False)
