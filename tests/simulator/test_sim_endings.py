"""Endings of simulated answers: cut at the output limit and continued, failed, or ended by an error."""

import json

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Reply

from .requests import classic, headers_of, result, says

RESPONSES = "/codex/responses"
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "name": "get_time", "strict": False, "parameters": CITY}


@pytest.fixture
def ask(sim):
    """Send a request and return the finished items and the last event."""
    headers = headers_of(sim.sign_in())
    with httpx.Client(base_url=sim.base_url, headers=headers, trust_env=False) as client:

        def answer(**changes):
            frames = client.post(RESPONSES, json=classic(**changes)).text.split("\n\n")
            events = [json.loads(frame.partition("data: ")[2]) for frame in frames if frame]
            done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
            return done, events[-1]

        yield answer


def text_of(item):
    return item["content"][0]["text"]


def replayed(item):
    return {name: value for name, value in item.items() if name not in {"id", "status"}}


def test_an_answer_cut_at_the_output_limit_continues_where_it_stopped(sim, ask):
    asked = [says("Tell me about owls.")]
    [whole], _ = ask(input=asked)
    sim.max_output_cut = 2
    texts, endings = [], []
    for _ in range(3):
        [item], last = ask(input=asked)
        asked.append(replayed(item))
        texts.append(text_of(item))
        endings.append(last["type"])
    assert endings == ["response.incomplete", "response.incomplete", "response.completed"]
    assert "".join(texts) == text_of(whole)
    assert all(texts)


def test_an_answer_is_cut_ahead_of_any_call_and_the_call_follows(sim, ask):
    asked = [says("What time is it in Tokyo?")]
    sim.max_output_cut = 1
    [half], last = ask(input=asked, tools=[TOOL])
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    (rest, call), _ = ask(input=[*asked, replayed(half)], tools=[TOOL])
    assert text_of(half) + text_of(rest) == "Let me check."
    assert call["type"] == "function_call"


def test_an_answer_to_a_result_can_be_cut_too(sim, ask):
    asked = [says("What time is it in Tokyo?")]
    items, _ = ask(input=asked, tools=[TOOL])
    asked += [*map(replayed, items), result(items[-1]["call_id"])]
    [whole], _ = ask(input=asked, tools=[TOOL])
    sim.max_output_cut = 1
    [half], _ = ask(input=asked, tools=[TOOL])
    [rest], _ = ask(input=[*asked, replayed(half)], tools=[TOOL])
    assert text_of(half) + text_of(rest) == text_of(whole)


def test_a_stream_may_end_in_an_error_event(sim, ask):
    limit = {"error": {"type": "usage_limit_reached"}, "status_code": 429}
    sim.reply_with(Reply(end="error", error=limit), Reply(items=[], end="error"))
    items, last = ask()
    assert items
    assert {name: last[name] for name in ("type", "error", "status_code")} == {"type": "error", **limit}
    assert ask()[0] == []


def test_the_model_may_ask_to_continue(sim, ask):
    sim.reply_with(Reply(end_turn=False))
    assert ask()[1]["response"]["end_turn"] is False
    assert "end_turn" not in ask()[1]["response"]


def test_an_error_event_may_be_followed_by_a_failed_response(sim, ask):
    error = {"error": {"code": "server_is_overloaded", "message": "At capacity."}}
    sim.reply_with(Reply(items=[], end="error", error=error, then_failed=True))
    _, last = ask()
    assert last["type"] == "response.failed"
    assert last["response"]["error"] == error["error"]


def test_an_answer_may_end_because_it_was_steered(sim, ask):
    sim.reply_with(Reply(end="incomplete", reason="steered"))
    _, last = ask()
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "steered"}
