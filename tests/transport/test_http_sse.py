"""What a call sends and to which server: connections, redirects, headers of the account."""

import asyncio

import pytest
from amplifier_core.llm_errors import ProviderUnavailableError
from amplifier_core.testing import MockCoordinator

from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import write_tokens
from tests.event_recorder import RESPONSES, ask

from .raw_backend import listening

MODELS = "/codex/models"
TOKEN = "/oauth/token"


async def test_parallel_calls_have_separate_connections_which_are_reused(sim, config, in_use):
    provider = in_use(config)
    await asyncio.gather(*(provider.complete(ask()) for _ in range(4)))
    first = {request.peer for request in sim.requests_to(RESPONSES)}
    await asyncio.gather(*(provider.complete(ask()) for _ in range(4)))
    assert {request.peer for request in sim.requests_to(RESPONSES)} == first


@pytest.fixture
async def elsewhere():
    """Return the address of another server, and what it received."""
    received = []

    async def record(reader, writer):
        received.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    async with listening(record) as port:
        yield f"http://127.0.0.1:{port}/elsewhere", received


@pytest.fixture
def redirect(sim, elsewhere):
    """Make a path of the simulator redirect to the other server; 307 would resend the body."""
    return lambda path, status: sim.misbehave(
        path, Fault(status=status, headers={"location": elsewhere[0]}), times=None
    )


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirected_call_fails_and_the_other_server_gets_nothing(
    sim, config, in_use, elsewhere, redirect, status
):
    redirect(RESPONSES, status)
    with pytest.raises(ProviderUnavailableError, match=f"redirect \\(HTTP {status}\\)"):
        await in_use(config).complete(ask())
    assert elsewhere[1] == []
    assert len(sim.requests) == 1


@pytest.mark.parametrize("status", [302, 307])
async def test_in_a_session_a_redirected_model_list_is_replaced_by_the_built_in_one(
    config, in_use, elsewhere, redirect, status
):
    redirect(MODELS, status)
    assert "gpt-6-sol" in {model.id for model in await in_use(config, MockCoordinator()).list_models()}
    assert elsewhere[1] == []


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirected_renewal_fails_and_the_other_server_gets_no_token(
    sim, config, in_use, token_file, elsewhere, redirect, status
):
    write_tokens(token_file, sim.sign_in(expires_in=-60))
    redirect(TOKEN, status)
    with pytest.raises(ProviderUnavailableError, match=f"HTTP {status}"):
        await in_use({**config, "max_retries": 0}).complete(ask())
    assert elsewhere[1] == []


async def test_a_redirect_within_the_backend_is_not_followed_either(sim, config, in_use):
    sim.misbehave(RESPONSES, Fault(status=307, headers={"location": f"{sim.base_url}/codex/responses"}))
    with pytest.raises(ProviderUnavailableError, match="redirect"):
        await in_use(config).complete(ask())
    assert len(sim.requests) == 1


@pytest.mark.parametrize("fedramp", [True, False])
async def test_every_request_of_a_fedramp_account_has_its_header(sim, config, in_use, token_file, fedramp):
    write_tokens(token_file, sim.sign_in(fedramp=fedramp))
    provider = in_use(config)
    await provider.list_models()
    await provider.complete(ask())
    sim.revoke_access(provider.credentials.peek().access_token)
    await provider.complete(ask())
    sent = [request for request in sim.requests if request.path != TOKEN]
    assert [request.path.rpartition("/")[2] for request in sent] == ["models", *["responses"] * 3]
    assert {request.headers.get("x-openai-fedramp") for request in sent} == {"true" if fedramp else None}
