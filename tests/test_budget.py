"""Estimates of a request's tokens, with and without what the backend counted before."""

import base64
from random import Random
from statistics import mean

import pytest
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.call.estimate import estimate_call, image_tokens, text_tokens
from amplifier_module_provider_openai_chatgpt.call.token_memory import (
    MOST_CONVERSATIONS,
    MOST_COUNTS,
    TokenMemory,
)
from amplifier_module_provider_openai_chatgpt.response.response import AttemptUsage
from amplifier_module_provider_openai_chatgpt.simulator.tokens import (
    image_tokens as counted_image_tokens,
    text_tokens as counted_tokens,
)
from amplifier_module_provider_openai_chatgpt.simulator.usage import prompt_tokens
from tests.budget_conversations import CODE, RUSSIAN, Talk, picture, rows
from tests.request.conversations import assistant, call_for, request, text, thinking, user

CONVERSATIONS = 500


def measured(number):
    """Yield for each request: counted, estimated without and with memory, whether it was appended to."""
    talk, memory = Talk(Random(number), number), TokenMemory()
    talk.start()
    for turn in range(1 + number % 3):
        talk.ask()
        call = talk.call(reminder=talk.random.random() < 0.2)
        counted, parts = prompt_tokens(call.payload()), estimate_call(call)
        yield counted, parts.total, memory.estimate(call, parts), turn > 0 and not talk.changed
        memory.learn(call, talk.answer(call, counted))
        if talk.random.random() < 0.1:
            ask_aside(talk, memory)
        talk.change()


def ask_aside(talk, memory):
    """Ask for a title, as hosts do in the conversation's own session."""
    call = talk.call_for(ChatRequest(messages=[Message(role="user", content="A title, please.")]))
    memory.estimate(call, estimate_call(call))
    memory.learn(call, AttemptUsage(prompt_tokens(call.payload()), 5, 0, 1))


def test_no_estimate_of_five_hundred_conversations_is_a_tenth_too_low():
    """Compared with the simulator's count, which shares no code with the estimate."""
    requests = [request for number in range(CONVERSATIONS) for request in measured(number)]
    cold = [estimated / counted for counted, estimated, _, _ in requests]
    warm = [estimated / counted for counted, _, estimated, _ in requests]
    appended = [estimated / counted for counted, _, estimated, is_appended in requests if is_appended]
    assert len(requests) > 1.9 * CONVERSATIONS
    assert min(cold) >= 0.9
    assert min(warm) >= 0.9
    assert mean(cold) < 1.5
    assert mean(appended) < mean(cold) - 0.2


HOSTILE = {
    "single letters": "a b c d e f " * 40,
    "single digits": "1 2 3 4 5 6 " * 40,
    "capitals": "THIS IS SHOUTED AT YOU. " * 20,
    "camel case": "getTheFirstValueOfTheMap " * 20,
    "marks": "()[]{};:,.<>!?+-*/=&%$#@ " * 20,
    "one letter": "x" * 500,
    "spaces": " " * 500,
    "blank lines": "\n\n\n" * 200,
    "indentation": "\n            x = 1" * 30,
    "minified": "function(a,b){return a.b(c)?d:e||f};" * 15,
    "base64": base64.b64encode(Random(1).randbytes(400)).decode(),
    "base64 in lines": base64.encodebytes(Random(1).randbytes(400)).decode(),
    "ids": "3f2504e0-4f89-11d3-9a0c-0305e82c3301\n" * 15,
    "numbers": "0.123456789, 98765.4321, 1e-10\n" * 20,
    "JSON": rows(Random(1), 6),
    "code": CODE * 6,
    "Russian": " ".join(RUSSIAN * 8),
    "Japanese": "今日はとても天気がいいので、公園へ散歩に行きました。" * 20,
    "Hindi": "आज मौसम बहुत अच्छा है " * 25,
    "emoji": "\U0001f600\U0001f389\U0001f680" * 100,
    "half a pair": "half \ud83d of a pair " * 30,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_of_any_kind_is_not_estimated_a_tenth_too_low(name):
    words = HOSTILE[name]
    assert text_tokens(words) >= 0.9 * counted_tokens(words)


def test_the_tokens_of_a_text_grow_with_its_length():
    assert text_tokens("") == 0
    assert text_tokens(CODE * 2000) == pytest.approx(2000 * text_tokens(CODE), rel=0.02)


def test_an_image_is_estimated_by_its_size_and_one_of_unknown_size_as_a_large_one():
    urls = [f"data:image/png;base64,{picture(Random(number))['source']['data']}" for number in range(12)]
    assert all(image_tokens(url) >= counted_image_tokens(url) for url in urls)
    assert len({image_tokens(url) for url in urls}) > 2
    for odd in ("https://example.com/a.png", "data:image/png;base64,", "data:image/png;base64,AAAA", "data:"):
        assert image_tokens(odd) in {800, 1600}


def test_hidden_reasoning_counts_by_the_length_of_its_ciphertext():
    short, long = (
        estimate_call(call_for(request(user(), assistant(thinking("g" * size)), user()))).total
        for size in (400, 4400)
    )
    assert long - short == 1000


# What is remembered


def remembering(*messages, usage=None, **options):
    """Return a memory that has counted one request, and the call of that request."""
    memory, call = TokenMemory(), call_for(request(*messages), remembered={}, **options)
    memory.estimate(call, estimate_call(call))
    memory.learn(call, usage or AttemptUsage(5000, 300, 200, 2))
    return memory, call


def estimated(memory, *messages, call, **options):
    again = call_for(request(*messages), remembered={"session-1": call.conversation_id}, **options)
    return memory.estimate(again, estimate_call(again))


QUESTION = user("word " * 8000)
ANSWER = assistant(thinking("g" * 4000), text("Yes."))
NEXT = user("And then?")
APPENDED = 12


def test_the_next_request_has_the_tokens_of_the_last_one_its_answer_and_what_was_appended():
    memory, call = remembering(QUESTION)
    tokens = estimated(memory, QUESTION, ANSWER, NEXT, call=call)
    assert tokens == pytest.approx(5000 + 300 + APPENDED, abs=15)


def test_reasoning_that_is_not_replayed_does_not_count():
    memory, call = remembering(QUESTION)
    tokens = estimated(memory, QUESTION, assistant(text("Yes.")), NEXT, call=call)
    assert tokens == pytest.approx(5000 + 100 + APPENDED, abs=15)


def test_a_host_that_drops_the_answer_does_not_pay_for_it():
    memory, call = remembering(QUESTION)
    assert estimated(memory, QUESTION, NEXT, call=call) == pytest.approx(5000 + APPENDED, abs=15)


def test_an_answer_that_the_host_made_longer_is_estimated_where_it_is_longer():
    memory, call = remembering(QUESTION, usage=AttemptUsage(5000, 300, 200, 1))
    more = assistant(text("Yes."), text("word " * 1000))
    assert estimated(memory, QUESTION, more, call=call) > 5000 + 1000


def test_other_messages_are_not_mistaken_for_counted_ones_of_the_same_size():
    memory, call = remembering(user("word " * 300), usage=AttemptUsage(50, 1, 0, 1))
    assert estimated(memory, user("worn " * 300), call=call) > 300


def test_a_compacted_conversation_is_estimated_as_a_whole():
    memory, call = remembering(QUESTION, ANSWER, NEXT)
    assert estimated(memory, NEXT, call=call) < 100


def test_a_new_system_message_is_estimated_in_addition():
    memory, call = remembering({"role": "system", "content": "Be short."}, QUESTION)
    system = {"role": "system", "content": "word " * 2000}
    assert estimated(memory, system, QUESTION, call=call) > 5000 + 2000


def test_each_model_counts_for_itself():
    memory, call = remembering(QUESTION, model="gpt-5.5")
    assert estimated(memory, QUESTION, call=call, model="gpt-5.2") > 5000


def test_a_call_without_usage_leaves_what_was_known():
    memory, call = remembering(QUESTION)
    memory.learn(call, AttemptUsage(0, 0, 0, 2))
    assert estimated(memory, QUESTION, call=call) == 5000


def test_a_refused_call_is_estimated_above_the_window_and_shorter_ones_in_proportion():
    memory, call = remembering(QUESTION)
    parts = estimate_call(call)
    memory.refuse(call, parts)
    assert memory.estimate(call, parts) == call.model.context_window + 1
    half = estimated(memory, user("word " * 4000), call=call)
    assert half == pytest.approx(call.model.context_window / 2, rel=0.01)


def test_the_conversations_used_last_are_remembered():
    memory = TokenMemory()
    calls = [call_for(request(QUESTION, conversation_id=f"talk {number}")) for number in range(100)]
    parts = estimate_call(calls[0])
    for call in calls:
        memory.estimate(call, parts)
        memory.learn(call, AttemptUsage(5000, 1, 0, 1))
        memory.estimate(calls[0], parts)
    assert len(memory) == MOST_CONVERSATIONS
    assert [memory.estimate(call, parts) for call in (calls[0], calls[99], calls[1])] == [
        5000,
        5000,
        parts.total,
    ]


def test_of_one_conversation_only_the_newest_counts_are_remembered():
    memory, call = remembering(user("0 " * 100))
    for number in range(1, 50):
        other = call_for(request(user(f"{number} " * 100)), remembered={"session-1": call.conversation_id})
        memory.estimate(other, estimate_call(other))
        memory.learn(other, AttemptUsage(number, 1, 0, 1))
    assert len(memory._get(call).counted) == MOST_COUNTS
