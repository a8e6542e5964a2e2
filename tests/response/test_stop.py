"""Stop sequences, applied by the client: where the text is cut, and what is held back before."""

import asyncio

import pytest

from tests.event_recorder import EventRecorder, shown
from tests.transport.raw_backend import OPENING, closing, delta, provider_for, question, raw_backend


async def answer_of(config, events, stop, *, apart):
    """Complete a call whose answer is ``events``, ``apart`` each in a read of its own.

    Returns the response, and what a listener was shown of its one block.
    """
    recorder = EventRecorder()

    async def answer(connection):
        for piece in [[event] for event in events] if apart else [events]:
            connection.send(*piece)
            await connection.writer.drain()
            for _ in range(20):
                await asyncio.sleep(0)
        connection.end()

    async with (
        raw_backend(answer) as backend,
        provider_for(backend, {**config, "max_continuations": 0}, recorder.coordinator) as provider,
    ):
        response = await provider.complete(question(stop=stop))
    return response, shown(recorder.log).get(0, "")


TEXT = "one STOP two END three"
STREAMS = {
    "in one delta": [OPENING, delta(TEXT), *closing(TEXT)],
    "word by word": [OPENING, *(delta(f"{word} ") for word in TEXT.split()), *closing(TEXT)],
    "in the finished item alone": closing(TEXT),
}


@pytest.mark.parametrize("apart", [False, True], ids=["one read", "several reads"])
@pytest.mark.parametrize("stop", [["STOP", "END"], ["END", "STOP"]], ids=["in order", "in reverse"])
@pytest.mark.parametrize("framing", STREAMS)
async def test_the_sequence_that_occurs_first_in_the_text_ends_the_answer(config, framing, stop, apart):
    response, seen = await answer_of(config, STREAMS[framing], stop, apart=apart)
    assert response.text == seen == "one "


@pytest.mark.parametrize("apart", [False, True], ids=["one read", "several reads"])
@pytest.mark.parametrize(
    ("reason", "finish_reason"), [("max_output_tokens", "length"), ("content_filter", "content_filter")]
)
async def test_text_held_back_is_shown_when_the_answer_breaks_off(config, reason, finish_reason, apart):
    """The text ends with the beginning of a sequence that is never completed."""
    broken_off = {"type": "response.incomplete", "response": {"incomplete_details": {"reason": reason}}}
    events = [OPENING, delta("one "), delta("ST"), broken_off]
    response, seen = await answer_of(config, events, ["STOP"], apart=apart)
    assert response.text == seen == "one ST"
    assert response.finish_reason == finish_reason
