"""The simulated backend: authentication, the catalogue by client version, limits, scripted answers."""

import json
import time
from email.utils import parsedate_to_datetime

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply

from .requests import headers_of, says

RESPONSES = "/codex/responses"
SESSION = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"


@pytest.fixture
def http(sim):
    with httpx.Client(
        base_url=sim.base_url, headers=headers_of(sim.sign_in()), trust_env=False, verify=False
    ) as client:
        yield client


def question(text="Say hello.", **fields):
    content = [{"type": "input_text", "text": text}]
    return {
        "model": "gpt-6-sol",
        "instructions": "Be brief.",
        "input": [{"type": "message", "role": "user", "content": content}],
        "store": False,
        "stream": True,
        **fields,
    }


def events_of(answer):
    frames = answer.text.split("\n\n")
    return [json.loads(frame.partition("data: ")[2]) for frame in frames if frame]


def usage_of(answer):
    return events_of(answer)[-1]["response"]["usage"]


def test_an_accepted_question_is_answered_as_a_stream_of_events(http):
    answer = http.post(RESPONSES, json=question())
    kinds = [event["type"] for event in events_of(answer)]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    assert kinds.count("response.output_text.delta") > 2
    assert answer.headers["openai-model"] == "gpt-6-sol"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"authorization": "Bearer eyJ.unknown.token"}, None),
        ({"authorization": ""}, None),
        ({"chatgpt-account-id": "another"}, None),
        ({"chatgpt-account-id": ""}, None),
    ],
)
def test_an_unknown_token_or_account_is_unauthorized(http, changed, code):
    """Rule account.header."""
    answer = http.post(RESPONSES, json=question(), headers=changed)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})


def test_an_expired_or_refused_token_says_so(sim, http):
    """Rule account.token."""
    expired = http.get("/wham/usage", headers=headers_of(sim.sign_in(expires_in=-60)))
    assert (expired.status_code, expired.json()["error"]["code"]) == (401, "token_expired")
    tokens = sim.sign_in()
    assert http.get("/wham/usage", headers=headers_of(tokens)).status_code == 200
    sim.revoke_access(tokens["access_token"], "token_revoked")
    refused = http.get("/wham/usage", headers=headers_of(tokens))
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "token_revoked")


def test_the_catalogue_depends_on_the_client_version(sim, http):
    def slugs(version):
        answer = http.get("/codex/models", params={"client_version": version})
        assert answer.headers["etag"] == sim.models_etag
        return [model["slug"] for model in answer.json()["models"]]

    everything = [model["slug"] for model in sim.models]
    assert slugs("0.0.0") == slugs("999.0.0") == everything
    assert slugs("0.0.1") == slugs("0.7.3") == slugs("junk") == []
    assert 0 < len(slugs("0.144.0")) < len(slugs("0.155.0")) < len(everything)
    assert http.get("/codex/models").status_code == 400


def test_limits_are_in_headers_and_in_the_usage_document(sim, http):
    sim.use_quota(primary=33.5, secondary=None, minutes=(10_080, 0))
    answer = http.post(RESPONSES, json=question())
    assert answer.headers["x-codex-primary-used-percent"] == "33.5"
    assert answer.headers["x-codex-primary-window-minutes"] == "10080"
    assert "x-codex-secondary-used-percent" not in answer.headers
    limit = http.get("/wham/usage").json()["rate_limit"]
    assert (limit["primary_window"]["used_percent"], limit["secondary_window"]) == (33.5, None)


def test_an_exhausted_limit_refuses_until_it_is_reset(sim, http):
    sim.exhaust(resets_in=600)
    refused = http.post(RESPONSES, json=question())
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["plan_type"]) == (429, "usage_limit_reached", "plus")
    assert 595 <= error["resets_in_seconds"] <= 600
    assert refused.headers["x-codex-primary-used-percent"] == "100"
    assert http.get("/wham/usage").json()["rate_limit"]["limit_reached"] is True
    sim.use_quota()
    assert http.post(RESPONSES, json=question()).status_code == 200


@pytest.mark.parametrize("status", [404, 403])
def test_an_exhausted_limit_may_have_another_status(sim, http, status):
    sim.exhaust(slot="secondary", status=status)
    refused = http.post(RESPONSES, json=question())
    assert (refused.status_code, refused.json()["error"]["type"]) == (status, "usage_limit_reached")


def test_an_exhausted_limit_may_be_reported_in_the_stream(sim, http):
    sim.exhaust(status=200)
    answer = http.post(RESPONSES, json=question())
    [event] = events_of(answer)
    assert (answer.status_code, event["type"], event["status_code"]) == (200, "error", 429)
    assert event["error"]["type"] == "usage_limit_reached"
    assert event["headers"]["x-codex-primary-used-percent"] == "100"


def test_an_exhausted_limit_ends_when_its_window_resets(sim, http):
    sim.exhaust(resets_in=-1)
    assert http.post(RESPONSES, json=question()).status_code == 200
    assert http.get("/wham/usage").json()["rate_limit"]["limit_reached"] is False


def test_answers_can_exhaust_the_limit(sim, http):
    sim.use_quota(primary=60, each=20)
    assert [http.post(RESPONSES, json=question()).status_code for _ in range(3)] == [200, 200, 429]


def test_scripted_answers_come_in_order_and_a_refused_request_takes_none(sim, http):
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One."}]}
    sim.reply_with(
        Reply(items=[message], usage={"input_tokens": 7, "output_tokens": 1, "total_tokens": 8}),
        Reply(events=[{"type": "response.completed", "response": {"id": "resp_1"}}], headers={"x-a": "b"}),
        Reply(raw=b"data: [DONE]\n\n"),
        Reply(end="failed", error={"code": "invalid_prompt", "message": "No."}),
    )
    assert http.post(RESPONSES, json=question(temperature=1)).status_code == 400
    first, second, third, fourth = (http.post(RESPONSES, json=question()) for _ in range(4))
    assert usage_of(first)["total_tokens"] == 8
    assert (events_of(second)[0]["response"], second.headers["x-a"]) == ({"id": "resp_1"}, "b")
    assert third.content == b"data: [DONE]\n\n"
    assert events_of(fourth)[-1]["type"] == "response.failed"


def test_scripted_reasoning_can_be_replayed_until_the_key_changes(sim, http):
    sealed = ["reasoning.encrypted_content"]
    sim.reply_with(Reply(items=[{"type": "reasoning", "summary": []}]))
    events = events_of(http.post(RESPONSES, json=question(include=sealed)))
    [item] = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert sim.sealed == {item["encrypted_content"]}
    kept = {name: item[name] for name in ("type", "summary", "encrypted_content")}
    asked = question(include=sealed)
    again = {**asked, "input": [kept, says("Hm.", "assistant"), *asked["input"]]}
    assert http.post(RESPONSES, json=again).status_code == 200
    sim.rotate_encryption()
    refused = http.post(RESPONSES, json=again)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_encrypted_content")


def test_only_the_hyphenated_session_header_warms_the_prompt_cache(http):
    """Rule cache.session."""
    asked = question("long " * 1_200)

    def cached(name):
        answers = [http.post(RESPONSES, json=asked, headers={name: SESSION}) for _ in range(2)]
        return [usage_of(answer)["input_tokens_details"]["cached_tokens"] for answer in answers]

    cold, warm = cached("session-id")
    assert cold == 0 < warm
    assert cached("session_id") == [0, 0]


def test_every_answer_has_a_date_and_a_fault_may_change_it(sim, http):
    told = parsedate_to_datetime(http.get("/wham/usage").headers["date"])
    assert abs(told.timestamp() - time.time()) < 5
    sim.misbehave("/wham/usage", Fault(headers={"Date": "Thu, 01 Jan 2026 00:00:00 GMT"}))
    assert http.get("/wham/usage").headers["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"


def test_requests_are_recorded_as_received(sim, http):
    http.post(RESPONSES, json=question(), headers={"X-Some": "Value"})
    http.get("/codex/models", params={"client_version": "0.0.0"})
    [recorded] = sim.requests_to(RESPONSES)
    assert (recorded.method, recorded.json, recorded.form) == ("POST", question(), None)
    assert recorded.headers["x-some"] == "Value"
    assert json.loads(recorded.body) == recorded.json
    assert sim.requests[-1].query == {"client_version": "0.0.0"}
    assert sim.requests[-1].at > recorded.at
    sim.forget()
    assert sim.requests == []


def test_the_limits_may_be_the_first_event_and_repeat_the_headers(sim, http):
    sim.rate_limits_first = True
    sim.use_quota(primary=33.5, secondary=None, minutes=(10_080, 0))
    answer = http.post(RESPONSES, json=question())
    first, second, *_ = events_of(answer)
    assert (first["type"], second["type"]) == ("codex.rate_limits", "response.created")
    assert first["rate_limits"]["secondary"] is None
    window = first["rate_limits"]["primary"]
    assert (window["used_percent"], window["window_minutes"]) == (33.5, 10_080)
    assert str(window["reset_at"]) == answer.headers["x-codex-primary-reset-at"]


def test_a_plan_may_have_one_weekly_window_and_saved_resets(sim, http):
    sim.use_quota(primary=41, secondary=None, minutes=(10_080, 0), reset_credits=2)
    document = http.get("/wham/usage", headers=headers_of(sim.sign_in(plan="promax"))).json()
    assert document["plan_type"] == "promax"
    assert document["rate_limit"]["primary_window"]["limit_window_seconds"] == 604_800
    assert document["rate_limit"]["secondary_window"] is None
    assert document["rate_limit_reset_credits"] == {"available_count": 2}
    assert document["spend_control"] == {"reached": False, "individual_limit": None}


def test_a_reached_spend_cap_refuses_calls_while_the_windows_have_room(sim, http):
    """Rule quota.exhausted."""
    sim.use_quota(primary=41, spend_cap_reached=True)
    refused = http.post(RESPONSES, json=question())
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "usage_limit_reached")
    reached = refused.headers["x-codex-rate-limit-reached-type"]
    document = http.get("/wham/usage").json()
    assert document["rate_limit_reached_type"] == {"type": reached}
    assert document["spend_control"]["reached"] is True
    sim.use_quota()
    assert http.post(RESPONSES, json=question()).status_code == 200
