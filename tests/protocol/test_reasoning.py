"""Encrypted reasoning is replayed to its own model and account, and never prevents an answer."""

import json

import pytest
from amplifier_core.llm_errors import InvalidRequestError
from amplifier_core.message_models import ChatRequest
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import write_tokens
from tests.hosts import assistant_turn, saved

RESPONSES = "/codex/responses"
UNREADABLE = {
    "error": {
        "message": "The encrypted content gAAA...xyz= could not be verified.",
        "type": "invalid_request_error",
        "code": "invalid_encrypted_content",
    }
}


class Dialogue:
    """Keeps the messages of a conversation as hosts do, written to a transcript and loaded each turn."""

    def __init__(self, provider):
        self.provider = provider
        self.messages = []

    async def say(self, text, **options):
        self.messages.append({"role": "user", "content": text})
        response = await self.provider.complete(self.request(), reasoning_effort="medium", **options)
        self.messages.append(assistant_turn(response))
        return response

    def request(self):
        return ChatRequest(messages=json.loads(json.dumps(saved(self.messages))))


@pytest.fixture
async def provider(config):
    provider = ChatGPTProvider({**config, "max_retries": 0})
    yield provider
    await provider.close()


def replayed(request):
    return [item["encrypted_content"] for item in request.json["input"] if item["type"] == "reasoning"]


def replays(sim):
    """The number of reasoning items in each request."""
    return [len(replayed(request)) for request in sim.requests_to(RESPONSES)]


async def test_all_reasoning_is_replayed_unchanged_in_its_place(sim, provider):
    dialogue = Dialogue(provider)
    for text in ("One", "Two", "Three"):
        await dialogue.say(text)
    last = sim.requests_to(RESPONSES)[-1]
    assert [item.get("role") or item["type"] for item in last.json["input"]] == [
        *("user", "reasoning", "assistant"),
        *("user", "reasoning", "assistant"),
        "user",
    ]
    assert set(replayed(last)) < sim.sealed
    assert all(item["summary"] for item in last.json["input"] if item["type"] == "reasoning")


async def test_another_model_gets_none_of_it_and_the_first_model_all_of_it(sim, provider):
    dialogue = Dialogue(provider)
    for model in ("gpt-6-sol", "gpt-5.6-sol", "gpt-6-sol-fast", "gpt-5.6-sol"):
        await dialogue.say("Go on", model=model)
    assert replays(sim) == [0, 0, 1, 1]
    assert len(sim.requests_to(RESPONSES)) == 4, "none was refused"


async def test_another_account_gets_none_of_it(sim, config, tmp_path):
    second = {**config, "token_file_path": str(tmp_path / "second.json")}
    write_tokens(tmp_path / "second.json", sim.sign_in(account_id="6f1c2a10-0000-4000-8000-00000000beef"))
    one, two = ChatGPTProvider(config), ChatGPTProvider(second)
    dialogue = Dialogue(one)
    for provider in (one, two, two, one):
        dialogue.provider = provider
        await dialogue.say("Go on")
    await one.close()
    await two.close()
    assert replays(sim) == [0, 0, 1, 1]
    transcript = json.dumps(dialogue.messages)
    assert "beef" not in transcript, "accounts are distinguished without being named"


async def test_unreadable_reasoning_costs_one_resend_and_is_remembered(sim, provider):
    dialogue = Dialogue(provider)
    await dialogue.say("One")
    await dialogue.say("Two")
    sim.rotate_encryption()
    assert (await dialogue.say("Three")).text
    refused, resent = sim.requests_to(RESPONSES)[2:]
    assert (len(replayed(refused)), len(replayed(resent))) == (2, 0)
    kept = [item for item in refused.json["input"] if item["type"] != "reasoning"]
    assert resent.json == {**refused.json, "input": kept}

    await dialogue.say("Four")
    await dialogue.say("Five")
    assert replays(sim)[4:] == [1, 2], "only reasoning after the refusal, at the first attempt"


WAYS = {
    "a status": Fault(status=400, body=UNREADABLE),
    "another status": Fault(status=422, body=UNREADABLE),
    "masked": Fault(status=400, body={"error": {"message": "Request blocked."}}),
    "in the stream": Fault(
        body=b"data: " + to_json({"type": "response.failed", "response": UNREADABLE}) + b"\n\n"
    ),
}


@pytest.mark.parametrize("way", WAYS)
async def test_each_form_of_the_refusal_causes_one_resend_without_reasoning(sim, provider, way):
    dialogue = Dialogue(provider)
    await dialogue.say("One")
    sim.misbehave(RESPONSES, WAYS[way])
    assert (await dialogue.say("Two")).text
    await dialogue.say("Three")
    assert replays(sim) == [0, 1, 0, 1]


async def test_a_second_refusal_is_final(sim, provider):
    dialogue = Dialogue(provider)
    await dialogue.say("One")
    sim.misbehave(RESPONSES, Fault(status=400, body=UNREADABLE), times=None)
    with pytest.raises(InvalidRequestError):
        await dialogue.say("Two")
    assert replays(sim) == [0, 1, 0]


async def test_without_reasoning_in_the_input_the_refusal_is_final(sim, provider):
    sim.misbehave(RESPONSES, Fault(status=400, body=UNREADABLE), times=None)
    with pytest.raises(InvalidRequestError):
        await Dialogue(provider).say("One")
    assert replays(sim) == [0]


async def test_a_loaded_transcript_gives_the_bytes_of_the_live_one(sim, config, provider):
    dialogue = Dialogue(provider)
    await dialogue.say("One")
    await dialogue.say("Two")
    dialogue.messages.append({"role": "user", "content": "Three"})
    live, other = ChatRequest(messages=dialogue.messages), ChatGPTProvider(config)
    await provider.complete(live, reasoning_effort="medium")
    await other.complete(dialogue.request(), reasoning_effort="medium")
    await other.close()
    first, second = sim.requests_to(RESPONSES)[2:]
    assert first.body == second.body
    assert len(replayed(second)) == 2


async def test_a_call_without_thinking_replays_earlier_reasoning(sim, provider):
    dialogue = Dialogue(provider)
    await dialogue.say("One")
    await dialogue.say("Two", extended_thinking=False)
    assert replays(sim) == [0, 1]
