"""Calls in plan mode renew their sign-in at most once, and never send it to another service."""

import asyncio
import json
from pathlib import Path

import pytest
from amplifier_core.llm_errors import AccessDeniedError, AuthenticationError, ConfigurationError, LLMError
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt import ChatGPTProvider
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Simulator
from tests.conftest import write_tokens

pytestmark = pytest.mark.world("plan")
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
TOKEN, RESPONSES = "/oauth/token", "/v1/responses"


@pytest.fixture
def call(plan, in_use):
    """Make a call with a model that needs no list; retries are allowed, and would show."""
    provider = in_use({**plan, "max_retries": 2})
    return lambda: provider.complete(HELLO, model="gpt-6-sol")


def stored(plan):
    return json.loads(Path(plan["token_file_path"]).read_text())


def counts(sim):
    """How often tokens were renewed, and how often a call was sent."""
    return len(sim.requests_to(TOKEN)), len(sim.requests_to(RESPONSES))


async def test_an_expired_token_is_renewed_before_the_call(sim, plan, call):
    write_tokens(plan["token_file_path"], sim.connect(expires_in=-60))
    assert (await call()).text
    assert counts(sim) == (1, 1)


async def test_a_401_renews_once_and_the_call_is_sent_again(sim, plan, call):
    before = stored(plan)
    sim.revoke_access(before["access_token"], "subscription_sharing_invalid_user")
    answers = await asyncio.gather(*(call() for _ in range(8)))
    assert all(answer.text for answer in answers)
    assert len(sim.requests_to(TOKEN)) == 1
    assert stored(plan)["access_token"] != before["access_token"]


async def test_after_a_401_the_token_that_another_process_stored_is_used(sim, plan, call):
    assert (await call()).text
    sim.revoke_access(stored(plan)["access_token"])
    renewed = sim.connect()
    sim.misbehave(RESPONSES, Fault(status=401, stall_before_headers=True))
    task = asyncio.create_task(call())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    write_tokens(plan["token_file_path"], renewed)
    sim.release()
    assert (await task).text
    assert sim.requests_to(TOKEN) == []


async def test_a_user_who_is_refused_with_every_token_signs_in_again(sim, plan, call):
    sim.sharing.refuse("invalid_user")
    for _ in range(3):
        with pytest.raises(AuthenticationError, match="login --plan") as raised:
            await call()
        assert not raised.value.retryable
    assert counts(sim) == (1, 4)
    sim.sharing.refusal = None
    assert (await call()).text


async def test_a_user_who_is_refused_in_the_stream_signs_in_again_without_a_renewal(sim, call):
    sim.sharing.refuse("invalid_user", in_stream=True)
    with pytest.raises(AuthenticationError, match="login --plan"):
        await call()
    assert counts(sim) == (0, 1)


async def test_a_401_with_a_dead_refresh_token_ends_the_sign_in(sim, plan, call):
    before = stored(plan)
    sim.revoke_access(before["access_token"])
    sim.accounts.revoke(before["refresh_token"])
    for _ in range(2):
        with pytest.raises(AuthenticationError, match="login --plan"):
            await call()
    assert counts(sim) == (1, 1)
    assert "access_token" not in stored(plan)
    assert stored(plan)["client_id"] == before["client_id"]


async def test_without_permission_no_call_is_sent(sim, plan, call):
    write_tokens(plan["token_file_path"], sim.connect(uses_plan=False))
    with pytest.raises(AccessDeniedError, match="--enable-plan"):
        await call()
    assert sim.requests == []


# Settings of a project that is not trusted


@pytest.mark.parametrize("named", [("base_url",), ("auth_url",), ("base_url", "auth_url")])
async def test_settings_that_name_another_service_get_no_token(sim, plan, in_use, named):
    before = stored(plan)
    with Simulator(world="plan") as strange:
        foreign = {"base_url": strange.base_url, "auth_url": strange.auth_url}
        provider = in_use({**plan, **{name: foreign[name] for name in named}})
        for work in (provider.complete(HELLO), provider.list_models()):
            with pytest.raises(ConfigurationError, match="belongs to") as raised:
                await work
            assert before["access_token"] not in str(raised.value)
        assert strange.requests == []
    assert sim.requests == []
    assert stored(plan) == before


async def test_settings_that_name_another_service_can_neither_sign_out_nor_delete(sim, plan):
    before = stored(plan)
    with Simulator(world="plan") as strange:
        foreign = {"base_url": strange.base_url, "auth_url": strange.auth_url}
        credentials = ChatGPTProvider({**plan, **foreign}).credentials
        assert not await credentials.remove_unusable()
        with pytest.raises(LLMError):
            await credentials.sign_out()
        assert strange.requests == []
    assert stored(plan) == before


async def test_a_credential_in_a_project_is_not_sent_where_it_does_not_belong(sim, plan, in_use, tmp_path):
    """A file that says it belongs to the real service, with addresses of another one, and the contrary."""
    content = {**stored(plan), "issuer": "https://auth.openai.com", "backend": "https://api.openai.com"}
    path = write_tokens(tmp_path / "project.json", content)
    with pytest.raises(ConfigurationError, match="belongs to"):
        await in_use({**plan, "token_file_path": str(path)}).complete(HELLO)
    write_tokens(path, {**content, "issuer": "nonsense", "backend": 7})
    with pytest.raises(ConfigurationError, match="belongs to"):
        await in_use({**plan, "token_file_path": str(path)}).complete(HELLO)
    assert sim.requests == []


@pytest.mark.parametrize("mode", ["chatgpt_codex", "legacy_codex"])
async def test_the_other_mode_never_sends_a_credential_of_this_one(sim, plan, in_use, mode):
    codex = {**plan, "auth_mode": mode}
    with pytest.raises(ConfigurationError, match="of another kind"):
        await in_use(codex).complete(HELLO)
    assert sim.requests == []
