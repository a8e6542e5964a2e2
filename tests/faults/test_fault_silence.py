"""A backend that sends nothing for longer than ``timeout``, or nothing but keep-alives."""

import pytest
from amplifier_core.llm_errors import LLMTimeoutError, ProviderUnavailableError

from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.stream import encode
from tests.event_recorder import ask

from .harness import ANSWER, Row, Run, rows, run_retried, run_to_its_error

SHORT = {"timeout": 0.2, "max_retries": 0}
NOTHING = "ChatGPT accepted the request but sent nothing for 1 s: try again, or raise timeout."
FELL_SILENT = "ChatGPT sent nothing for 1 s in the middle of its answer: try again."
FRAMES = tuple(encode(event) for event in ANSWER)
COMMENT = b": keep-alive\n\n"


def silent(name, says, **fault):
    config = SHORT if says == NOTHING else {**SHORT, "timeout": 0.4}
    return Row(
        name=name, fault=Fault(**fault), error=LLMTimeoutError, says=says, retryable=True, config=config
    )


TABLE = [
    silent("before the head", NOTHING, stall_before_headers=True),
    silent("before the first event", NOTHING, stall_after_event=0),
    *(silent(f"after event {count}", FELL_SILENT, stall_after_event=count) for count in (1, 13, 23)),
    silent("within the first event", NOTHING, pieces=(FRAMES[0][:30], FRAMES[0][30:]), stall_after_event=1),
    silent(
        "within a later event", FELL_SILENT, pieces=(*FRAMES[:6], FRAMES[6][:30], b""), stall_after_event=7
    ),
    silent("comments only", NOTHING, pieces=(COMMENT,) * 100, pace=0.03),
    silent("comments after an event", FELL_SILENT, pieces=(*FRAMES[:1], *(COMMENT,) * 100), pace=0.03),
    silent("blank lines only", NOTHING, pieces=(b"\n",) * 100, pace=0.03),
    silent("garbage only", NOTHING, pieces=(b"data: x\n\n",) * 100, pace=0.03),
    silent("an event without an end", NOTHING, pieces=(b'data: {"type":', *(b" ",) * 100), pace=0.03),
    silent("packed, after an event", FELL_SILENT, stall_after_event=8, gzip=True),
    Row(
        name="in the body of a refusal",
        fault=Fault(status=503, body="overl", stall_after_event=1),
        error=ProviderUnavailableError,
        says="The ChatGPT backend failed (HTTP 503): try again in a few minutes. The server says: overl",
        retryable=True,
        status=503,
        config=SHORT,
    ),
]
ONCE = {"timeout": 0.6}


@pytest.mark.parametrize("row", **rows(TABLE))
async def test_silence_ends_the_call_and_the_sentence_says_when_it_began(service, settings, row):
    await run_to_its_error(service, settings, row)


@pytest.mark.parametrize(
    "row",
    **rows(
        [
            Row(name=name, fault=fault, error=LLMTimeoutError, says=says, retryable=True, config=ONCE)
            for name, says, fault in (
                ("before the head", NOTHING, Fault(stall_before_headers=True)),
                ("before the first event", NOTHING, Fault(stall_after_event=0)),
                ("after text", FELL_SILENT, Fault(stall_after_event=16)),
            )
        ]
    ),
)
@pytest.mark.long
async def test_a_call_that_met_silence_once_is_retried(service, settings, row):
    run = await run_retried(service, settings, row)
    assert ("llm:stream_aborted" in run.names()) is (row.name == "after text")


@pytest.mark.long
async def test_a_stream_may_take_longer_than_timeout_while_events_keep_arriving(service, settings):
    """Two dozen events 50 ms apart, each in time for a bound of 0.6 s."""
    row = Row(name="slow drip", fault=Fault(pace=0.05), config={"timeout": 0.6, "max_retries": 0})
    run = await run_to_its_error(service, settings, row)
    assert run.recorder.response["duration_ms"] > 1000


async def test_the_timeout_of_a_request_takes_precedence_over_the_setting(service, settings):
    service.misbehave("/codex/responses", Fault(stall_before_headers=True))
    run = Run(service, {**settings, "timeout": 300, "max_retries": 0})
    await run.call(ask(timeout=0.05))
    assert str(run.error) == NOTHING
