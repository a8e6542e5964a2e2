"""Calls whose token the backend refuses with a 401: another token, the call sent again, or an error."""

import json

import pytest
from amplifier_core.llm_errors import AuthenticationError, LLMError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.provider import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import write_tokens

MODELS = "/codex/models"
TOKEN = "/oauth/token"
RESPONSES = "/codex/responses"
OTHER = "6f1c2a10-0000-4000-8000-00000000000f"
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])


@pytest.fixture
def ask(config):
    provider = ChatGPTProvider({**config, "models_cache_ttl": 0})

    async def run():
        return await provider.list_models()

    return run


def counts(sim):
    return len(sim.requests_to(MODELS)), len(sim.requests_to(TOKEN))


async def test_a_token_revoked_early_costs_one_401_one_refresh_and_one_more_request(sim, token_file, ask):
    for number in (1, 2, 3):
        sim.revoke_access(json.loads(token_file.read_text())["access_token"])
        assert await ask()
        assert counts(sim) == (2 * number, number)


async def test_two_401s_are_an_error_with_the_command_to_run(sim, ask):
    sim.misbehave(MODELS, Fault(status=401, body={"detail": "Unauthorized"}), times=None)
    with pytest.raises(AuthenticationError, match="Run amplifier-openai-chatgpt login") as raised:
        await ask()
    assert not raised.value.retryable
    assert counts(sim) == (2, 1)


async def test_a_token_from_disk_that_is_refused_too_is_renewed(sim, token_file, config):
    first = json.loads(token_file.read_text())
    second = sim.sign_in()
    sim.revoke_access(first["access_token"])
    sim.revoke_access(second["access_token"])
    provider = ChatGPTProvider(config, tokens=first)
    write_tokens(token_file, second)
    assert await provider.list_models()
    assert counts(sim) == (3, 1)
    sent = [request.headers["authorization"].split()[1] for request in sim.requests_to(MODELS)]
    assert sent[:2] == [first["access_token"], second["access_token"]]


async def test_a_401_without_a_possible_refresh_is_an_error_with_the_reason(sim, token_file, ask):
    tokens = json.loads(token_file.read_text())
    sim.revoke_access(tokens["access_token"])
    sim.accounts.revoke(tokens["refresh_token"])
    with pytest.raises(AuthenticationError, match=r"Run amplifier-openai-chatgpt login.*revoked"):
        await ask()
    assert counts(sim) == (1, 1)


@pytest.mark.parametrize(
    "fault", [Fault(status=500), Fault(status=429), Fault(status=200, body="<html>"), None]
)
@pytest.mark.parametrize("left", [120, -60])
async def test_calls_work_while_the_token_is_valid_even_if_the_issuer_is_in_trouble(
    sim, in_use, token_file, config, fault, left
):
    write_tokens(token_file, sim.sign_in(expires_in=left))
    sim.misbehave(TOKEN, fault or Fault(drop_connection=True), times=None)
    provider = in_use({**config, "max_retries": 0})
    if left > 0:
        assert (await provider.complete(HELLO)).text
    else:
        with pytest.raises(LLMError) as raised:
            await provider.complete(HELLO)
        assert raised.value.retryable
        assert "login" not in str(raised.value)
    assert provider.auth_status() == "authenticated"
    sim.behave(TOKEN)
    assert (await provider.complete(HELLO)).text


async def test_a_calls_token_that_was_revoked_early_is_renewed_and_the_same_call_sent_again(
    sim, in_use, token_file, config
):
    sim.revoke_access(json.loads(token_file.read_text())["access_token"])
    assert (await in_use(config).complete(HELLO)).text
    first, second = sim.requests_to(RESPONSES)
    assert first.body == second.body
    assert first.headers["session-id"] == second.headers["session-id"]
    assert len(sim.requests_to(TOKEN)) == 1


async def test_a_call_that_is_refused_twice_is_an_error_with_the_command_to_run(sim, in_use, config):
    sim.misbehave(RESPONSES, Fault(status=401, body={"detail": "Unauthorized"}), times=None)
    with pytest.raises(AuthenticationError, match="Run amplifier-openai-chatgpt login"):
        await in_use(config).complete(HELLO)
    assert len(sim.requests_to(RESPONSES)) == 2
    assert len(sim.requests_to(TOKEN)) == 1


@pytest.mark.parametrize("refused", [True, False], ids=["after a 401", "before it expires"])
async def test_after_a_renewal_the_account_header_names_the_account_of_the_new_token(
    sim, in_use, token_file, config, refused
):
    old = sim.sign_in(expires_in=7200 if refused else 120)
    write_tokens(token_file, old)
    if refused:
        sim.revoke_access(old["access_token"])
    sim.misbehave(TOKEN, Fault(status=200, body=sim.sign_in(account_id=OTHER)))
    assert (await in_use(config).complete(HELLO)).text
    sent = [request.headers["chatgpt-account-id"] for request in sim.requests_to(RESPONSES)]
    assert sent == ([old["account_id"], OTHER] if refused else [OTHER])


@pytest.mark.parametrize("fedramp", [True, False])
async def test_the_fedramp_header_is_sent_for_accounts_with_the_claim_and_no_others(
    sim, in_use, token_file, config, fedramp
):
    write_tokens(token_file, sim.sign_in(fedramp=fedramp))
    provider = in_use(config)
    assert (await provider.complete(HELLO)).text
    assert await provider.list_models()
    for path in (RESPONSES, MODELS):
        (request,) = sim.requests_to(path)
        assert request.headers.get("x-openai-fedramp") == ("true" if fedramp else None)
