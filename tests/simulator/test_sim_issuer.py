"""The simulated issuer: device codes, code exchange, refresh and revoke with the answers of the real one."""

import base64
import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from tests.browser import browse

CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
CALLBACK = "http://localhost:1455/auth/callback"
VERIFIER = "v" * 86


@pytest.fixture
def http(sim):
    with httpx.Client(base_url=sim.auth_url, trust_env=False, verify=False) as client:
        yield client


def begin(http):
    answer = http.post("/api/accounts/deviceauth/usercode", json={"client_id": CLIENT})
    assert answer.status_code == 200
    return answer.json()


def poll(http, begun):
    asked = {"device_auth_id": begun["device_auth_id"], "user_code": begun["user_code"]}
    return http.post("/api/accounts/deviceauth/token", json=asked)


def exchange(http, code, verifier, redirect_uri):
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return http.post("/oauth/token", data={**fields, "client_id": CLIENT, "code_verifier": verifier})


def refresh(http, token, **how):
    fields = {"client_id": CLIENT, "grant_type": "refresh_token", "refresh_token": token}
    return http.post("/oauth/token", **(how or {"json": fields}))


def authorize(http, redirect_uri=CALLBACK):
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": redirect_uri,
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        "state": "s1",
    }
    return browse(f"{http.base_url}/oauth/authorize?{urlencode(query)}", follow=False)


def code_of(answer):
    assert answer.status == 302
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"] == ["s1"]
    return query["code"][0]


def test_a_device_sign_in_is_pending_then_approved_then_exchanged(sim, http):
    sim.device.pending = 2
    begun = begin(http)
    assert begun["interval"] == "1"
    assert begun["device_auth_id"].startswith("deviceauth_")
    answers = [poll(http, begun) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [403, 403, 200]
    assert answers[0].json()["error"]["code"] == "deviceauth_authorization_pending"
    given = answers[2].json()
    digest = hashlib.sha256(given["code_verifier"].encode()).digest()
    assert given["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    redirect_uri = f"{sim.auth_url}/deviceauth/callback"
    tokens = exchange(http, given["authorization_code"], given["code_verifier"], redirect_uri).json()
    issued = {tokens[name] for name in ("access_token", "id_token", "refresh_token")}
    shown = {begun["user_code"], given["authorization_code"], given["code_verifier"]}
    assert issued | shown <= sim.secrets
    assert sim.user_codes == {begun["user_code"]}


def test_an_approved_code_is_deleted_after_it_was_exchanged(sim, http):
    sim.device.pending = 0
    begun = begin(http)
    assert poll(http, begun).status_code == 200
    again = poll(http, begun)
    assert (again.status_code, again.json()["error"]["code"]) == (404, "deviceauth_not_found")


def test_a_person_may_approve_manually_or_refuse(sim, http):
    sim.device.approve_manually = True
    begun = begin(http)
    assert {poll(http, begun).status_code for _ in range(4)} == {403}
    sim.device.refuse()
    assert poll(http, begun).json()["error"]["code"] == "access_denied"
    sim.device.approve()
    assert poll(http, begun).status_code == 200


def test_poll_answers_can_be_set_exactly(sim, http):
    begun = begin(http)
    sim.device.outcome(429, {"error": "slow_down"})
    sim.device.outcome(403, "<html>Just a moment...</html>")
    sim.device.outcome(403, b"")
    first, page, empty = (poll(http, begun) for _ in range(3))
    assert (first.status_code, first.json()) == (429, {"error": "slow_down"})
    assert page.headers["content-type"].startswith("text/html")
    assert (empty.status_code, empty.content) == (403, b"")


@pytest.mark.parametrize("path", ["deviceauth/usercode", "deviceauth/token"])
def test_the_device_paths_accept_json_only(http, path):
    answer = http.post(f"/api/accounts/{path}", data={"client_id": CLIENT})
    assert answer.status_code == 400
    assert answer.json()["detail"][0]["msg"] == "Field required"


def test_a_browser_sign_in_returns_a_code_that_works_once(http):
    code = code_of(authorize(http))
    assert exchange(http, code, VERIFIER, CALLBACK).status_code == 200
    again = exchange(http, code, VERIFIER, CALLBACK)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("verifier", "redirect_uri"),
    [("w" * 86, CALLBACK), (VERIFIER, "http://localhost:1457/auth/callback"), (VERIFIER, f"{CALLBACK}/")],
)
def test_an_exchange_must_repeat_address_and_verifier(http, verifier, redirect_uri):
    answer = exchange(http, code_of(authorize(http)), verifier, redirect_uri)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_only_the_two_registered_ports_get_tokens(http):
    odd, second = (f"http://localhost:{port}/auth/callback" for port in (1456, 1457))
    assert exchange(http, code_of(authorize(http, odd)), VERIFIER, odd).status_code == 403
    assert exchange(http, code_of(authorize(http, second)), VERIFIER, second).status_code == 200


def test_a_code_is_exchanged_as_a_form_only(http):
    fields = {"grant_type": "authorization_code", "code": code_of(authorize(http)), "client_id": CLIENT}
    sent = {**fields, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    assert http.post("/oauth/token", json=sent).status_code == 400


def test_a_refresh_token_works_once_and_is_replaced(sim, http):
    old = sim.sign_in()
    renewed = refresh(http, old["refresh_token"])
    assert set(renewed.json()) == {"id_token", "access_token", "refresh_token"}
    again = refresh(http, old["refresh_token"])
    assert (again.status_code, again.json()["error"]["code"]) == (401, "refresh_token_reused")
    assert refresh(http, renewed.json()["refresh_token"]).status_code == 200


def test_the_next_access_tokens_may_expire_early(sim, http):
    sim.accounts.lifetime = -1
    renewed = refresh(http, sim.sign_in()["refresh_token"]).json()
    headers = {"authorization": f"Bearer {renewed['access_token']}"}
    refused = http.get("/backend-api/wham/usage", headers=headers)
    assert refused.json()["error"]["code"] == "token_expired"


def test_a_refresh_may_be_sent_as_a_form_too(sim, http):
    fields = {"client_id": CLIENT, "grant_type": "refresh_token"}
    sent = {**fields, "refresh_token": sim.sign_in()["refresh_token"]}
    assert refresh(http, "", data=sent).status_code == 200


def test_an_empty_or_unknown_refresh_token_is_refused(http):
    assert "empty string" in refresh(http, "").json()["error"]["message"]
    assert refresh(http, "rt_never_issued").json()["error"] == "invalid_grant"


@pytest.mark.parametrize("name", ["refresh_token", "access_token"])
def test_a_revoked_sign_in_can_neither_refresh_nor_call(sim, http, name):
    tokens = sim.sign_in()
    assert http.post("/oauth/revoke", json={"token": tokens[name]}).status_code == 200
    refused = refresh(http, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "refresh_token_invalidated")
    headers = {
        "authorization": f"Bearer {tokens['access_token']}",
        "chatgpt-account-id": tokens["account_id"],
    }
    asked = http.get("/backend-api/wham/usage", headers=headers)
    assert (asked.status_code, asked.json()["error"]["code"]) == (401, "token_invalidated")


def test_revoking_takes_json_only_and_accepts_unknown_tokens(http):
    assert http.post("/oauth/revoke", data={"token": "rt_x"}).status_code == 400
    assert http.post("/oauth/revoke", json={"token": "rt_x"}).status_code == 200
