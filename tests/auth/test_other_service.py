"""A second service is a value: its paths, names and claims are used everywhere in the sign-in."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from amplifier_module_provider_openai_chatgpt.auth import oauth
from amplifier_module_provider_openai_chatgpt.auth.browser import Attempt
from amplifier_module_provider_openai_chatgpt.auth.callback import Callback
from amplifier_module_provider_openai_chatgpt.auth.device import sign_in_by_device_code
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, Claims, Issuer
from tests.auth.jwt import jwt

OTHER = replace(
    CHATGPT_CODEX,
    name="other",
    issuer=Issuer(
        url="https://other.example",
        client_id="other_client",
        scope="other_scope",
        authorize_path="/other/authorize",
        token_path="/other/token",
        revoke_path="/other/revoke",
        device_code_path="/other/start",
        device_token_path="/other/poll",
        device_page_path="/other/page",
        device_redirect_path="/other/redirect",
        redirect_host="127.0.0.1",
        redirect_path="/other/callback",
        redirect_ports=(4000,),
        authorize_options={"other_option": "yes"},
        originator_parameter="app",
    ),
    claims=Claims(auth="other/auth", profile="other/profile", account="acc", plan="tier", fedramp="gov"),
)
IDENTITY = {
    "other/auth": {"acc": "account-1", "tier": "gold", "gov": True},
    "other/profile": {"email": "a@b.c"},
}
ANSWERS = {
    "/other/start": {"user_code": "A-B", "device_auth_id": "d"},
    "/other/poll": {"authorization_code": "ac_1", "code_verifier": "v"},
    "/other/token": {"access_token": "opaque", "refresh_token": "rt", "id_token": jwt(**IDENTITY)},
    "/other/revoke": {},
}


class Server:
    """Answers each path, and keeps the requests."""

    def __init__(self):
        self.requests: list[httpx.Request] = []

    def __call__(self, request):
        self.requests.append(request)
        return httpx.Response(200, json=ANSWERS[request.url.path])

    def sent(self, path):
        (request,) = (request for request in self.requests if request.url.path == path)
        return request.content.decode()


@pytest.fixture
def server():
    return Server()


@pytest.fixture
async def client(server):
    async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as opened:
        yield opened


async def no_wait(seconds):
    pass


async def test_a_device_sign_in_uses_its_paths_client_id_and_claims(client, server, path):
    prompts: list = []
    tokens = await sign_in_by_device_code(client, OTHER, prompts.append, sleep=no_wait)
    assert prompts[0].url == "https://other.example/other/page"
    assert "other_client" in server.sent("/other/start")
    form = parse_qs(server.sent("/other/token"))
    assert form["client_id"] == ["other_client"]
    assert form["redirect_uri"] == ["https://other.example/other/redirect"]
    assert (tokens.account_id.reveal(), tokens.plan_type, tokens.email) == ("account-1", "gold", "a@b.c")
    assert tokens.is_fedramp
    store = TokenFile(path, OTHER.claims)
    store.save(replace(tokens, account_id=Secret(""), plan_type=""))
    assert store.read() == tokens
    assert await oauth.revoke(client, OTHER.issuer, tokens)
    assert {request.url.host for request in server.requests} == {"other.example"}


async def test_a_browser_sign_in_uses_its_page_parameters_and_callback():
    callback = Callback("state", OTHER.issuer)
    url = urlsplit(Attempt().url(OTHER.issuer, callback.redirect_uri, "amplifier"))
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert url._replace(query="").geturl() == "https://other.example/other/authorize"
    assert query["client_id"] == "other_client"
    assert query["scope"] == "other_scope"
    assert query["redirect_uri"] == "http://127.0.0.1:4000/other/callback"
    assert (query["other_option"], query["app"]) == ("yes", "amplifier")
    assert not {"originator", *CHATGPT_CODEX.issuer.authorize_options} & set(query)
