"""Conversations that outgrow the window, in a loop that asks for budgets: with our answers they go on."""

import math

import pytest
from amplifier_core.llm_errors import ContextLengthError, RateLimitError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.call.budget import LONGEST_TEXT
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.usage import prompt_tokens
from tests.budget_loop import BudgetLoop, ShorteningContext, WithoutBudgets, is_valid
from tests.event_recorder import RESPONSES
from tests.hosts import assistant_turn

WINDOW = 12_000
SYSTEM = {"role": "system", "content": "You are a careful assistant. " * 20}
TURNS = 8


def page(number):
    """Around 2,200 tokens."""
    return " ".join(f"Line {number}.{line}: the meeting was moved to Tuesday." for line in range(150))


def call_with_result(text):
    call = {"type": "tool_call", "id": "call_1", "name": "read", "input": {}}
    result = {"role": "tool", "tool_call_id": "call_1", "name": "read", "content": text}
    return {"role": "assistant", "content": [call]}, result


def narrow(sim, tokens):
    for model in sim.models:
        model["context_window"] = model["max_context_window"] = tokens


@pytest.fixture
async def provider(sim, config, in_use):
    """A provider that knows the list of models, whose windows are small."""
    narrow(sim, WINDOW)
    provider = in_use({**config, "max_retries": 0})
    await provider.list_models()
    return provider


async def converse(loop):
    for number in range(TURNS):
        assert await loop.say(f"{page(number)} What was moved?")


async def test_a_conversation_that_outgrows_the_window_goes_on_and_none_of_its_calls_is_refused(
    sim, provider
):
    loop = BudgetLoop(provider, ShorteningContext(SYSTEM))
    await converse(loop)
    assert loop.context.budgets
    assert loop.recoveries == 0
    assert len(sim.requests_to(RESPONSES)) == TURNS


async def test_the_same_conversation_ends_without_our_answers(provider):
    loop = BudgetLoop(WithoutBudgets(provider), ShorteningContext(SYSTEM))
    with pytest.raises(ContextLengthError, match="too long for the model"):
        await converse(loop)


async def test_a_loop_that_only_recovers_survives_every_overflow(sim, provider):
    loop = BudgetLoop(provider, ShorteningContext(SYSTEM), asks_first=False)
    await converse(loop)
    assert loop.recoveries > 1
    assert len(sim.requests_to(RESPONSES)) == TURNS + loop.recoveries


async def test_an_overflow_that_was_not_expected_is_recovered_too(sim, provider):
    """The backend's window is smaller than the list says, as after a change that is not known here yet."""
    narrow(sim, WINDOW * 3 // 4)
    loop = BudgetLoop(provider, ShorteningContext(SYSTEM))
    await converse(loop)
    assert loop.recoveries > 0


@pytest.mark.parametrize("code", ["string_above_max_length", "context_length_exceeded"])
async def test_a_text_with_too_many_characters_is_recovered(sim, config, in_use, code):
    """In the default window such a text fits by its tokens."""
    provider = in_use({**config, "max_retries": 0})
    context = ShorteningContext(
        SYSTEM, {"role": "user", "content": "Read it."}, *call_with_result("x" * (LONGEST_TEXT + 100))
    )
    message = "Invalid 'input[2].output': string too long."
    sim.misbehave(RESPONSES, Fault(status=400, body={"error": {"code": code, "message": message}}))
    loop = BudgetLoop(provider, context, asks_first=False)
    assert await loop.say("And now?")
    assert loop.recoveries == 1
    texts = [item.get("output", "") for item in sim.requests_to(RESPONSES)[-1].json["input"]]
    assert 0 < max(map(len, texts)) < LONGEST_TEXT


async def test_tools_that_leave_no_room_end_the_turn_without_a_call(sim, provider):
    """No shorter conversation would help."""
    schema = {"type": "object", "properties": {f"field_{n}": {"type": "string"} for n in range(900)}}
    tools = [{"name": f"tool_{n}", "description": page(n), "parameters": schema} for n in range(4)]
    loop = BudgetLoop(provider, ShorteningContext(SYSTEM), tools=tools)
    with pytest.raises(ContextLengthError, match="cannot retain"):
        await loop.say("Hello.")
    assert not sim.requests_to(RESPONSES)


# The methods by themselves


def ask(*messages):
    return ChatRequest(messages=[Message(**message) for message in messages])


HELLO = ask({"role": "user", "content": "Hello."})
LONG = ask(SYSTEM, *({"role": "user", "content": page(number)} for number in range(9)))
TOO_LONG = ContextLengthError("too long")


def test_the_limit_is_the_effective_share_of_the_models_window(sim, config, in_use):
    """272,000 tokens while no list is known, of which input may fill 95 percent."""
    assert in_use(config).request_budget(HELLO, context_estimate=5)["input_limit_tokens"] == 258_400


async def test_the_limit_follows_the_list_of_models(sim, config, in_use):
    sim.models[0] |= {"slug": "gpt-half", "context_window": 100_000, "effective_context_window_percent": 50}
    provider = in_use(config)
    await provider.list_models()
    asked = provider.request_budget(HELLO, context_estimate=5, request_options={"model": "gpt-half"})
    assert asked["input_limit_tokens"] == 50_000


async def test_after_an_answer_the_estimate_starts_from_the_backends_count(sim, provider):
    request = ask({"role": "user", "content": page(1)})
    before = provider.request_budget(request, context_estimate=1000)["estimated_input_tokens"]
    response = await provider.complete(request)
    counted = response.usage.input_tokens
    again = provider.request_budget(request, context_estimate=1000)["estimated_input_tokens"]
    assert again == counted < before


async def test_after_a_continued_answer_the_count_of_its_last_request_is_used(sim, provider):
    """The usage of the response is the sum of two requests."""
    messages = [{"role": "user", "content": page(1)}]
    provider.request_budget(ask(*messages), context_estimate=1000)
    sim.max_output_cut = 1
    response = await provider.complete(ask(*messages))
    answered = ask(*messages, assistant_turn(response))
    budget = provider.request_budget(answered, context_estimate=1000)
    await provider.complete(answered)
    bodies = [request.json for request in sim.requests_to(RESPONSES)]
    assert len(bodies) == 3
    assert budget["estimated_input_tokens"] == pytest.approx(prompt_tokens(bodies[2]), abs=20)
    assert response.usage.input_tokens > 1.5 * budget["estimated_input_tokens"]


async def test_nothing_is_remembered_for_hosts_that_never_ask(provider):
    await provider.complete(HELLO)
    assert len(provider._tokens) == 0


@pytest.mark.parametrize("estimate", [0, -5, math.nan, math.inf, True, None, "many", 10**400])
def test_an_unusable_count_of_the_loop_is_replaced_with_our_own(provider, estimate):
    assert is_valid(provider.request_budget(LONG, context_estimate=estimate))
    recovered = provider.recover_context_overflow(LONG, TOO_LONG, context_estimate=estimate)
    assert is_valid(recovered)
    assert recovered["estimated_input_tokens"] > recovered["input_limit_tokens"]


@pytest.mark.parametrize("error", [RateLimitError("busy"), ValueError("x"), None])
def test_only_an_overflow_is_recovered(provider, error):
    assert provider.recover_context_overflow(LONG, error, context_estimate=1000) is None


def test_a_request_that_cannot_be_sent_has_no_budget(provider):
    """The call itself says what is wrong with it."""
    empty = ask({"role": "user", "content": ""})
    assert provider.request_budget(empty, context_estimate=10) is None
    assert provider.recover_context_overflow(empty, TOO_LONG, context_estimate=10) is None


async def test_a_newest_message_beyond_ten_million_characters_has_a_budget_to_shorten_it(provider):
    request = ask({"role": "user", "content": "x" * 10_485_761})
    with pytest.raises(ContextLengthError) as raised:
        await provider.complete(request)
    budget = provider.recover_context_overflow(request, raised.value, context_estimate=2_621_440)
    assert is_valid(budget)
    assert 0 < budget["context_token_budget"] * 4 < LONGEST_TEXT


async def test_later_estimates_are_corrected_after_an_overflow_until_the_next_answer(provider):
    small = {"request": HELLO, "context_estimate": 100}
    provider.recover_context_overflow(HELLO, TOO_LONG, context_estimate=100)
    assert provider.request_budget(**small)["estimated_input_tokens"] > WINDOW
    await provider.complete(HELLO)
    assert provider.request_budget(**small)["estimated_input_tokens"] < 100


def test_signed_out_and_without_a_list_a_budget_is_still_given(config, in_use, tmp_path):
    signed_out = in_use({**config, "token_file_path": str(tmp_path / "none.json")})
    assert is_valid(signed_out.request_budget(HELLO, context_estimate=5))
