"""Records every event that the provider emits, with the kernel's own hook registry."""

import asyncio

from amplifier_core import HookResult
from amplifier_core.message_models import ChatRequest, Message
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt.call.events import (
    EVENTS,
    STREAM_ABORTED,
    STREAM_DELTA,
    STREAM_END,
    STREAM_START,
)

RESPONSES = "/codex/responses"


class EventRecorder:
    """Records every event in order; ``react`` is called with each before the next one can arrive."""

    def __init__(self, react=None):
        self.coordinator = MockCoordinator()
        self.log = []
        self._react = react
        self._changed = asyncio.Condition()
        for event in EVENTS:
            self.coordinator.hooks.register(event, self._hear, name=f"recorder:{event}")

    async def _hear(self, event, data):
        self.log.append((event, data))
        if self._react:
            self._react(event, data)
        async with self._changed:
            self._changed.notify_all()
        return HookResult()

    @property
    def names(self):
        return [event for event, _ in self.log]

    def of(self, event):
        return [data for name, data in self.log if name == event]

    @property
    def response(self):
        """The one ``llm:response``."""
        [payload] = self.of("llm:response")
        return payload

    async def heard(self, event, times=1):
        """Wait until an event has been recorded ``times`` times."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: self.names.count(event) >= times)


def ask(text="Say hello.", **options):
    return ChatRequest(messages=[Message(role="user", content=text)], **options)


async def stalled(sim):
    """Wait until the simulator has stalled an answer; only then can it be released."""
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)


def pooled(router):
    """Return a router's connections of all routes."""
    return [one for route in router._routes.values() for one in route._pool.connections]


def busy_connections(provider):
    """Return the connections that are in use, or were not returned to the pool."""
    return [
        connection
        for router in provider.transport._routers.values()
        for connection in pooled(router)
        if not connection.is_idle()
    ]


async def eventually(condition, seconds=10):
    """Wait until a condition is true for which there is no event."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


def assert_coherent(log):
    """Check what is true of the events of every call, however it ended."""
    names = [event for event, _ in log]
    assert names.count("llm:request") == names.count("llm:response") == 1
    assert (names[0], names[-1]) == ("llm:request", "llm:response")
    assert len({data["request_id"] for _, data in log}) == 1
    display = _displayed(log)
    display.assert_complete()
    assert log[-1][1]["status"] == "ok" or not display.deltas, "text of a failed call is discarded"


def blocks(log):
    """Return kind and text of each block that was not discarded, in order."""
    display = _displayed(log)
    return [(kind, display.texts.get(index, "")) for index, kind in enumerate(display.started)]


def shown(log):
    """Return the text of each block that was not discarded and has any, by its index."""
    return _displayed(log).texts


def _displayed(log):
    display = _Display()
    for event, data in log:
        display.show(event, data)
    return display


class _Display:
    """Shows blocks by index, as a user interface does; an abort discards them all."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.started, self.ended = [], set()
        self.deltas, self.texts = {}, {}

    def show(self, event, data):
        index = data.get("block_index")
        if event == STREAM_START:
            assert index == len(self.started), "blocks are numbered in order"
            self.started.append(data["block_type"])
        elif event == STREAM_END:
            self.assert_open(index)
            self.ended.add(index)
        elif event == STREAM_DELTA:
            assert data["text"], "no empty delta"
            self.assert_open(index)
            assert data["sequence"] == self.deltas.get(index, 0)
            self.deltas[index] = data["sequence"] + 1
            self.texts[index] = self.texts.get(index, "") + data["text"]
        elif event == STREAM_ABORTED:
            assert self.deltas, "an abort needs text to discard"
            self.assert_complete()
            self.clear()
        elif event == "provider:retry":
            assert not self.deltas, "text of a failed attempt is discarded"
            self.assert_complete()
            self.clear()

    def assert_open(self, index):
        assert index < len(self.started)
        assert index not in self.ended

    def assert_complete(self):
        assert len(self.ended) == len(self.started), "every block that started has ended"
