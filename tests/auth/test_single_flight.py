"""Work that many ask for runs once, and reaches all who still wait."""

import asyncio
import threading

import pytest

from amplifier_module_provider_openai_chatgpt.auth.single_flight import SingleFlight


class Work:
    """Blocks until ``gate`` is opened; notes each key it was started for."""

    def __init__(self):
        self.gate = threading.Event()
        self.started = threading.Event()
        self.keys = []

    def __call__(self, key):
        self.keys.append(key)
        self.started.set()
        self.gate.wait()
        if key == "bad":
            raise ValueError(key)
        return f"{key} {len(self.keys)}"


@pytest.fixture
def work():
    work = Work()
    yield work
    work.gate.set()


@pytest.fixture
def flights(work):
    return SingleFlight(work, name="test")


async def started(flights, work, *keys):
    """Ask for keys and return the tasks, of which at least the first has reached its thread."""
    tasks = [asyncio.create_task(flights.result(key)) for key in keys]
    await asyncio.to_thread(work.started.wait)
    return tasks


async def test_everyone_who_asks_meanwhile_gets_the_same_result(flights, work):
    tasks = await started(flights, work, "a", "a", "a")
    work.gate.set()
    assert await asyncio.gather(*tasks) == ["a 1"] * 3
    assert await flights.result("a") == "a 2"
    assert work.keys == ["a", "a"]


async def test_another_key_is_other_work(flights, work):
    tasks = await started(flights, work, "a", "b")
    work.gate.set()
    await asyncio.gather(*tasks)
    assert sorted(work.keys) == ["a", "b"]


async def test_a_failure_reaches_everyone_and_is_not_remembered(flights, work):
    tasks = await started(flights, work, "bad", "bad")
    work.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in found] == [ValueError, ValueError]
    with pytest.raises(ValueError, match="bad"):
        await flights.result("bad")
    assert work.keys == ["bad", "bad"]


async def test_a_cancelled_waiter_does_not_interrupt_the_work(flights, work):
    first, second = await started(flights, work, "a", "a")
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert first.cancelled()
    work.gate.set()
    assert await second == "a 1"


def test_the_work_outlives_the_event_loop_that_asked_for_it(flights, work):
    async def leave():
        (task,) = await started(flights, work, "a")
        task.cancel()

    async def ask_again():
        task = asyncio.create_task(flights.result("a"))
        await asyncio.sleep(0)
        work.gate.set()
        return await task

    asyncio.run(leave())
    assert asyncio.run(ask_again()) == "a 1"
