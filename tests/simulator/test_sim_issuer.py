"""The simulated issuer: device codes, code exchange, refresh and revoke with the answers of the real one."""

import base64
import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.simulator.issuer import AUTHORIZE
from tests.browser import browse

from .requests import headers_of

CLIENT_HEADERS = {"user-agent": "tests/1"}
CLIENT = "app_EMoamEEZ73f0CkXaXp7hrann"
CALLBACK = "http://localhost:1455/auth/callback"
VERIFIER = "v" * 86
STATE = "s" * 43


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(sim):
    """The clock by which the issuer judges the pace of polls."""
    sim.device.clock = Clock()
    return sim.device.clock


@pytest.fixture
def http(sim):
    with httpx.Client(base_url=sim.auth_url, headers=CLIENT_HEADERS, trust_env=False) as client:
        yield client


def begin(http):
    answer = http.post("/api/accounts/deviceauth/usercode", json={"client_id": CLIENT})
    assert answer.status_code == 200
    return answer.json()


def poll(http, begun):
    asked = {"device_auth_id": begun["device_auth_id"], "user_code": begun["user_code"]}
    return http.post("/api/accounts/deviceauth/token", json=asked)


def poll_in_time(http, begun, clock):
    clock.now += float(begun["interval"])
    return poll(http, begun)


def exchange(http, code, verifier, redirect_uri):
    fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return http.post("/oauth/token", data={**fields, "client_id": CLIENT, "code_verifier": verifier})


def refresh(http, token, **how):
    fields = {"client_id": CLIENT, "grant_type": "refresh_token", "refresh_token": token}
    return http.post("/oauth/token", **(how or {"json": fields}))


def authorize(http, redirect_uri=CALLBACK, **changes):
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": redirect_uri,
        "scope": "openid profile email offline_access api.connectors.read api.connectors.invoke",
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        "id_token_add_organizations": "true",
        "codex_cli_simplified_flow": "true",
        "state": STATE,
        "originator": "tests",
        **changes,
    }
    query = {name: value for name, value in query.items() if value is not None}
    return browse(f"{http.base_url}/oauth/authorize?{urlencode(query)}", follow=False)


def use(sim, tokens):
    """Call the backend with a token."""
    return httpx.get(f"{sim.base_url}/wham/usage", headers=headers_of(tokens), trust_env=False)


def code_of(answer):
    assert answer.status == 302
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"] == [STATE]
    return query["code"][0]


def test_a_device_sign_in_is_pending_then_approved_then_exchanged(sim, http, clock):
    sim.device.pending = 2
    begun = begin(http)
    assert begun["interval"] == "1"
    assert begun["device_auth_id"].startswith("deviceauth_")
    answers = [poll_in_time(http, begun, clock) for _ in range(3)]
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


def test_a_person_may_approve_manually_or_refuse(sim, http, clock):
    sim.device.approve_manually = True
    begun = begin(http)
    assert {poll_in_time(http, begun, clock).status_code for _ in range(4)} == {403}
    sim.device.refuse()
    assert poll(http, begun).json()["error"]["code"] == "access_denied"
    sim.device.approve()
    assert poll_in_time(http, begun, clock).status_code == 200


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
    """Rule issuer.json."""
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
    """Rule issuer.code."""
    answer = exchange(http, code_of(authorize(http)), verifier, redirect_uri)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_only_the_two_registered_ports_get_tokens(http):
    """Rule issuer.ports."""
    odd, second = (f"http://localhost:{port}/auth/callback" for port in (1456, 1457))
    assert exchange(http, code_of(authorize(http, odd)), VERIFIER, odd).status_code == 403
    assert exchange(http, code_of(authorize(http, second)), VERIFIER, second).status_code == 200


def test_a_code_is_exchanged_as_a_form_only(http):
    """Rule issuer.form."""
    fields = {"grant_type": "authorization_code", "code": code_of(authorize(http)), "client_id": CLIENT}
    sent = {**fields, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    assert http.post("/oauth/token", json=sent).status_code == 400


def test_a_refresh_token_works_once_and_is_replaced(sim, http):
    """Rule issuer.refresh-once."""
    old = sim.sign_in()
    renewed = refresh(http, old["refresh_token"])
    assert set(renewed.json()) == {"id_token", "access_token", "refresh_token"}
    again = refresh(http, old["refresh_token"])
    assert (again.status_code, again.json()["error"]["code"]) == (401, "refresh_token_reused")
    assert refresh(http, renewed.json()["refresh_token"]).status_code == 200


def test_the_next_access_tokens_may_expire_early(sim, http):
    sim.accounts.lifetime = -1
    tokens = sim.sign_in()
    renewed = refresh(http, tokens["refresh_token"]).json()
    refused = use(sim, {**tokens, **renewed})
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
    how = {"token_type_hint": name} | ({"client_id": CLIENT} if name == "refresh_token" else {})
    assert http.post("/oauth/revoke", json={"token": tokens[name], **how}).status_code == 200
    refused = refresh(http, tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "refresh_token_invalidated")
    asked = use(sim, tokens)
    assert (asked.status_code, asked.json()["error"]["code"]) == (401, "token_invalidated")


REVOCATION = {"token": "rt_x", "token_type_hint": "refresh_token", "client_id": CLIENT}


def test_revoking_takes_json_only_and_accepts_unknown_tokens(http):
    assert http.post("/oauth/revoke", data=REVOCATION).status_code == 400
    assert http.post("/oauth/revoke", json=REVOCATION).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"token": "rt_x"},
        {"token": "rt_x", "token_type_hint": "refresh_token"},
        {"token": "rt_x", "client_id": CLIENT},
        {"token": "a", "token_type_hint": "access_token", "client_id": CLIENT},
        {**REVOCATION, "client_id": "another"},
        {**REVOCATION, "extra": ""},
    ],
)
def test_a_revocation_needs_the_fields_of_its_kind_of_token(sim, http, fields):
    """Rule issuer.revoke."""
    tokens = sim.sign_in()
    assert http.post("/oauth/revoke", json={**fields, "token": tokens["refresh_token"]}).status_code == 400
    assert use(sim, tokens).status_code == 200


WRONG: dict[str, list[str | None]] = {
    "response_type": ["token", None],
    "client_id": ["app_another", None],
    "redirect_uri": ["https://localhost:1455/auth/callback", "http://127.0.0.1:1455/auth/callback", None],
    "scope": [None, "", "openid profile email"],
    "code_challenge": [None, "short"],
    "code_challenge_method": [None, "plain"],
    "id_token_add_organizations": [None, "false"],
    "codex_cli_simplified_flow": [None, "false"],
    "state": [None, "s1"],
    "originator": [None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_an_authorization_request_needs_every_parameter(http, name, value):
    """Rule issuer.authorize."""
    page = authorize(http, **{name: value})
    assert page.status == 400
    assert f"Invalid authorization request: {name}." in page.text


def test_every_parameter_of_an_authorization_request_is_checked():
    assert set(WRONG) == set(AUTHORIZE)


def test_a_poll_before_its_time_is_slowed_down_and_does_not_count(sim, http, clock):
    """Rule issuer.pace."""
    sim.device.pending = 1
    begun = begin(http)
    answers = [poll_in_time(http, begun, clock), *(poll(http, begun) for _ in range(3))]
    assert [answer.status_code for answer in answers] == [403, 429, 429, 429]
    assert answers[1].json()["error"]["code"] == "slow_down"
    assert poll_in_time(http, begun, clock).status_code == 200


def test_a_librarys_default_name_is_challenged_here_and_no_name_is_not(http):
    """Rule edge.user-agent."""
    page = http.post("/oauth/token", headers={"user-agent": "python-httpx/0.28.1"})
    assert (page.status_code, page.headers["cf-mitigated"]) == (403, "challenge")
    assert http.get("/codex/device", headers={"user-agent": ""}).status_code == 200
