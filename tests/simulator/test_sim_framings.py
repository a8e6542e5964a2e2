"""Framings of a stream: the events stay the same, or exactly the stated ones are lost."""

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.simulator import HARMLESS, Fault, Reply
from amplifier_module_provider_openai_chatgpt.simulator.framings import no_deltas, no_finished_items
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode, events
from amplifier_module_provider_openai_chatgpt.transport.sse import SSEParser

from .requests import classic, headers_of

RESPONSES = "/codex/responses"
TEXT = "One\u2028two\u2029three\u0085four\r\nfive"
PART = {"type": "output_text", "annotations": [], "text": TEXT}
MESSAGE = {"type": "message", "role": "assistant", "content": [PART]}
EVENTS = events([MESSAGE], response_id="resp_1", model="gpt-6-sol", usage=None)
FRAMES = [encode(event) for event in EVENTS]


def read(frames):
    parser = SSEParser()
    read = [event for frame in frames for event in parser.feed(frame)]
    return [event for event in [*read, *parser.close()] if event["type"] != "some.news"]


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_a_harmless_framing_changes_the_bytes_and_not_the_events(name):
    reframed = HARMLESS[name](FRAMES)
    assert reframed != FRAMES
    assert read(reframed) == EVENTS


@pytest.mark.parametrize(
    ("framing", "lost"),
    [(no_deltas, "response.output_text.delta"), (no_finished_items, "response.output_item.done")],
)
def test_a_lossy_framing_loses_one_type_of_event(framing, lost):
    assert read(framing(FRAMES)) == [event for event in EVENTS if event["type"] != lost]
    assert len(framing(FRAMES)) < len(FRAMES)


@pytest.fixture
def http(sim):
    headers = headers_of(sim.sign_in())
    with httpx.Client(base_url=sim.base_url, headers=headers, trust_env=False) as client:
        yield client


def test_a_reframed_stream_arrives_reframed_and_can_be_cut(sim, http):
    sim.reply_with(Reply(events=EVENTS))
    sim.misbehave(RESPONSES, Fault(framing=HARMLESS["crlf"], piece_size=3))
    assert http.post(RESPONSES, json=classic()).content == b"".join(HARMLESS["crlf"](FRAMES))


def test_all_events_but_the_last_can_be_selected(sim, http):
    sim.reply_with(Reply(events=EVENTS))
    sim.misbehave(RESPONSES, Fault(end_after_event=-1))
    assert http.post(RESPONSES, json=classic()).content == b"".join(FRAMES[:-1])


def test_a_reset_differs_from_a_normal_close(sim, http):
    sim.misbehave(RESPONSES, Fault(drop_connection=True))
    with pytest.raises(httpx.RemoteProtocolError):
        http.post(RESPONSES, json=classic())
    sim.misbehave(RESPONSES, Fault(drop_connection=True, reset=True))
    with pytest.raises(httpx.ReadError):
        http.post(RESPONSES, json=classic())
