"""In front of the services: challenges, FedRAMP, turn states, and secrets that reach the wrong service."""

import gzip
import json

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Simulator
from amplifier_module_provider_openai_chatgpt.simulator.accounts import stray_listeners
from tests.secret_leaks import watch

from .requests import CLIENT, SESSION, call, classic, headers_of, result, says, thought

RESPONSES = "/codex/responses"


@pytest.fixture
def http(sim):
    with httpx.Client(base_url=sim.base_url, headers=headers_of(sim.sign_in()), trust_env=False) as client:
        yield client


def ask(http, headers=(), **changes):
    return http.post(RESPONSES, json=classic(**changes), headers=dict(headers))


@pytest.mark.parametrize(
    "agent",
    ["python-httpx/0.28.1", "Python-urllib/3.11", "OpenAI/Python 2.1.0", "AsyncOpenAI/Python 2.1.0", ""],
)
@pytest.mark.parametrize("path", ["/codex/responses", "/codex/models?client_version=0.0.0", "/wham/usage"])
def test_a_librarys_default_name_gets_the_challenge_page(http, agent, path):
    """Rule edge.user-agent."""
    page = http.get(path, headers={"user-agent": agent})
    assert page.status_code == 403
    assert page.headers["content-type"].startswith("text/html")
    assert (page.headers["cf-mitigated"], page.headers["server"]) == ("challenge", "cloudflare")
    assert page.headers["cf-ray"]
    assert "Just a moment" in page.text


def test_a_client_without_originator_gets_the_challenge_page_except_for_the_usage(http):
    """Rule edge.originator."""
    del http.headers["originator"]
    assert ask(http).headers["cf-mitigated"] == "challenge"
    assert http.get("/codex/models?client_version=0.0.0").status_code == 403
    assert http.get("/wham/usage").status_code == 200


def test_a_fedramp_account_is_served_only_with_its_header(sim, http):
    """Rule account.fedramp."""
    headers = headers_of(sim.sign_in(fedramp=True))
    assert ask(http, headers).status_code == 401
    assert ask(http, {**headers, "X-OpenAI-Fedramp": "true"}).status_code == 200
    assert ask(http, {"X-OpenAI-Fedramp": "true"}).status_code == 200


def test_a_turn_state_is_accepted_only_within_its_turn(http):
    session = {"session-id": SESSION}
    asked = [says("What time is it?")]
    first = ask(http, session, input=asked)
    state = {"x-codex-turn-state": first.headers["x-codex-turn-state"]}
    same_turn = ask(http, session | state, input=[*asked, call(), result()])
    assert same_turn.status_code == 200
    assert same_turn.headers["x-codex-turn-state"] == state["x-codex-turn-state"]
    next_turn = [*asked, says("Noon.", "assistant"), says("And now?")]
    assert ask(http, session | state, input=next_turn).status_code == 400
    assert ask(http, state, input=asked).status_code == 400


def test_past_reasoning_is_marked_as_counted(sim, http):
    """Rule response.reasoning-included."""
    asked = {"include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}
    first = ask(http, **asked)
    assert "x-reasoning-included" not in first.headers
    [blob] = sim.sealed
    later = ask(http, **asked, input=[thought(blob), says("Hm.", "assistant"), says("Hi")])
    assert later.headers["x-reasoning-included"] == "true"


def test_an_input_beyond_the_window_is_refused_in_the_stream(http):
    answer = ask(http, input=[says("word " * 300_000)])
    assert answer.status_code == 200
    events = [json.loads(frame.partition("data: ")[2]) for frame in answer.text.split("\n\n") if frame]
    assert [event["type"] for event in events][-1] == "response.failed"
    assert events[-1]["response"]["error"]["code"] == "context_length_exceeded"


def test_a_compressed_call_is_answered_and_recorded_decoded(sim, http):
    packed = gzip.compress(json.dumps(classic()).encode())
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert http.post(RESPONSES, content=packed, headers=headers).status_code == 200
    recorded = sim.requests[-1]
    assert (recorded.body, recorded.json) == (packed, classic())


# Secrets at the wrong service


@pytest.fixture
def strays():
    """A simulator that reports to this list instead of failing the run."""
    found: list[str] = []
    with Simulator(on_stray=found.append) as sim:
        yield sim, found


def send(address, **how):
    httpx.post(address, trust_env=False, **{"headers": CLIENT, **how})


def test_the_services_have_a_port_each(sim):
    assert httpx.URL(sim.base_url).port != httpx.URL(sim.auth_url).port
    assert httpx.get(f"{sim.auth_url}/backend-api/wham/usage", trust_env=False).status_code == 403
    usage = f"{sim.auth_url}/backend-api/wham/usage"
    assert httpx.get(usage, headers=CLIENT, trust_env=False).status_code == 404


@pytest.mark.parametrize("name", ["refresh_token", "id_token"])
def test_a_token_of_the_issuer_at_the_backend_is_reported(strays, name):
    """Rule strays.backend."""
    sim, found = strays
    tokens = sim.sign_in()
    send(f"{sim.base_url}/codex/responses", json={"a": tokens[name]})
    send(f"{sim.base_url}/codex/responses", headers={**CLIENT, "authorization": f"Bearer {tokens[name]}"})
    assert len(found) == len(sim.strays) == 2
    assert not any(tokens[name] in sentence for sentence in found)


def test_an_access_token_at_the_issuer_or_in_a_body_is_reported(strays):
    """Rule strays.issuer."""
    sim, found = strays
    access = sim.sign_in()["access_token"]
    send(f"{sim.auth_url}/oauth/token", headers={**CLIENT, "authorization": f"Bearer {access}"})
    send(f"{sim.auth_url}/oauth/token", json={"refresh_token": access})
    send(f"{sim.base_url}/codex/responses", json={"a": access})
    assert [sentence.split(":")[0] for sentence in found] == ["issuer", "issuer", "backend"]


def test_tokens_where_they_belong_are_not_reported(strays):
    sim, found = strays
    tokens = sim.sign_in()
    send(f"{sim.base_url}/codex/responses", headers=headers_of(tokens), json=classic())
    send(f"{sim.auth_url}/oauth/token", json={"refresh_token": tokens["refresh_token"]})
    send(f"{sim.auth_url}/oauth/revoke", json={"token": tokens["access_token"]})
    assert found == []


def test_a_stray_secret_fails_the_whole_run():
    assert watch.stray in stray_listeners
    seen = type(watch)()
    seen.stray("backend: refresh token in the body")
    assert seen.found
