"""The API of the plan service: the list, calls, streams, and refusals before and in the stream."""

import json

import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from amplifier_module_provider_openai_chatgpt.simulator.plan.sharing import STATUSES
from amplifier_module_provider_openai_chatgpt.simulator.rules import PlanTerms
from amplifier_module_provider_openai_chatgpt.simulator.worlds import PLAN

from .plan import HTTP, additional, bearer, body, call, models, signed_in
from .requests import TOOL, call as function_call, result, says

pytestmark = pytest.mark.world("plan")
LIMIT = "subscription_sharing_usage_limit_exceeded"
ASK = says("use get_time")


@pytest.fixture
def tokens(sim):
    return signed_in(sim)[1]


def events(answer):
    assert answer.status_code == 200, answer.text
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def items(answer):
    return [event["item"] for event in events(answer) if event["type"] == "response.output_item.done"]


def test_the_list_has_the_models_in_the_servers_order_and_no_details(sim, tokens):
    listed = models(sim, tokens).json()["models"]
    assert [entry["slug"] for entry in listed] == [row.slug for row in PLAN.models]
    assert all(set(entry) == {"slug", "display_name", "description", "visibility"} for entry in listed)
    sim.sharing.lists_details = True
    assert "priority" in models(sim, tokens).json()["models"][0]


def test_the_list_takes_no_parameters(sim, tokens):
    """Rule sharing.list."""
    assert models(sim, tokens, client_version="0.0.0").status_code == 400


def test_an_answer_is_a_stream_without_a_content_type(sim, tokens):
    answer = call(sim, tokens)
    assert "content-type" not in answer.headers
    assert events(answer)[-1]["type"] == "response.completed"
    assert not [name for name in answer.headers if name.startswith("x-codex")]
    sim.sharing.content_type = "text/event-stream"
    assert call(sim, tokens).headers["content-type"].startswith("text/event-stream")


def test_a_tool_of_the_input_is_called_and_its_result_is_read(sim, tokens):
    answer = call(sim, tokens, body(additional(TOOL), ASK))
    [made] = [item for item in items(answer) if item["type"] == "function_call"]
    assert "namespace" not in made
    asked = function_call(made["call_id"])
    again = call(sim, tokens, body(additional(TOOL), ASK, asked, result(made["call_id"])))
    assert "noon" in again.text


def test_a_tool_of_a_namespace_is_called_with_or_without_its_name(sim, tokens):
    space = {"type": "namespace", "name": "functions", "description": "Tools.", "tools": [TOOL]}
    asked = body(ASK, tools=[space])
    found = [item.get("namespace") for item in items(call(sim, tokens, asked)) if "call_id" in item]
    sim.sharing.terms = PlanTerms(namespaced_calls=True)
    named = [item["namespace"] for item in items(call(sim, tokens, asked)) if "call_id" in item]
    assert (found, named) == ([None], ["functions"])
    replayed = function_call(namespace="functions")
    assert call(sim, tokens, body(ASK, replayed, result(), tools=[space])).status_code == 200


def test_the_prompt_cache_depends_on_the_key(sim, tokens):
    long = says("word " * 2_000)

    def cached(**fields):
        last = events(call(sim, tokens, body(long, **fields)))[-1]
        return last["response"]["usage"]["input_tokens_details"]["cached_tokens"]

    assert [cached(prompt_cache_key="one"), cached(prompt_cache_key="one") > 1_024] == [0, True]
    assert [cached(), cached()] == [0, 0]


def test_reasoning_comes_back_sealed_for_the_person(sim, tokens):
    asked = body(ASK, reasoning={"effort": "low"}, include=["reasoning.encrypted_content"])
    [thought] = [item for item in items(call(sim, tokens, asked)) if item["type"] == "reasoning"]
    replayed = {name: thought[name] for name in ("type", "summary", "encrypted_content")}
    assert call(sim, tokens, body(says("Hi"), replayed)).status_code == 200
    sim.sharing.subject = "user-other"
    refused = call(sim, signed_in(sim)[1], body(says("Hi"), replayed))
    assert refused.json()["error"]["code"] == "invalid_encrypted_content"


def code_of(answer):
    return answer.json()["error"]["code"]


def test_a_call_needs_a_valid_token_of_an_eligible_plan_with_consent(sim, tokens):
    """Rule sharing.admission."""
    assert call(sim, {"access_token": "at_unknown"}).json() == {"detail": "Unauthorized"}
    assert code_of(call(sim, sim.connect(uses_plan=False))) == "chatpass_v2_scope_not_authorized"
    assert code_of(models(sim, sim.connect(uses_plan=False))) == "chatpass_v2_scope_not_authorized"
    assert code_of(call(sim, sim.connect(plan="team"))) == "subscription_sharing_user_not_eligible"
    assert code_of(call(sim, sim.connect(expires_in=-1))) == "subscription_sharing_invalid_user"
    sim.accounts.revoke(tokens["refresh_token"])
    assert call(sim, tokens).status_code == 401
    assert call(sim, sim.connect(plan="promax")).status_code == 200


def test_other_paths_are_refused(sim, tokens):
    """Rule sharing.route."""
    for method, path in (
        ("POST", "/responses/compact"),
        ("GET", "/responses"),
        ("POST", "/chat/completions"),
    ):
        answer = HTTP.request(method, sim.base_url + path, headers=bearer(tokens))
        assert (answer.status_code, code_of(answer)) == (403, "subscription_sharing_route_not_supported")


@pytest.mark.parametrize("status", [401, 403, 503])
def test_admission_refuses_with_a_detail(sim, tokens, status):
    sim.sharing.admission = status
    for answer in (call(sim, tokens), models(sim, tokens)):
        assert answer.status_code == status
        assert list(answer.json()) == ["detail"]


@pytest.mark.parametrize("code", STATUSES)
def test_each_code_is_answered_before_the_stream_and_in_it(sim, tokens, code):
    sim.sharing.refuse(code.removeprefix("subscription_sharing_"), param="tools")
    before = call(sim, tokens)
    assert (before.status_code, code_of(before)) == (STATUSES[code], code)
    sim.sharing.refuse(code, in_stream=True)
    failed = events(call(sim, tokens))
    assert failed[-1]["type"] == "response.failed"
    assert failed[-1]["response"]["error"]["code"] == code
    assert "response.output_text.delta" in [event["type"] for event in failed]
    sim.sharing.refusal = None
    assert call(sim, tokens).status_code == 200


def test_a_used_up_limit_gives_no_time(sim, tokens):
    """Rule sharing.usage-limit."""
    sim.exhaust()
    refused = call(sim, tokens)
    assert (refused.status_code, code_of(refused)) == (429, LIMIT)
    assert "reset" not in refused.text
    assert not [name for name in refused.headers if "retry" in name or name.startswith("x-codex")]
    sim.exhaust(status=200)
    assert events(call(sim, tokens))[-1]["response"]["error"]["code"] == LIMIT


def test_an_input_beyond_the_window_is_refused_in_a_stream_without_a_type(sim, tokens):
    answer = call(sim, tokens, body(says("x" * 5_000_000)))
    assert events(answer)[-1]["response"]["error"]["code"] == "context_length_exceeded"
    assert "content-type" not in answer.headers


def test_faults_and_scripts_work_as_at_the_other_service(sim, tokens):
    sim.reply_with(Reply(items=[{"type": "message", "role": "assistant", "content": []}], end="incomplete"))
    assert events(call(sim, tokens))[-1]["type"] == "response.incomplete"
    sim.misbehave("/v1/responses", Fault(status=520, body={"retry_after": 60}))
    assert call(sim, tokens).status_code == 520
    assert call(sim, tokens).status_code == 200
    assert sim.wait_until(lambda: not sim.connections_open)


def test_a_stored_sign_in_works(sim):
    stored = sim.connect()
    assert call(sim, stored).status_code == 200
    assert stored["auth_mode"] == "chatgpt_plan"
    assert stored["client_id"] in sim.sharing.clients
    assert sim.strays == []
