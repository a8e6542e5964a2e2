"""When the tokens of a connected account are used, renewed and given up."""

import asyncio
import threading
import time

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ConfigurationError,
    LLMError,
    ProviderUnavailableError,
)

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.file import PlanFile
from amplifier_module_provider_openai_chatgpt.auth.plan.renewal import PlanRenewal
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.auth.plan.conftest import DISCOVERY, DUE, EXPIRED, REVOKE, TOKEN, is_signed_out, renewals

pytestmark = pytest.mark.world("plan")


def wait_until_under_way(count):
    """Wait until that many renewals wait for the lock, or run."""
    end = time.monotonic() + 10
    while sum(thread.name == "plan-token-refresh" for thread in threading.enumerate()) < count:
        assert time.monotonic() < end
        threading.Event().wait(0.01)


async def test_a_fresh_token_is_used_without_a_request(sim, connection, stored):
    before = stored()
    assert await connection.current() == before
    assert sim.requests == []


@pytest.mark.parametrize("expires_in", [DUE, EXPIRED])
async def test_a_due_token_is_renewed_once_and_stored(sim, connection, file, stored, expires_in):
    before = stored(expires_in)
    renewed = await connection.current()
    assert renewed == file.read() == await connection.current()
    assert renewed.refresh_token != before.refresh_token
    assert renewed.pending is None
    assert renewals(sim) == 1
    [request] = sim.requests_to(TOKEN)
    assert set(request.form) == {"grant_type", "client_id", "refresh_token", "resource"}
    assert sim.strays == []


async def test_a_refused_token_is_renewed_even_before_the_issuer_allows_it(sim, connection, stored):
    before = stored()
    renewed = await connection.current(before.access_token)
    assert renewed.access_token != before.access_token
    assert await connection.current(before.access_token) == renewed
    assert renewals(sim) == 1


async def test_a_renewed_token_that_is_refused_too_needs_a_person_and_no_call_renews_it(
    sim, connection, stored
):
    before = stored()
    renewed = await connection.current(before.access_token)
    for refused in [(before.access_token, renewed.access_token), (renewed.access_token,)]:
        with pytest.raises(AuthenticationError, match="just renewed is no longer accepted"):
            await connection.current(*refused)
    assert await connection.current() == renewed
    assert renewals(sim) == 1


async def test_after_a_new_sign_in_a_refused_token_is_renewed_again(sim, connection, stored):
    before = stored()
    renewed = await connection.current(before.access_token)
    with pytest.raises(AuthenticationError):
        await connection.current(before.access_token, renewed.access_token)
    again = stored()
    assert (await connection.current(again.access_token)).access_token != again.access_token
    assert renewals(sim) == 2


async def test_eight_connections_with_eight_calls_each_renew_once(sim, file, service, stored):
    stored(EXPIRED)
    found, barrier = [], threading.Barrier(8)

    async def calls(connection):
        return await asyncio.gather(*(connection.current() for _ in range(8)))

    def run():
        connection = PlanConnection(PlanFile(file.path, service.origin), service)
        barrier.wait()
        found.extend(asyncio.run(calls(connection)))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(found) == 64
    assert {credential.access_token for credential in found} == {file.read().access_token}
    assert renewals(sim) == 1


async def test_those_who_waited_for_a_renewal_that_failed_do_not_repeat_it(sim, file, service, stored):
    """Eight programs, whose calls meet at the lock: the first one asks the silent issuer, for all."""
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=503), times=None)
    connections = [PlanConnection(PlanFile(file.path, service.origin), service) for _ in range(8)]
    with file.lock():
        tasks = [asyncio.create_task(connection.current()) for connection in connections]
        await asyncio.to_thread(wait_until_under_way, 8)
    for failure in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(failure, ProviderUnavailableError)
        assert failure.retryable
    assert renewals(sim) == 1
    sim.behave(TOKEN)
    assert (await connections[0].current()).is_valid(time.time())


async def test_a_renewal_that_failed_after_a_long_wait_is_remembered(sim, file, service, stored):
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=503))
    with pytest.raises(ProviderUnavailableError, match="could not be renewed just now"):
        await PlanConnection(file, service, renew=PlanRenewal(file, service, slow=0)).current()
    with pytest.raises(ProviderUnavailableError, match="has just failed"):
        await PlanConnection(file, service).current()
    assert renewals(sim) == 1


async def test_without_permission_to_use_the_plan_nothing_is_used(sim, connection, stored):
    stored(uses_plan=False)
    with pytest.raises(AccessDeniedError, match="--enable-plan"):
        await connection.current()
    assert sim.requests == []


async def test_a_permission_that_was_taken_back_is_noticed_at_the_renewal(sim, connection, file, stored):
    stored(EXPIRED)
    reply = {"access_token": "at_new", "refresh_token": "rt_new", "scope": "openid"}
    sim.misbehave(TOKEN, Fault(body=reply))
    with pytest.raises(AccessDeniedError):
        await connection.current()
    assert file.read().refresh_token == "rt_new"


async def test_tokens_that_cannot_be_stored_are_kept_in_memory(
    sim, connection, file, stored, caplog, tmp_path
):
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    task = asyncio.create_task(connection.current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    moved = tmp_path / "moved.json"
    file.path.rename(moved)
    file.path.symlink_to(moved)
    sim.release()
    renewed = await task
    assert renewed.is_valid(time.time())
    assert "kept in memory only" in caplog.text
    file.path.unlink()
    moved.rename(file.path)
    assert (await connection.current()).access_token == renewed.access_token
    assert renewals(sim) == 1


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (None, AuthenticationError, "(?i)not signed in"),
        ("notes", AuthenticationError, "(?i)not signed in"),
        ('{"font": "mono"}', AuthenticationError, "it is not a sign-in"),
        ('{"auth_mode": "oauth", "access_token": "a"}', ConfigurationError, "of another kind"),
        ('{"auth_mode": "chatgpt_plan", "access_token": "a"}', ConfigurationError, "it belongs to"),
    ],
)
async def test_what_is_not_such_a_sign_in_is_never_used(sim, connection, file, content, error, words):
    if content is not None:
        file.path.parent.mkdir()
        file.path.write_text(content)
        file.path.chmod(0o600)
    with pytest.raises(error, match=words):
        await connection.current()
    assert sim.requests == []


async def test_a_sign_out_leaves_what_is_not_such_a_sign_in(connection, file):
    assert await connection.sign_out()
    file.path.write_text("notes")
    file.path.chmod(0o600)
    with pytest.raises(AuthenticationError, match=r"(?i)not signed in"):
        await connection.sign_out()
    assert file.path.read_text() == "notes"


async def test_a_dead_refresh_token_is_remembered_if_the_file_cannot_be_written(
    sim, connection, file, stored, tmp_path
):
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=400, body={"error": "invalid_grant"}, stall_before_headers=True))
    task = asyncio.create_task(connection.current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    moved = tmp_path / "moved.json"
    file.path.rename(moved)
    file.path.symlink_to(moved)
    sim.release()
    with pytest.raises(AuthenticationError, match="cannot be renewed"):
        await task
    file.path.unlink()
    moved.rename(file.path)
    with pytest.raises(AuthenticationError, match="not signed in"):
        await connection.current()
    assert renewals(sim) == 1


# Signing out


async def test_a_sign_out_is_confirmed_and_keeps_the_registration(sim, connection, file, stored):
    before = stored()
    assert await connection.sign_out()
    assert is_signed_out(file)
    [request] = sim.requests_to(REVOKE)
    assert request.form == {
        "token": before.refresh_token,
        "token_type_hint": "refresh_token",
        "client_id": before.client_id,
    }
    assert await connection.sign_out()
    assert len(sim.requests_to(REVOKE)) == 1


async def test_a_sign_out_revokes_the_newest_token(sim, connection, file, stored):
    stored(EXPIRED)
    sim.sharing.keys.published = "none"
    with pytest.raises(LLMError):
        await connection.current()
    newest = file.read().pending.refresh_token
    assert await connection.sign_out()
    assert sim.requests_to(REVOKE)[0].form["token"] == newest


@pytest.mark.parametrize(
    ("path", "fault", "times", "confirmed"),
    [
        (REVOKE, Fault(status=500), 2, True),
        (REVOKE, Fault(drop_connection=True), 1, True),
        (REVOKE, Fault(status=500), 3, False),
        (REVOKE, Fault(drop_connection=True), 3, False),
        (DISCOVERY, Fault(drop_connection=True), 1, False),
        (REVOKE, Fault(status=400), 1, False),
        (DISCOVERY, Fault(status=503), 1, False),
    ],
)
async def test_a_sign_out_that_is_not_confirmed_says_so_and_happens_here(
    sim, connection, file, stored, path, fault, times, confirmed
):
    stored()
    sim.misbehave(path, fault, times)
    assert await connection.sign_out() == confirmed
    assert is_signed_out(file)
