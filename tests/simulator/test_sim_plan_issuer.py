"""The issuer of the plan service: registration, consent, exchange, rotation, revocation, keys."""

import base64
import json

import pytest

from amplifier_module_provider_openai_chatgpt.simulator import Fault
from amplifier_module_provider_openai_chatgpt.simulator.plan.sharing import IDENTITY_SCOPES, PLAN_SCOPE

from .plan import (
    CLIENT,
    HOST_ID,
    HTTP,
    NONCE,
    REDIRECT,
    STATE,
    authorize,
    brought_back,
    exchange,
    query,
    refresh,
    returning,
    revoke,
    signed_in,
)

pytestmark = pytest.mark.world("plan")


def get(sim, path):
    return HTTP.get(sim.auth_url + path, headers=CLIENT).json()


def parts(token):
    return [json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2]]


def test_discovery_names_the_endpoints_of_the_issuer(sim):
    found = get(sim, "/.well-known/openid-configuration")
    assert found["issuer"] == sim.auth_url
    named = [name for name in found if name.endswith(("_endpoint", "_uri"))]
    assert len(named) == 4
    assert all(found[name].startswith(sim.auth_url) for name in named)
    sim.sharing.discovery = {"token_endpoint": "https://example.com/token"}
    assert get(sim, "/.well-known/openid-configuration")["token_endpoint"] == "https://example.com/token"


def test_a_first_sign_in_registers_an_app_and_gives_all_that_was_asked_for(sim):
    brought = brought_back(authorize(sim, query()))
    assert brought["state"] == STATE
    assert brought["client_id"].startswith("oaiapp_")
    tokens = exchange(sim, brought).json()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert tokens["scope"] == brought["scope"] == " ".join((*IDENTITY_SCOPES, PLAN_SCOPE))
    header, claims = parts(tokens["id_token"])
    assert header["alg"] == "RS256"
    assert header["kid"] in [key["kid"] for key in get(sim, "/.well-known/jwks.json")["keys"]]
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (sim.auth_url, brought["client_id"], NONCE)
    issued = {tokens[name] for name in ("access_token", "refresh_token", "id_token")}
    assert issued | {brought["code"], brought["client_id"], HOST_ID} <= sim.secrets


WRONG: dict[str, list[str | None]] = {
    "client_id": ["", "oaiapp_unknown"],
    "agent_name_hint": [None, " "],
    "ext_agent_host_id": [None, "my-laptop", HOST_ID.replace("-4", "-1")],
    "response_type": [None, "token"],
    "redirect_uri": [
        None,
        "http://localhost:1455/auth/callback",
        "https://127.0.0.1:1455/auth/callback",
        "http://127.0.0.1:1455/callback",
        "http://127.0.0.1/auth/callback",
        "http://127.0.0.1:99999/auth/callback",
        "http://127.0.0.1:1455/auth/callback#part",
        "http://user@127.0.0.1:1455/auth/callback",
        "http://[::1",
    ],
    "scope": [None, "openid", " ".join(IDENTITY_SCOPES)],
    "resource": [None, "https://chatgpt.com"],
    "state": [None, "short"],
    "nonce": [None, "short"],
    "code_challenge_method": [None, "plain"],
    "code_challenge": [None, "short"],
    # Parameters of other services, and those of a return.
    "originator": ["amplifier"],
    "codex_cli_simplified_flow": ["true"],
    "id_token_hint": ["a.b.c"],
    "prompt": ["consent"],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_first_request_needs_exactly_its_parameters(sim, name):
    """Rule sharing.authorize."""
    for value in WRONG[name]:
        page = authorize(sim, query(**{name: value}))
        assert page.status == 400
        assert name in page.text
    assert sim.sharing.clients == {}


def test_a_parameter_that_is_given_twice_is_refused(sim):
    page = authorize(sim, [*query().items(), ("state", STATE)])
    assert page.status == 400
    assert "state" in page.text


def test_a_return_uses_the_issued_client_and_may_name_the_account(sim):
    client_id, tokens = signed_in(sim)
    moved = {"ext_agent_host_id": HOST_ID.replace("0f8f", "0f90")}
    for more in ({}, moved, {"id_token_hint": tokens["id_token"]}, {"login_hint": "ada@example.com"}):
        brought = brought_back(authorize(sim, returning(client_id, **more)))
        assert exchange(sim, brought).status_code == 200
    assert list(sim.sharing.clients) == [client_id]
    for more in ({"agent_name_hint": "Amplifier"}, {"prompt": "none"}, {"id_token_hint": "a.b.c"}):
        assert authorize(sim, {**returning(client_id), **more}).status == 400


def test_a_hint_keeps_the_account_when_another_one_is_signed_in_at_the_browser(sim):
    client_id, tokens = signed_in(sim)
    sim.sharing.subject = "user-other"
    hinted = brought_back(authorize(sim, returning(client_id, id_token_hint=tokens["id_token"])))
    chosen = brought_back(authorize(sim, returning(client_id)))
    subjects = [parts(exchange(sim, brought).json()["id_token"])[1]["sub"] for brought in (hinted, chosen)]
    assert subjects == ["user-simulated", "user-other"]


def test_consent_to_the_sign_in_alone_gives_no_plan_scope_until_it_is_asked_for_again(sim):
    sim.sharing.consent = "sign_in"
    client_id, tokens = signed_in(sim)
    assert PLAN_SCOPE not in tokens["scope"]
    sim.sharing.consent = "plan"
    routine = exchange(sim, brought_back(authorize(sim, returning(client_id)))).json()
    asked = exchange(sim, brought_back(authorize(sim, returning(client_id, prompt="consent")))).json()
    assert [PLAN_SCOPE in answer["scope"] for answer in (routine, asked)] == [False, True]


def test_a_free_plan_signs_in_without_plan_use(sim):
    sim.plan = "free"
    assert PLAN_SCOPE not in signed_in(sim)[1]["scope"]


def test_a_person_who_refuses_brings_back_an_error_and_registers_nothing(sim):
    sim.sharing.consent = "denied"
    assert brought_back(authorize(sim, query())) == {"error": "access_denied", "state": STATE}
    assert sim.sharing.clients == {}


@pytest.mark.parametrize(("when", "expected"), [("always", (1, 1)), ("new", (1, 0)), ("never", (0, 0))])
def test_the_callback_names_the_client_as_the_switch_says(sim, when, expected):
    sim.sharing.client_id_in_callback = when
    sim.sharing.scope_in_callback = False
    new = brought_back(authorize(sim, query()))
    [client_id] = sim.sharing.clients
    again = brought_back(authorize(sim, returning(client_id)))
    assert ("client_id" in new, "client_id" in again) == expected
    assert "scope" not in new


def test_the_token_endpoint_takes_forms_with_exactly_their_fields(sim):
    """Rule sharing.form."""
    brought = brought_back(authorize(sim, query()))
    url = f"{sim.auth_url}/api/accounts/oauth/token"
    assert HTTP.post(url, json=brought, headers=CLIENT).status_code == 400
    for changes in ({"resource": None}, {"resource": "x"}, {"scope": "openid"}, {"grant_type": "password"}):
        assert exchange(sim, brought, **changes).status_code == 400
    client_id, tokens = brought["client_id"], exchange(sim, brought).json()
    for changes in ({"resource": None}, {"scope": "openid"}):
        assert (
            refresh(sim, client_id, tokens["refresh_token"], **changes).json()["error"] == "invalid_request"
        )
    assert refresh(sim, client_id, tokens["refresh_token"]).status_code == 200


def test_a_code_works_once_for_its_client_redirect_and_verifier(sim):
    """Rule sharing.code."""
    other, _ = signed_in(sim)
    wrong = (
        {"code_verifier": "w" * 86},
        {"redirect_uri": REDIRECT.replace("50123", "1455")},
        {"code": "ac_unknown"},
        {"client_id": other},
    )
    for changes in wrong:
        brought = brought_back(authorize(sim, query()))
        assert exchange(sim, brought, **changes).json()["error"] == "invalid_grant"
    brought = brought_back(authorize(sim, query()))
    assert exchange(sim, brought, client_id="oaiapp_unknown").json()["error"] == "invalid_client"
    assert exchange(sim, brought).status_code == 200
    assert exchange(sim, brought).json()["error"] == "invalid_grant"


def test_a_refresh_token_is_replaced_and_works_once(sim):
    """Rule sharing.refresh-once."""
    client_id, tokens = signed_in(sim)
    other, _ = signed_in(sim)
    assert refresh(sim, other, tokens["refresh_token"]).json()["error"] == "invalid_grant"
    renewed = refresh(sim, client_id, tokens["refresh_token"]).json()
    assert renewed["refresh_token"] != tokens["refresh_token"]
    assert "nonce" not in parts(renewed["id_token"])[1]
    again = refresh(sim, client_id, tokens["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "refresh_token_reused")
    assert refresh(sim, client_id, "rt_unknown").json()["error"] == "invalid_grant"


def test_an_early_refresh_is_refused_where_the_switch_says_so(sim):
    sim.sharing.refuse_early = True
    client_id, tokens = signed_in(sim)
    early = refresh(sim, client_id, tokens["refresh_token"])
    assert (early.status_code, early.json()["error"]) == (429, "temporarily_unavailable")
    sim.sharing.lifetime = 60
    client_id, tokens = signed_in(sim)
    assert refresh(sim, client_id, tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize(("spelling", "kind"), [("seconds", int), ("text", str), ("absent", type(None))])
def test_the_earliest_time_of_a_refresh_is_written_as_the_switch_says(sim, spelling, kind):
    sim.sharing.earliest = spelling
    assert isinstance(signed_in(sim)[1].get("earliest_refresh_at"), kind)


def test_a_revocation_is_a_form_and_ends_the_sign_in(sim):
    """Rule sharing.revoke."""
    client_id, tokens = signed_in(sim)
    token = tokens["refresh_token"]
    for changes in ({"token_type_hint": None}, {"token_type_hint": "access_token"}, {"resource": "x"}):
        assert revoke(sim, client_id, token, **changes).status_code == 400
    for spent in (token, token, "rt_unknown"):
        answer = revoke(sim, client_id, spent)
        assert (answer.status_code, answer.content) == (200, b"")
    assert refresh(sim, client_id, token).json()["error"] == "refresh_token_invalidated"


def test_the_published_keys_follow_the_switch(sim):
    def published():
        return [key["kid"] for key in get(sim, "/.well-known/jwks.json")["keys"]]

    [first] = published()
    sim.sharing.keys.rotate()
    assert len(published()) == 2
    sim.sharing.keys.published = "but-newest"
    assert published() == [first]
    sim.sharing.keys.published = "none"
    assert published() == []
    sim.misbehave("/jwks.json", Fault(status=500, body="down"))
    answer = HTTP.get(f"{sim.auth_url}/.well-known/jwks.json", headers=CLIENT)
    assert answer.status_code == 500


@pytest.mark.parametrize("signature", ["none", "HS256", "broken", "other-key"])
def test_an_id_token_is_forged_as_the_switches_say(sim, signature):
    sim.sharing.signature = signature
    sim.sharing.claims = {"aud": ["a", "b"], "nonce": None}
    sim.sharing.token_header = {"kid": None}
    header, claims = parts(signed_in(sim)[1]["id_token"])
    assert header["alg"] == {"none": "none", "HS256": "HS256"}.get(signature, "RS256")
    assert "kid" not in header
    assert (claims["aud"], "nonce" in claims) == (["a", "b"], False)
