"""A client of the plan service for tests: it signs in step by step and sends valid calls."""

import base64
import hashlib
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

from amplifier_module_provider_openai_chatgpt.simulator.plan.issuer import DYNAMIC_CLIENT, RESOURCE
from amplifier_module_provider_openai_chatgpt.simulator.plan.sharing import SCOPES
from tests.browser import browse

from .requests import ABSENT, TOOL, says

HOST_ID = "urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e"
REDIRECT = "http://127.0.0.1:50123/auth/callback"
VERIFIER = "v" * 86
STATE, NONCE = "s" * 43, "n" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
CLIENT = {"user-agent": "tests/1"}
# Without the time that a trust store takes to load.
HTTP = httpx.Client(trust_env=False, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
HEADERS = {**CLIENT, "accept": "text/event-stream", "content-type": "application/json"}


def query(**changes):
    asked = {
        "client_id": DYNAMIC_CLIENT,
        "agent_name_hint": "Amplifier",
        "ext_agent_host_id": HOST_ID,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": " ".join(SCOPES),
        "resource": RESOURCE,
        "state": STATE,
        "nonce": NONCE,
        "code_challenge_method": "S256",
        "code_challenge": CHALLENGE,
        **changes,
    }
    return {name: value for name, value in asked.items() if value is not None}


def returning(client_id, **changes):
    return query(client_id=client_id, agent_name_hint=None, **changes)


def authorize(sim, asked):
    """Return the page of an authorization request, or the redirect."""
    return browse(f"{sim.auth_url}/api/accounts/authorize?{urlencode(asked)}", follow=False)


def brought_back(page):
    """Return the fields that a browser brings back."""
    assert page.status == 302, page.text
    return {name: value for name, [value] in parse_qs(urlsplit(page.headers["location"]).query).items()}


def post(sim, path, fields):
    fields = {name: value for name, value in fields.items() if value is not None}
    return HTTP.post(f"{sim.auth_url}{path}", data=fields, headers=CLIENT)


def exchange(sim, brought, **changes):
    fields = {
        "grant_type": "authorization_code",
        "client_id": brought.get("client_id"),
        "code": brought.get("code"),
        "code_verifier": VERIFIER,
        "redirect_uri": REDIRECT,
        "resource": RESOURCE,
    }
    return post(sim, "/api/accounts/oauth/token", {**fields, **changes})


def refresh(sim, client_id, token, **changes):
    fields = {
        "grant_type": "refresh_token",
        "client_id": client_id,
        "refresh_token": token,
        "resource": RESOURCE,
    }
    return post(sim, "/api/accounts/oauth/token", {**fields, **changes})


def revoke(sim, client_id, token, **changes):
    fields = {"token": token, "token_type_hint": "refresh_token", "client_id": client_id}
    return post(sim, "/api/accounts/oauth/revoke", {**fields, **changes})


def signed_in(sim):
    """Sign in for the first time; returns the client id and the tokens."""
    brought = brought_back(authorize(sim, query()))
    return brought["client_id"], exchange(sim, brought).json()


def additional(*tools):
    return {"type": "additional_tools", "role": "developer", "tools": list(tools)}


def body(*items, **changes):
    whole = {
        "model": "gpt-6-sol",
        "instructions": "Be brief.",
        "input": [*items] or [additional(TOOL), says("Hello")],
        "store": False,
        "stream": True,
        **changes,
    }
    return {field: value for field, value in whole.items() if value is not ABSENT}


def bearer(tokens):
    return {**HEADERS, "authorization": f"Bearer {tokens['access_token']}"}


def call(sim, tokens, content=None, **headers):
    url = f"{sim.base_url}/responses"
    return HTTP.post(url, json=content or body(), headers={**bearer(tokens), **headers})


def models(sim, tokens, **query):
    return HTTP.get(f"{sim.base_url}/models", params=query, headers=bearer(tokens))
