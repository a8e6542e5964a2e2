"""What the provider, its transport and its commands see of a connected account."""

import json
import time

import pytest
from amplifier_core.llm_errors import ConfigurationError
from pydantic_core import to_json

from amplifier_module_provider_openai_chatgpt.auth.plan.credential import PlanCredential
from amplifier_module_provider_openai_chatgpt.auth.plan.credentials import PlanCredentials
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_PLAN

pytestmark = pytest.mark.world("plan")
REVOKE = "/oauth/revoke"
AUTH_CLAIM = CHATGPT_PLAN.claims.auth


@pytest.fixture
def credentials(sim, file):
    return PlanCredentials(file.path, CHATGPT_PLAN.at(sim.base_url, sim.auth_url))


def write(file, content):
    file.path.parent.mkdir(exist_ok=True)
    file.path.write_bytes(content)
    file.path.chmod(0o600)


def damaged(credential):
    """The file as a full disk leaves the content of another program's copy: cut off."""
    content = to_json(credential.to_dict(), indent=2)
    return content[: content.index(b'"scopes"')]


def test_who_is_connected_is_known_offline(sim, credentials, stored):
    sim.sharing.claims = {AUTH_CLAIM: {"chatgpt_plan_type": "promax"}, "email": None}
    before = stored()
    tokens = credentials.peek()
    assert (tokens.email, tokens.plan_type) == ("ada@example.com", "promax")
    assert tokens.account_id == before.subject
    assert tokens.can_refresh
    assert tokens.uses_plan
    assert credentials.status() == "authenticated"
    assert sim.requests == []


async def test_the_file_is_read_again_only_after_it_changed(credentials, stored):
    stored()
    first = await credentials.current()
    assert credentials.peek() is first
    assert await credentials.current() is first
    after = stored()
    assert (await credentials.current()).access_token == after.access_token != first.access_token


def test_a_connected_account_may_be_without_permission_to_use_the_plan(credentials, stored):
    stored(uses_plan=False)
    assert not credentials.peek().uses_plan
    assert credentials.status() == "authenticated"


def test_after_a_sign_out_no_one_is_connected(credentials, file, stored):
    file.save(stored().without_tokens())
    assert credentials.peek() is None
    assert credentials.problem() is None
    assert credentials.status() == "unauthenticated"


@pytest.mark.parametrize("expires_at", [1e300, 9e11, -1, "9999-12-31T23:59:59-23:59", "soon", None, True])
def test_times_that_make_no_sense_are_unknown(credentials, file, stored, expires_at):
    odd = {**stored().to_dict(), "expires_at": expires_at, "earliest_refresh_at": expires_at}
    write(file, json.dumps(odd).encode())
    assert credentials.peek().expires_at is None
    assert credentials.status() == "authenticated"


async def test_a_token_of_unknown_expiry_is_renewed(sim, credentials, file, stored):
    odd = {**stored().to_dict(), "expires_at": "soon", "earliest_refresh_at": 1e300}
    write(file, json.dumps(odd).encode())
    assert (await credentials.current()).is_valid
    assert file.read().is_valid(time.time())
    assert len(sim.requests_to("/oauth/token")) == 1


async def test_a_damaged_sign_in_is_removed_and_revoked_and_the_registration_kept(
    sim, credentials, file, stored
):
    before = stored()
    write(file, damaged(before))
    assert credentials.problem().is_removable
    assert await credentials.remove_unusable()
    assert [request.form["token"] for request in sim.requests_to(REVOKE)] == [before.refresh_token]
    assert not file.path.exists()
    kept = file.registration()
    assert (kept.client_id, kept.host_id, kept.subject) == (
        before.client_id,
        before.host_id,
        before.subject,
    )
    assert not kept.is_connected


@pytest.mark.parametrize("content", [b"", b"\0\0", b'{"auth_mode": "chatgpt_plan", '])
async def test_a_damaged_file_without_tokens_is_removed(sim, credentials, file, content):
    write(file, content)
    assert not await credentials.remove_unusable()
    assert not file.path.exists()
    assert sim.requests == []


async def test_a_damaged_sign_in_of_another_service_is_not_sent_here(sim, credentials, file, stored):
    foreign = PlanCredential.from_dict(
        {**stored().to_dict(), "issuer": "https://auth.openai.com", "backend": "https://api.openai.com/v1"}
    )
    write(file, damaged(foreign))
    assert not await credentials.remove_unusable()
    assert sim.requests == []


async def test_a_link_is_removed_and_its_target_stays(credentials, file, stored, tmp_path):
    stored()
    target = file.path.rename(tmp_path / "target.json")
    file.path.symlink_to(target)
    assert not await credentials.remove_unusable()
    assert not file.path.is_symlink()
    assert target.exists()


@pytest.mark.parametrize("content", [b"notes", b'{"auth_mode": "oauth", "access_token": "a"}', b"[1]"])
async def test_what_is_not_such_a_sign_in_is_never_removed(credentials, file, content):
    write(file, content)
    assert not credentials.problem().is_removable
    assert not await credentials.remove_unusable()
    assert file.path.read_bytes() == content


async def test_a_sign_in_that_is_used_is_not_removed(credentials, file, stored):
    before = stored()
    assert not await credentials.remove_unusable()
    assert file.read() == before


async def test_a_sign_in_of_another_service_is_reported_with_both_services(sim, file, stored):
    stored()
    elsewhere = PlanCredentials(file.path, CHATGPT_PLAN)
    with pytest.raises(
        ConfigurationError, match=r"belongs to .*127\.0\.0\.1.* name https://api\.openai\.com"
    ):
        await elsewhere.current()
    assert elsewhere.peek() is None
    assert sim.requests == []
