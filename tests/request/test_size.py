"""The cost of building a body grows linearly with the conversation."""

import sys

import pytest
from amplifier_core.message_models import ChatRequest, Message

from .conversations import assistant, call_for, calls, text, thinking, tool, user


def conversation(count: int, call_id: str) -> ChatRequest:
    """Turns of question, text with a call, result and answer, up to ``count`` messages."""
    turns = [
        [
            user(f"{number} " + "please " * 40),
            assistant(thinking("g" * 800), text("looking " * 20), calls(call_id.format(number), at=number)),
            tool(call_id.format(number), "result " * 100),
            assistant(text("answer " * 20)),
        ]
        for number in range(count // 4)
    ]
    return ChatRequest(messages=[Message(**message) for turn in turns for message in turn])


def steps(work) -> int:
    """Count the calls of Python and C functions in ``work``; the same on every machine."""
    count = 0

    def note(_frame, event, _arg):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("call_id", ["call_{}", "call_0", ""], ids=["unique ids", "one id for all", "no ids"])
def test_a_body_costs_a_constant_number_of_steps_per_message(call_id):
    short, long = conversation(400, call_id), conversation(4000, call_id)
    cost = steps(lambda: call_for(long).body())

    assert cost < 10.5 * steps(lambda: call_for(short).body())
    assert cost < 60 * len(long.messages)
