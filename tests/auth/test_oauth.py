"""The issuer's grants, at the simulator: what a refresh, an exchange and a revocation answer."""

import pytest
from amplifier_core.llm_errors import (
    AuthenticationError,
    LLMTimeoutError,
    NetworkError,
    ProviderUnavailableError,
    RateLimitError,
)

from amplifier_module_provider_openai_chatgpt.auth import oauth
from amplifier_module_provider_openai_chatgpt.auth.failures import RefreshRefusedError, translated
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX
from amplifier_module_provider_openai_chatgpt.simulator import Fault

TOKEN = "/oauth/token"


@pytest.fixture
async def client():
    async with new_client(connect=5, silence=0.3) as opened:
        yield opened


def coded(code):
    return {"error": {"message": "m", "code": code}}


PERMANENT = {
    "expired": (401, coded("refresh_token_expired"), "expired"),
    "reused": (401, coded("refresh_token_reused"), "already used"),
    "revoked": (401, coded("refresh_token_invalidated"), "revoked"),
    "expired, as 500": (500, coded("refresh_token_expired"), "expired"),
    "reused, as text": (400, {"error": "refresh_token_reused"}, "already used"),
    "reused, at the top": (403, {"code": "REFRESH_TOKEN_REUSED"}, "already used"),
    "another 401": (401, coded("whatever"), "no longer accepted"),
    "401, empty": (401, "", "no longer accepted"),
    "401, a page": (401, "<html>", "no longer accepted"),
    "400 invalid_grant": (400, {"error": "invalid_grant"}, "no longer accepted"),
    "401 invalid_grant": (401, {"error": "invalid_grant"}, "no longer accepted"),
    "invalidated": (403, coded("token_invalidated"), "revoked"),
    "deactivated": (403, coded("account_deactivated"), "deactivated"),
    "suspended": (403, coded("account_suspended"), "suspended"),
}
TRANSIENT = {
    "500": (Fault(status=500, body="oops"), ProviderUnavailableError),
    "429": (Fault(status=429, body={"detail": "slow"}), RateLimitError),
    "403 with a page": (Fault(status=403, body="<title>Just a moment</title>"), ProviderUnavailableError),
    "403 invalid_grant": (Fault(status=403, body={"error": "invalid_grant"}), ProviderUnavailableError),
    "400 with another code": (Fault(status=400, body=coded("invalid_request")), ProviderUnavailableError),
    "404": (Fault(status=404), ProviderUnavailableError),
    "200 with a page": (Fault(status=200, body="<html>"), ProviderUnavailableError),
    "200, half a body": (Fault(status=200, body='{"access_tok'), ProviderUnavailableError),
    "200 without tokens": (Fault(status=200, body={}), ProviderUnavailableError),
    "a redirect": (Fault(status=302), ProviderUnavailableError),
    "hung up": (Fault(drop_connection=True), NetworkError),
    "silence": (Fault(stall_before_headers=True), LLMTimeoutError),
}


@pytest.mark.parametrize("row", PERMANENT)
async def test_a_permanent_refusal_is_known_by_its_code(sim, service, client, row):
    status, body, why = PERMANENT[row]
    sim.misbehave(TOKEN, Fault(status=status, body=body))
    with pytest.raises(RefreshRefusedError, match=why):
        await oauth.refresh(client, service.issuer, Secret("rt_x"))


@pytest.mark.parametrize("row", TRANSIENT)
async def test_everything_else_is_transient_and_retryable(sim, service, client, row):
    fault, error = TRANSIENT[row]
    sim.misbehave(TOKEN, fault)
    with pytest.raises(error) as raised, translated():
        await oauth.refresh(client, service.issuer, Secret("rt_x"))
    assert raised.value.retryable
    assert "login" not in str(raised.value)


async def test_a_refresh_is_json_with_three_fields_and_our_own_user_agent(sim, service, client):
    token = Secret(sim.sign_in()["refresh_token"])
    reply = await oauth.refresh(client, service.issuer, token)
    (request,) = sim.requests_to(TOKEN)
    assert set(reply.reveal()) == {"id_token", "access_token", "refresh_token"}
    assert request.json.keys() == {"client_id", "grant_type", "refresh_token"}
    assert request.headers["user-agent"].startswith("amplifier-module-provider-openai-chatgpt/")
    with pytest.raises(RefreshRefusedError, match="already used"):
        await oauth.refresh(client, service.issuer, token)


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (
            Fault(status=400, body={"error": "invalid_grant", "error_description": "Unknown <b>\x1b[1mcode"}),
            AuthenticationError,
            r"HTTP 400, invalid_grant\).*Unknown",
        ),
        (Fault(status=403, body=coded("forbidden")), AuthenticationError, "HTTP 403, forbidden"),
        (
            Fault(status=502, body="<html>"),
            ProviderUnavailableError,
            r"HTTP 502\): start the sign-in again in a few minutes\.$",
        ),
        (Fault(status=429), RateLimitError, "HTTP 429"),
        (Fault(status=200, body={"access_token": "a"}), ProviderUnavailableError, "cannot be read"),
    ],
    ids=range(5),
)
async def test_an_exchange_that_fails_says_status_and_reason(sim, service, client, fault, error, text):
    sim.misbehave(TOKEN, fault)
    with pytest.raises(error, match=text) as raised, translated():
        await oauth.exchange_code(client, service, Secret("ac_code"), Secret("verifier"), "redirect")
    assert str(raised.value).isprintable()
    assert "ac_code" not in str(raised.value)
    assert "verifier" not in str(raised.value)


async def test_an_exchange_is_a_form(sim, service, client):
    with pytest.raises(AuthenticationError), translated():
        await oauth.exchange_code(
            client, service, Secret("ac"), Secret("v"), "http://localhost:1455/auth/callback"
        )
    form = sim.requests_to(TOKEN)[0].form
    assert list(form) == ["grant_type", "code", "redirect_uri", "client_id", "code_verifier"]


@pytest.mark.parametrize(
    ("tokens", "fields"),
    [
        (Tokens(Secret("a"), Secret("r")), {"token": "r", "token_type_hint": "refresh_token"}),
        (Tokens(Secret("a")), {"token": "a", "token_type_hint": "access_token"}),
    ],
)
async def test_revoking_prefers_the_refresh_token(sim, service, client, tokens, fields):
    assert await oauth.revoke(client, service.issuer, tokens)
    sent = sim.requests_to("/oauth/revoke")[0].json
    assert {name: sent[name] for name in fields} == fields
    assert ("client_id" in sent) == tokens.can_refresh


@pytest.mark.parametrize("fault", [Fault(status=500), Fault(drop_connection=True)], ids=["500", "hung up"])
async def test_a_revocation_that_fails_is_reported_and_not_raised(sim, service, client, fault):
    sim.misbehave("/oauth/revoke", fault)
    assert not await oauth.revoke(client, service.issuer, Tokens(Secret("a")))


async def test_a_host_that_is_down_is_a_network_error_that_names_it(client):
    nowhere = CHATGPT_CODEX.at("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match=r"127\.0\.0\.1 cannot be reached"), translated():
        await oauth.refresh(client, nowhere.issuer, Secret("rt_x"))
