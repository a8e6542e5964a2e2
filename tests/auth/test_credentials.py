"""Staying signed in, at the simulator: which token is used, one refresh, 401s, sign-out, loops, threads."""

import asyncio
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from amplifier_core.llm_errors import (
    AuthenticationError,
    ConfigurationError,
    LLMError,
    ProviderUnavailableError,
    RateLimitError,
)

from amplifier_module_provider_openai_chatgpt.auth.credentials import Credentials
from amplifier_module_provider_openai_chatgpt.auth.shared import shared_credentials
from amplifier_module_provider_openai_chatgpt.auth.token_file import TokenFile
from amplifier_module_provider_openai_chatgpt.auth.tokens import Tokens
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.conftest import recorded

TOKEN = "/oauth/token"
REVOKE = "/oauth/revoke"
OTHER = "6f1c2a10-0000-4000-8000-00000000000f"
EXPIRED = -10.0
DUE = 120.0
FRESH = 7200.0

TROUBLE = {
    "500": Fault(status=500, body="oops"),
    "429": Fault(status=429),
    "a page": Fault(status=200, body="<html>portal</html>"),
    "nothing": Fault(drop_connection=True),
    "an empty object": Fault(status=200, body={}),
}


@pytest.fixture
def signed_in(sim, store):
    """Sign in at the simulator with so many seconds left; returns what is now in the file."""

    def run(expires_in, **options):
        tokens = Tokens.from_dict(recorded(sim, sim.sign_in(expires_in=expires_in, **options)))
        store.save(tokens)
        return tokens

    return run


@pytest.fixture
def credentials(store, service):
    return Credentials(store, service)


def refreshes(sim):
    return len(sim.requests_to(TOKEN))


async def test_a_fresh_token_needs_no_request(sim, credentials, signed_in):
    stored = signed_in(FRESH)
    assert await credentials.current() == stored
    assert not sim.requests


async def test_five_minutes_before_it_expires_a_token_is_renewed_and_stored_first(
    sim, credentials, signed_in, store
):
    old = signed_in(DUE)
    new = await credentials.current()
    assert new.access_token != old.access_token
    assert new.refresh_token != old.refresh_token
    assert store.read() == new
    assert await credentials.current() == new
    assert refreshes(sim) == 1


async def test_keys_added_by_other_programs_survive_a_refresh(path, credentials, signed_in):
    stored = signed_in(EXPIRED).to_dict() | {"note": {"theirs": True}}
    path.write_text(json.dumps(stored))
    await credentials.current()
    assert json.loads(path.read_text())["note"] == {"theirs": True}


async def test_memory_takes_precedence_over_disk_and_disk_over_a_refresh(sim, signed_in, store, service):
    given = Tokens.from_dict(sim.sign_in(expires_in=FRESH))
    stored = signed_in(FRESH)
    assert await Credentials(store, service, tokens=given).current() == given
    expired = Tokens.from_dict(sim.sign_in(expires_in=EXPIRED))
    assert await Credentials(store, service, tokens=expired).current() == stored
    assert not sim.requests


async def test_memorys_refresh_token_is_tried_first_and_then_the_disks(sim, signed_in, store, service):
    given = Tokens.from_dict(sim.sign_in(expires_in=EXPIRED))
    stored = signed_in(EXPIRED)
    sim.accounts.revoke(given.refresh_token)
    await Credentials(store, service, tokens=given).current()
    tried = [request.json["refresh_token"] for request in sim.requests_to(TOKEN)]
    assert tried == [given.refresh_token, stored.refresh_token]


async def test_given_tokens_are_renewed_and_stored_if_there_is_no_file(sim, store, service):
    given = Tokens.from_dict(sim.sign_in(expires_in=EXPIRED))
    credentials = Credentials(store, service, tokens=given)
    assert credentials.status() == "authenticated"
    assert await credentials.current() == store.read()


async def test_another_accounts_file_is_never_overwritten(sim, signed_in, store, service):
    given = Tokens.from_dict(sim.sign_in(expires_in=EXPIRED))
    theirs = signed_in(EXPIRED, account_id=OTHER)
    credentials = Credentials(store, service, tokens=given)
    assert (await credentials.current()).account_id == given.account_id
    assert store.read() == theirs


async def test_an_account_switch_by_another_process_is_used_immediately(sim, credentials, signed_in):
    for account_id in (None, OTHER):
        stored = signed_in(FRESH, account_id=account_id)
        assert await credentials.current() == stored
    assert not sim.requests


async def test_a_refresh_that_names_the_account_differently_is_stored(path, credentials, signed_in, store):
    stored = signed_in(EXPIRED).to_dict() | {"account_id": "user-old", "id_token": "", "access_token": "old"}
    path.write_text(json.dumps(stored))
    renewed = await credentials.current()
    assert renewed.account_id != "user-old"
    assert store.read() == renewed


@pytest.mark.parametrize("row", TROUBLE)
async def test_trouble_at_the_issuer_does_not_sign_out(sim, credentials, signed_in, row, store):
    old = signed_in(DUE)
    sim.misbehave(TOKEN, TROUBLE[row], times=None)
    assert await credentials.current() == old
    assert credentials.status() == "authenticated"
    tried = refreshes(sim)
    assert await credentials.current() == old
    assert refreshes(sim) == tried == 1
    assert store.read() == old


@pytest.mark.parametrize("row", TROUBLE)
async def test_trouble_after_the_expiry_is_a_retryable_error(sim, credentials, signed_in, row):
    signed_in(EXPIRED)
    sim.misbehave(TOKEN, TROUBLE[row])
    with pytest.raises(LLMError) as raised:
        await credentials.current()
    assert raised.value.retryable
    assert not isinstance(raised.value, AuthenticationError)
    assert "login" not in str(raised.value).lower()
    assert credentials.status() == "authenticated"
    assert (await credentials.current()).access_token in sim.secrets


async def test_a_429_of_the_issuer_is_a_rate_limit_error(sim, credentials, signed_in):
    signed_in(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=429))
    with pytest.raises(RateLimitError):
        await credentials.current()


async def test_a_refused_refresh_token_is_not_sent_again_until_the_file_changes(
    sim, path, credentials, signed_in
):
    signed_in(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=401, body={"error": {"code": "refresh_token_expired"}}))
    for _ in range(3):
        with pytest.raises(AuthenticationError, match=r"Run amplifier-openai-chatgpt login: .*has expired"):
            await credentials.current()
    assert refreshes(sim) == 1
    assert credentials.status() == "expired"
    assert path.exists()
    signed_in(EXPIRED)
    assert credentials.status() == "authenticated"
    await credentials.current()
    assert refreshes(sim) == 2


async def test_after_a_refused_refresh_the_token_is_used_until_it_expires(
    sim, credentials, signed_in, caplog
):
    old = signed_in(DUE)
    sim.accounts.revoke(old.refresh_token)
    for _ in range(3):
        assert await credentials.current() == old
    assert refreshes(sim) == 1
    assert caplog.text.count("Run amplifier-openai-chatgpt login") == 1


@pytest.mark.parametrize("after_a_401", [False, True])
async def test_refresh_token_reused_is_ignored_when_another_program_has_stored_the_successor(
    sim, credentials, signed_in, caplog, after_a_401
):
    old = signed_in(FRESH if after_a_401 else EXPIRED)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True, status=401, body={"error": "refresh_token_reused"}))
    task = asyncio.create_task(credentials.renew(old) if after_a_401 else credentials.current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    winner = signed_in(FRESH)
    sim.release()
    assert await task == winner
    assert credentials.status() == "authenticated"
    assert not caplog.records


async def test_a_new_refresh_token_without_an_access_token_is_kept(sim, credentials, signed_in, store):
    old = signed_in(EXPIRED)
    successor = sim.sign_in()["refresh_token"]
    sim.misbehave(TOKEN, Fault(status=200, body={"refresh_token": successor}))
    with pytest.raises(ProviderUnavailableError):
        await credentials.current()
    stored = store.read()
    assert stored is not None
    assert (stored.access_token, stored.refresh_token) == (old.access_token, successor)
    await credentials.current()
    assert [request.json["refresh_token"] for request in sim.requests_to(TOKEN)][-1] == successor


async def test_without_a_refresh_token_the_token_is_used_until_it_expires_and_nothing_is_sent(
    sim, store, service
):
    now = datetime.now(UTC)
    lone = Tokens(Secret("opaque"), expires_at=now + timedelta(seconds=60), origin=service.origin)
    store.save(lone)
    time = [now]
    credentials = Credentials(store, service, clock=lambda: time[0])
    assert await credentials.current() == lone
    time[0] += timedelta(seconds=61)
    with pytest.raises(AuthenticationError):
        await credentials.current()
    assert credentials.status() == "expired"
    assert not sim.requests


async def test_being_signed_out_is_an_error_with_the_command(sim, tmp_path, credentials):
    assert credentials.peek() is None
    assert credentials.status() == "unauthenticated"
    with pytest.raises(
        AuthenticationError, match="Run amplifier-openai-chatgpt login: you are not signed in"
    ):
        await credentials.current()
    assert not sim.requests
    assert not list(tmp_path.iterdir())


async def test_after_a_401_another_token_from_disk_is_adopted_without_a_refresh(sim, credentials, signed_in):
    refused = signed_in(FRESH)
    await credentials.current()
    newer = signed_in(FRESH)
    assert await credentials.renew(refused) == newer
    assert not sim.requests


async def test_after_a_401_the_refused_token_is_refreshed_once_for_all(sim, credentials, signed_in):
    refused = signed_in(FRESH)
    found = await asyncio.gather(*(credentials.renew(refused) for _ in range(20)))
    assert len({tokens.access_token for tokens in found}) == 1
    assert found[0].access_token != refused.access_token
    assert await credentials.renew(refused) == found[0]
    assert refreshes(sim) == 1


async def test_an_adopted_token_that_is_refused_too_is_refreshed(sim, credentials, signed_in):
    first = signed_in(FRESH)
    await credentials.current()
    second = signed_in(FRESH)
    assert await credentials.renew(first) == second
    third = await credentials.renew(first, second)
    assert third.access_token not in {first.access_token, second.access_token}
    assert refreshes(sim) == 1


async def test_a_token_that_was_renewed_for_this_call_is_not_renewed_again(sim, credentials, signed_in):
    refused = signed_in(FRESH)
    renewed = await credentials.renew(refused)
    with pytest.raises(AuthenticationError, match=r"Run amplifier-openai-chatgpt login: .*just now"):
        await credentials.renew(refused, renewed)
    assert await credentials.current() == renewed
    for attempt in (credentials.renew(renewed), credentials.renew(refused, renewed)):
        with pytest.raises(AuthenticationError, match="just now"):
            await attempt
    assert refreshes(sim) == 1
    new = signed_in(FRESH)
    assert await credentials.current() == new
    assert (await credentials.renew(new)).access_token != new.access_token


async def test_a_refused_token_that_cannot_be_replaced_is_not_used_again(sim, credentials, signed_in):
    refused = signed_in(FRESH)
    sim.accounts.revoke(refused.refresh_token)
    with pytest.raises(AuthenticationError, match="revoked"):
        await credentials.renew(refused)
    assert credentials.status() == "expired"
    with pytest.raises(AuthenticationError):
        await credentials.current()
    assert refreshes(sim) == 1


async def test_trouble_while_replacing_a_refused_token_does_not_sign_out(sim, credentials, signed_in):
    refused = signed_in(FRESH)
    sim.misbehave(TOKEN, Fault(status=503))
    with pytest.raises(ProviderUnavailableError):
        await credentials.renew(refused)
    assert credentials.status() == "authenticated"
    assert (await credentials.renew(refused)).access_token != refused.access_token


async def test_many_tasks_share_one_refresh(sim, credentials, signed_in):
    signed_in(EXPIRED)
    found = await asyncio.gather(*(credentials.current() for _ in range(50)))
    assert len({tokens.access_token for tokens in found}) == 1
    assert refreshes(sim) == 1


def test_two_threads_with_a_loop_each_share_one_refresh(sim, path, signed_in, service):
    signed_in(EXPIRED)
    shared = shared_credentials(path, service)
    assert shared_credentials(path, service) is shared
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    found: list[Tokens] = []
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(shared.current()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    sim.wait_until(lambda: sim.stalled)
    sim.release()
    for thread in threads:
        thread.join()
    assert found[0] == found[1]
    assert refreshes(sim) == 1


def test_two_event_loops_in_turn_use_one_object(sim, credentials, signed_in):
    signed_in(EXPIRED)
    first = asyncio.run(credentials.current())
    second = asyncio.run(credentials.renew(first))
    assert asyncio.run(credentials.current()) == second
    assert refreshes(sim) == 2


def test_a_cancelled_call_and_its_closed_loop_do_not_lose_the_refresh(sim, credentials, signed_in, store):
    signed_in(EXPIRED)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))

    async def cancelled():
        task = asyncio.create_task(credentials.current())
        await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    sim.release()
    assert asyncio.run(credentials.current()) == store.read()
    assert refreshes(sim) == 1


async def test_a_cancelled_waiter_does_not_affect_the_others(sim, credentials, signed_in):
    signed_in(EXPIRED)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    first, second = (asyncio.create_task(credentials.current()) for _ in range(2))
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    sim.release()
    assert (await second).access_token in sim.secrets


async def test_signing_out_revokes_and_deletes(sim, path, credentials, signed_in):
    stored = signed_in(FRESH)
    await credentials.current()
    assert await credentials.sign_out()
    assert not path.exists()
    assert credentials.status() == "unauthenticated"
    assert sim.requests_to(REVOKE)[0].json["token"] == stored.refresh_token


async def test_signing_out_works_whatever_the_issuer_answers(sim, path, credentials, signed_in):
    for fault in (Fault(status=500), Fault(drop_connection=True)):
        signed_in(FRESH)
        sim.misbehave(REVOKE, fault)
        assert not await credentials.sign_out()
        assert not path.exists()
    assert await credentials.sign_out()


async def test_signing_out_during_a_refresh_revokes_its_result(sim, path, credentials, signed_in):
    signed_in(EXPIRED)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    call = asyncio.create_task(credentials.current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    sign_out = asyncio.create_task(credentials.sign_out())
    await asyncio.sleep(0)
    sim.release()
    new = await call
    assert await sign_out
    assert not path.exists()
    assert credentials.peek() is None
    assert sim.requests_to(REVOKE)[0].json["token"] == new.refresh_token


async def test_a_file_removed_by_hand_during_a_refresh_stays_removed(sim, path, credentials, signed_in):
    signed_in(EXPIRED)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    call = asyncio.create_task(credentials.current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    path.unlink()
    sim.release()
    with pytest.raises(AuthenticationError, match="signed out"):
        await call
    assert not path.exists()
    assert credentials.status() == "unauthenticated"


@pytest.mark.parametrize("is_given", [False, True])
async def test_a_sign_in_stored_without_the_lock_during_a_refresh_is_kept(
    sim, signed_in, is_given, store, service
):
    given = Tokens.from_dict(sim.sign_in(expires_in=EXPIRED)) if is_given else None
    signed_in(EXPIRED)
    credentials = Credentials(store, service, tokens=given)
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    call = asyncio.create_task(credentials.current())
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    theirs = signed_in(FRESH, account_id=OTHER)
    sim.release()
    renewed = await call
    assert renewed != theirs
    assert store.read() == theirs
    assert await credentials.current() == (renewed if is_given else theirs)
    assert refreshes(sim) == 1


async def test_a_sign_out_by_another_process_is_noticed_immediately(sim, path, credentials, signed_in):
    signed_in(EXPIRED)
    await credentials.current()
    path.unlink()
    with pytest.raises(AuthenticationError):
        await credentials.current()
    assert credentials.status() == "unauthenticated"
    assert refreshes(sim) == 1


async def test_a_new_sign_in_is_stored_and_clears_old_refusals(sim, credentials, signed_in, store):
    refused = signed_in(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=401))
    with pytest.raises(AuthenticationError):
        await credentials.current()
    new = Tokens.from_dict(recorded(sim, sim.sign_in()))
    await credentials.sign_in(new)
    assert store.read() == new
    assert await credentials.current() == new
    assert credentials.status() == "authenticated"
    await credentials.sign_in(refused)
    assert (await credentials.current()).access_token in sim.secrets
    assert refreshes(sim) == 2


async def test_a_sign_in_that_cannot_be_written_is_an_error_that_says_why(sim, tmp_path, service):
    (tmp_path / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (tmp_path / "file").touch()
    tokens = Tokens.from_dict(sim.sign_in())
    for bad, reason in ((tmp_path / "link.json", "symbolic link"), (tmp_path / "file" / "x.json", "")):
        with pytest.raises(ConfigurationError, match=f"cannot be written.*{reason}"):
            await Credentials(TokenFile(bad), service).sign_in(tokens)
    assert not (tmp_path / "elsewhere.json").exists()


@pytest.mark.parametrize("expires_in", [DUE, EXPIRED])
async def test_if_the_new_token_could_not_be_written_the_refresh_token_is_not_sent(
    sim, tmp_path, signed_in, credentials, expires_in
):
    old = signed_in(expires_in)
    obstacle = tmp_path / ".tokens.json.new"
    obstacle.mkdir()
    if expires_in == DUE:
        assert await credentials.current() == old
    else:
        with pytest.raises(ConfigurationError, match=r"tokens\.json cannot be written"):
            await credentials.current()
    assert not sim.requests
    obstacle.rmdir()
    assert (await credentials.renew(old)).access_token != old.access_token


async def test_a_lock_file_that_cannot_be_used_is_named(sim, tmp_path, signed_in, credentials):
    signed_in(EXPIRED)
    (tmp_path / "tokens.json.lock").mkdir()
    with pytest.raises(ConfigurationError, match=r"tokens\.json\.lock"):
        await credentials.current()
    assert not sim.requests


async def test_ensure_writable_leaves_nothing_behind_and_says_what_is_wrong(tmp_path, path, credentials):
    await credentials.ensure_writable()
    assert [name.name for name in tmp_path.iterdir()] == ["tokens.json.lock"]
    path.mkdir()
    with pytest.raises(ConfigurationError, match="not a regular file"):
        await credentials.ensure_writable()


async def test_a_token_valid_for_less_than_five_minutes_is_not_renewed_with_every_call(
    sim, credentials, signed_in
):
    signed_in(EXPIRED)
    sim.accounts.lifetime = DUE
    found = [await credentials.current() for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert refreshes(sim) == 1


async def test_a_refresh_token_alone_is_not_taken_for_a_sign_in_that_works(
    sim, credentials, signed_in, store
):
    stored = signed_in(FRESH)
    store.save(replace(stored, access_token="", expires_at=None))
    sim.misbehave(TOKEN, Fault(status=500))
    with pytest.raises(ProviderUnavailableError):
        await credentials.current()
    assert (await credentials.current()).access_token in sim.secrets


async def test_a_clock_that_is_weeks_ahead_does_not_cause_a_renewal_with_every_call(
    sim, signed_in, store, service
):
    signed_in(FRESH)
    credentials = Credentials(store, service, clock=lambda: datetime.now(UTC) + timedelta(weeks=3))
    found = [await credentials.current() for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert refreshes(sim) == 1
    assert credentials.status() == "authenticated"


async def test_one_file_under_two_names_is_refreshed_once(
    sim, tmp_path, path, signed_in, monkeypatch, service
):
    (tmp_path / "alias").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    names = (path, Path("tokens.json"), Path("alias") / "tokens.json", tmp_path / "alias" / "tokens.json")
    everyone = [Credentials(TokenFile(name), service) for name in names]
    signed_in(EXPIRED)
    monkeypatch.chdir("/")
    found = await asyncio.gather(*(credentials.current() for credentials in everyone))
    assert len({tokens.access_token for tokens in found}) == 1
    assert refreshes(sim) == 1


async def test_a_renewed_token_that_cannot_be_stored_is_kept_in_memory(
    sim, path, signed_in, caplog, store, service
):
    credentials = Credentials(store, service, tokens=Tokens.from_dict(sim.sign_in(expires_in=EXPIRED)))
    path.mkdir()
    renewed = await credentials.current()
    assert "kept in memory only" in caplog.text
    assert await credentials.current() == renewed
    again = await credentials.renew(renewed)
    assert [request.json["refresh_token"] for request in sim.requests_to(TOKEN)][1] == renewed.refresh_token
    assert again.access_token != renewed.access_token


async def test_the_file_is_read_again_only_when_it_changed(credentials, signed_in):
    first = signed_in(FRESH)
    assert credentials.peek() == first
    assert credentials.peek() is credentials.peek()
    second = signed_in(FRESH)
    assert credentials.peek() == second


async def test_no_log_line_error_or_repr_holds_a_secret(sim, credentials, signed_in, caplog):
    caplog.set_level("DEBUG")
    old = signed_in(DUE)
    sim.misbehave(TOKEN, Fault(status=500, body={"error": {"message": old.refresh_token}}))
    await credentials.current()
    new = await credentials.renew(old)
    sim.accounts.revoke(new.refresh_token)
    with pytest.raises(AuthenticationError) as raised:
        await credentials.renew(new)
    await credentials.sign_out()
    text = caplog.text + repr(raised.value) + repr(vars(raised.value)) + repr(new) + repr(credentials)
    assert not [secret for secret in sim.secrets if secret in text]
