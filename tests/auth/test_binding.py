"""A sign-in goes nowhere but to the service it came from: two services, project settings, login at both."""

import json

import pytest
from amplifier_core.llm_errors import ConfigurationError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, Origin
from amplifier_module_provider_openai_chatgpt.simulator import Simulator
from tests.auth.jwt import jwt
from tests.conftest import recorded, write_tokens

HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])


@pytest.fixture
def stranger():
    """A second service, which a cloned repository's settings could name."""
    with Simulator() as simulator:
        simulator.device.pending = 0
        yield simulator


@pytest.fixture
def settings_of(config, stranger):
    """The user's settings, with what a project's settings replace."""

    def settings_of(*changed):
        addresses = {"base_url": stranger.base_url, "auth_url": stranger.auth_url}
        return {**config, **{name: addresses[name] for name in changed}}

    return settings_of


async def every_use(provider):
    """Whatever uses the sign-in, as calls that have not been made yet."""
    return (
        lambda: provider.complete(HELLO),
        provider.usage,
        provider.list_models,
        provider.credentials.current,
        lambda: provider.credentials.renew(Tokens(Secret("refused"))),
    )


@pytest.mark.parametrize("changed", [("base_url",), ("auth_url",), ("base_url", "auth_url")])
@pytest.mark.parametrize("expires_in", [3600, -10])
async def test_settings_that_name_another_service_get_nothing(
    sim, stranger, in_use, settings_of, token_file, changed, expires_in
):
    write_tokens(token_file, recorded(sim, sim.sign_in(expires_in=expires_in)))
    before = token_file.read_bytes()
    provider = in_use(settings_of(*changed))
    for use in await every_use(provider):
        with pytest.raises(ConfigurationError) as raised:
            await use()
        for name in (
            *Origin.of(sim.auth_url, sim.base_url).__str__().split()[:1],
            provider.settings.base_url,
        ):
            assert name in str(raised.value)
        assert "amplifier-openai-chatgpt login" in str(raised.value)
        assert f"OPENAI_CHATGPT_AUTH_URL={provider.settings.auth_url}" in str(raised.value)
    assert provider.auth_status() == "unauthenticated"
    assert await provider.credentials.sign_out()
    assert not stranger.requests
    assert not sim.requests
    assert token_file.read_bytes() == before


async def test_tokens_given_in_code_are_bound_too(sim, stranger, settings_of):
    provider = ChatGPTProvider(settings_of("base_url"), None, recorded(sim, sim.sign_in()))
    with pytest.raises(ConfigurationError, match="given tokens"):
        await provider.complete(HELLO)
    assert not stranger.requests


async def test_after_a_login_there_it_works_and_the_first_sign_in_is_untouched(
    sim, stranger, in_use, settings_of, config, token_file
):
    write_tokens(token_file, recorded(sim, sim.sign_in()))
    before = token_file.read_bytes()
    there = in_use(settings_of("base_url", "auth_url"))
    lines: list = []
    assert await there.login(lines.append)
    assert lines[0].startswith("This is not ChatGPT")
    assert stranger.auth_url in lines[0]
    assert stranger.base_url.removesuffix("/backend-api") in lines[1]
    assert (await there.complete(HELLO)).text
    assert token_file.read_bytes() == before
    assert (await in_use(config).complete(HELLO)).text
    own = there.credentials.place
    assert own != str(token_file)
    assert await there.credentials.sign_out()
    assert token_file.read_bytes() == before
    assert len(stranger.requests_to("/oauth/revoke")) == 1
    assert not sim.requests_to("/oauth/revoke")


@pytest.mark.parametrize(
    "origin", [{}, {"issuer": "https://auth.openai.com", "backend": "https://chatgpt.com"}]
)
def test_a_real_token_is_never_used_on_this_machine(service, origin):
    signed = Tokens.from_dict({"access_token": "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln", **origin})
    assert signed.belongs_to(CHATGPT_CODEX.origin)
    assert not signed.belongs_to(service.origin)


def test_an_unsigned_token_without_a_record_is_a_simulators(service):
    unsigned = Tokens.from_dict({"access_token": jwt(exp=1)})
    assert unsigned.belongs_to(service.origin)
    assert not unsigned.belongs_to(CHATGPT_CODEX.at("https://evil.example", "https://auth.openai.com").origin)


@pytest.mark.parametrize("record", ["", 5, None, "https://[", "chatgpt.com"])
def test_a_record_that_cannot_be_read_matches_no_service(service, record):
    tokens = Tokens.from_dict({"access_token": jwt(exp=1), "backend": record})
    assert not tokens.belongs_to(service.origin)
    assert not tokens.belongs_to(CHATGPT_CODEX.origin)


def test_the_default_file_is_never_used_for_another_service(service, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    default = tmp_path / ".amplifier" / "openai-chatgpt-oauth.json"
    default.parent.mkdir()
    assert TokenFile(default, origin=CHATGPT_CODEX.origin).path == default
    assert TokenFile(default, origin=service.origin).path != default
    write_tokens(default, {"access_token": jwt(exp=1)})
    assert TokenFile(default, origin=service.origin).path != default


async def test_a_new_sign_in_records_where_it_belongs_and_keeps_foreign_keys(
    sim, service, config, token_file
):
    write_tokens(token_file, {**sim.sign_in(), "note": {"theirs": True}})
    sim.device.pending = 0
    await ChatGPTProvider(config).login(lambda line: None)
    stored = json.loads(token_file.read_text())
    assert stored["note"] == {"theirs": True}
    assert Origin(stored["issuer"], stored["backend"]) == service.origin
