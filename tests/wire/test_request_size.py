"""Long conversations cost what their length says, and no more."""

import time

import pytest
from amplifier_core.message_models import ChatRequest, Message
from pydantic_core import to_json

from .conversations import assistant, call_for, calls, text, thinking, tool, user


def conversation(count: int, call_id: str) -> ChatRequest:
    """A user's message, a thought with talk and a call, its result, an answer, again and again."""
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


def seconds(work) -> float:
    """The least of several runs: what the work costs when nobody else disturbs."""
    best = float("inf")
    for _ in range(7):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


@pytest.mark.parametrize("call_id", ["call_{}", "call_0", ""], ids=["unique ids", "one id for all", "no ids"])
def test_a_body_costs_linear_time(call_id):
    short, long = conversation(1000, call_id), conversation(4000, call_id)

    # Quadratic work would be 16 times as long.
    assert seconds(lambda: call_for(long).body()) < 9 * seconds(lambda: call_for(short).body())


def test_four_thousand_messages_cost_a_small_multiple_of_encoding_them():
    asked = conversation(4000, "call_{}")
    payload = call_for(asked).payload()

    # The goal is 3 on a quiet machine, see benchmarks; here only a fault of another order is caught.
    assert seconds(lambda: call_for(asked).body()) < 12 * seconds(lambda: to_json(payload))
