"""Connections are reused if that needs no wait, and closed otherwise."""

import asyncio
import time

import pytest
from amplifier_core.llm_errors import LLMError

from amplifier_module_provider_openai_chatgpt.transport.body_reader import CLOSE_GRACE
from tests.event_recorder import busy_connections, eventually

from .raw_backend import HEAD, OPENING, closing, delta, provider_for, question, raw_backend


async def full_answer(connection):
    connection.send(OPENING, delta("Hello"), *closing("Hello"))
    connection.end()


async def test_consecutive_calls_share_a_connection(config):
    async with raw_backend(full_answer) as backend, provider_for(backend, config) as provider:
        for _ in range(5):
            response = await provider.complete(question())
            assert response.text == "Hello"

    assert backend.connections == 1


async def test_a_connection_is_reused_if_its_stream_ends_soon_after_the_answer(config):
    async def in_two_pieces(connection):
        connection.send(OPENING, *closing("Hello"))
        await connection.writer.drain()
        await asyncio.sleep(0)
        connection.end()

    async with raw_backend(in_two_pieces) as backend, provider_for(backend, config) as provider:
        for _ in range(5):
            await provider.complete(question())

    assert backend.connections == 1


async def test_a_stream_that_stays_open_does_not_delay_the_answer(config):
    closed = asyncio.Event()

    async def stays_open(connection):
        connection.send(OPENING, *closing("Hello"))
        await connection.closed()
        closed.set()

    async with raw_backend(stays_open) as backend, provider_for(backend, config) as provider:
        async with asyncio.timeout(5):
            response = await provider.complete(question())
            await closed.wait()

    assert response.text == "Hello"


async def test_an_answer_that_goes_on_after_a_stop_sequence_is_closed(config):
    closed = asyncio.Event()

    async def keeps_sending(connection):
        connection.send(OPENING, delta("one STOP"))
        try:
            while not closed.is_set():
                connection.send(delta(" and on"))
                await connection.writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            closed.set()

    async with raw_backend(keeps_sending) as backend, provider_for(backend, config) as provider:
        async with asyncio.timeout(5):
            response = await provider.complete(question(stop=["STOP"]))
            await closed.wait()

    assert response.text == "one "


async def test_an_answer_is_valid_even_if_the_connection_breaks_right_after_it(config):
    async def breaks(connection):
        connection.send(OPENING, *closing("Hello"))
        connection.writer.write(b"no chunk\r\n")

    async with raw_backend(breaks) as backend, provider_for(backend, config) as provider:
        assert (await provider.complete(question())).text == "Hello"
        assert (await provider.complete(question())).text == "Hello"

    assert backend.connections == 2


async def in_pieces(connection):
    for events in [OPENING, delta("one ")], [delta("STOP")], closing("one STOP"):
        connection.send(*events)
        await connection.writer.drain()
        await asyncio.sleep(0)
    connection.end()


async def cancel_at_step(step, call, *, times):
    """Cancel a call after ``step`` iterations of the loop and again every two, ``times`` times in total.

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
async def test_a_call_cancelled_at_any_step_returns_its_connection(config, status, stop, times):
    is_faulty = False

    async def answer(connection):
        connection.writer.write(HEAD.replace(b"200", status) if is_faulty else HEAD)
        await in_pieces(connection)

    async with (
        raw_backend(answer, head=b"") as backend,
        provider_for(backend, config | {"max_retries": 0}) as provider,
    ):
        step, ran = 0, True
        while ran and step < 60:
            is_faulty = False
            await provider.complete(question())
            is_faulty = True
            ran = await cancel_at_step(step, provider.complete(question(stop=stop)), times=times)
            await eventually(lambda: not busy_connections(provider))
            step += 1

    assert step > 15


async def test_a_stream_that_ends_exactly_at_the_timeout_leaves_no_connection_in_use(config):
    """If the stream ended in time, its connection is reused; on a busy machine one may end late."""
    in_time = []

    async def ends_late(connection):
        started = time.monotonic()
        connection.send(OPENING, delta("one STOP"))
        await connection.writer.drain()
        for _ in range(20):  # meanwhile the call starts to wait for the end
            await asyncio.sleep(0)
        in_time.append(time.monotonic() - started < CLOSE_GRACE)
        connection.end()
        time.sleep(2 * CLOSE_GRACE)  # noqa: ASYNC251 - so the end and the timeout come in one iteration

    async with (
        raw_backend(ends_late) as backend,
        provider_for(backend, config) as provider,
    ):
        while in_time.count(True) < 3:
            assert (await provider.complete(question(stop=["STOP"]))).text == "one "
            assert busy_connections(provider) == []

    assert backend.connections <= 1 + in_time.count(False)
