"""Two thousand calls, twenty at a time, one in ten with a fault: none leaves anything behind."""

import asyncio
import gc
import threading
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from amplifier_core.llm_errors import LLMError
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.call.events import STREAM_DELTA
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.event_recorder import RESPONSES, ask, eventually

AT_A_TIME = 20
IN_FEW_PIECES = Fault(piece_size=4000)
WARM, CALLS = 200, 2000
FAULTS = (
    Fault(status=503),
    Fault(status=429, headers={"retry-after-ms": "1"}),
    Fault(status=400, body={"error": {"message": "No."}}),
    Fault(status=401),
    Fault(drop_connection=True),
    Fault(drop_connection=True, reset=True),
    Fault(cut_after_event=9),
    Fault(cut_after_bytes=700, reset=True),
    Fault(end_after_event=-1),
    Fault(body="data: garbage\n\n"),
    Fault(gzip=True),
)


class Resources:
    """The resources of the process: file descriptors, sockets, threads, tasks, objects, memory."""

    def __init__(self):
        gc.collect()
        links = [_target(entry) for entry in Path("/proc/self/fd").iterdir()]
        self.files = len(links)
        self.sockets = sum(link.startswith("socket:") for link in links)
        self.threads = threading.active_count()
        self.tasks = len(asyncio.all_tasks())
        self.objects = len(gc.get_objects())
        self.megabytes = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def _target(entry):
    try:
        return str(entry.readlink())
    except OSError:
        return ""


@pytest.mark.long
async def test_two_thousand_calls_leave_nothing_behind(sim, config):
    """After the first 200 calls: no further descriptor, socket, thread or task, and no object per call."""
    rng = Random(0)
    outcomes: Counter[str] = Counter()
    deltas: Counter[str] = Counter()
    coordinator = MockCoordinator()

    async def count(event, data):
        deltas[event] += 1

    coordinator.hooks.register(STREAM_DELTA, count)
    provider = ChatGPTProvider(config, coordinator)
    sim.misbehave(RESPONSES, IN_FEW_PIECES, times=None)

    async def call(number):
        if number % 10 == 0:
            sim.misbehave(RESPONSES, rng.choice(FAULTS))
        try:
            await provider.complete(ask(f"Say hello for the {number}th time."))
            outcomes["ok"] += 1
        except LLMError as error:
            outcomes[type(error).__name__] += 1

    async def run(numbers):
        for start in range(numbers.start, numbers.stop, AT_A_TIME):
            await asyncio.gather(*map(call, range(start, start + AT_A_TIME)))
            sim.forget()
        await provider.close()

    await run(range(WARM))
    await eventually(lambda: not sim.connections_open)
    before = Resources()
    await run(range(WARM, CALLS))
    await eventually(lambda: Resources().sockets <= before.sockets)
    after = Resources()
    assert outcomes.total() == CALLS
    assert outcomes["ok"] > CALLS * 0.95
    assert outcomes.keys() <= {"ok", "InvalidRequestError"}
    assert deltas[STREAM_DELTA] > CALLS
    assert after.files <= before.files
    assert after.threads <= before.threads
    assert after.tasks == before.tasks == 1
    assert after.objects - before.objects < (CALLS - WARM) / 4
    assert after.megabytes - before.megabytes < 16
