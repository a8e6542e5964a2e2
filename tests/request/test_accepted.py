"""Any conversation gives a request that the strict simulator accepts, in both shapes."""

import asyncio

from amplifier_core.message_models import ChatRequest
from hypothesis import given, settings, strategies as st

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.protocol.call import Call
from amplifier_module_provider_openai_chatgpt.simulator.rules import LITE_HEADER, Policy, seal
from amplifier_module_provider_openai_chatgpt.simulator.validation.request import refuse
from amplifier_module_provider_openai_chatgpt.simulator.worlds import AUGUST_2026, NOVEMBER_2026
from tests.conftest import MODEL, write_tokens

from .conversations import assistant, call_for, calls, image, request, text, thinking, tool, user
from .pictures import WEBP, b64

SERVED = [*AUGUST_2026.catalogue(), *NOVEMBER_2026.catalogue()]
MODELS = {entry["slug"]: entry for entry in SERVED if entry["slug"] in {"gpt-5.5", "gpt-5.6-sol", MODEL}}
RULES = Policy(account_id="acc-1", models=MODELS)

words = st.text(st.characters(), min_size=0, max_size=12)
ids = st.sampled_from(["c1", "c2", "", "c" * 80])
names = st.sampled_from(["look", "my.tool", "", "n" * 80, "ü"])
values = st.recursive(
    st.none() | st.booleans() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
phases = st.sampled_from([{}, {"phase": "commentary"}, {"phase": "analysis"}, {"phase": 7}])
texts = st.builds(lambda w, more: text(w, **more), words, phases)
images = st.sampled_from(
    [
        image(),
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {"type": "image", "source": {"image_url": {"url": f"data:image/webp;base64,{b64(WEBP)}"}}},
    ]
)
foreign = st.sampled_from(
    [
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "content": ["x"], "summary": ["y"]},
        {"type": "thinking", "thinking": "hm", "content": ["gAAA", "rs_1"]},
    ]
)
thoughts = st.builds(
    lambda model, account: thinking(seal("so", RULES, model), model=model, account_id=account),
    st.sampled_from(sorted(MODELS)),
    st.sampled_from(["acc-1", "acc-2"]),
)
tool_calls = st.builds(
    lambda i, n, v: {**calls(i, n), "input": v}, ids, names, st.dictionaries(words, values, max_size=2)
)
outputs = values | st.lists(texts | images, max_size=3)
results = st.builds(lambda i, v: {"type": "tool_result", "tool_call_id": i, "output": v}, ids, outputs)
blocks = st.lists(texts | images | thoughts | foreign | tool_calls | results, max_size=4)
listed = st.lists(
    st.builds(lambda i, n, v: {"id": i, "tool": n, "arguments": v}, ids, names, values)
    | st.builds(lambda i, n, w: {"id": i, "function": {"name": n, "arguments": w}}, ids, names, words),
    max_size=2,
)
kept = st.fixed_dictionaries({"thinking_block": thoughts | foreign, "tool_calls": listed})
roles = st.sampled_from(["system", "developer", "user", "assistant", "function", "tool"])
messages = st.one_of(
    st.builds(lambda role, content: {"role": role, "content": content}, roles, words | blocks),
    st.builds(lambda content, extra: assistant(*content, tool_calls=extra), blocks, listed),
    st.builds(lambda words, extra: {**user(words), "role": "assistant", **extra}, words, kept),
    st.builds(lambda n, w: {"role": "function", "name": n, "content": w}, names, words),
    st.builds(tool, ids, words | blocks),
)
conversations = st.lists(messages, max_size=10).map(lambda some: [*some, user("and now?")])
tools = st.lists(
    st.builds(lambda n, w: {"name": n, "parameters": {}, "description": w}, names, words), max_size=3
)
quick = settings(max_examples=80)


def refusal(call: Call):
    headers = {
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "session-id": call.conversation_id,
    }
    if call.lite:
        headers[LITE_HEADER] = "true"
    return refuse(call.payload(), headers, RULES)


@quick
@given(conversations, tools, st.sampled_from([None, "low", "ultra"]), st.sampled_from(sorted(MODELS)))
def test_any_conversation_is_accepted(conversation, specs, effort, model):
    asked = ChatRequest(messages=conversation, tools=specs, reasoning_effort=effort)
    call = call_for(asked, model=model)

    assert refusal(call) is None
    assert refusal(call.without_reasoning()) is None
    if MODELS[model].get("use_responses_lite"):
        assert refusal(call.as_lite()) is None


def test_any_conversation_is_answered_over_the_socket(sim, config, token_file):
    """As above, over the whole path from request to answer."""
    write_tokens(token_file, sim.sign_in(account_id="acc-1"))
    provider = ChatGPTProvider(config)
    thought = assistant(thinking(seal("so", RULES, MODEL), model=MODEL))
    with asyncio.Runner() as runner:

        @settings(max_examples=25)
        @given(conversations, tools)
        def answers(conversation, specs):
            asked = ChatRequest(messages=[user(), thought, *conversation], tools=specs)
            response = runner.run(provider.complete(asked, model=MODEL))
            assert response.text or response.tool_calls

        answers()
        runner.run(provider.close())
    assert all(sent.json["input"][1]["type"] == "reasoning" for sent in sim.requests_to("/codex/responses"))


def test_the_simulator_would_refuse_reasoning_of_another_account():
    foreign = assistant(thinking(seal("so", Policy("acc-2", MODELS), MODEL), model=MODEL))
    refused = refusal(call_for(request(user(), foreign, user()), model=MODEL))

    assert refused is not None
    assert refused.body["error"]["code"] == "invalid_encrypted_content"
