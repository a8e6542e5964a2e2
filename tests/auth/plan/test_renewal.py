"""A renewal keeps what the issuer gave, verifies it, and gives up only what cannot be trusted or is dead."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from amplifier_core.llm_errors import (
    AuthenticationError,
    ConfigurationError,
    LLMError,
    ProviderUnavailableError,
    RateLimitError,
)

from amplifier_module_provider_openai_chatgpt.auth.plan.connection import PlanConnection
from amplifier_module_provider_openai_chatgpt.auth.plan.grants import DEAD
from amplifier_module_provider_openai_chatgpt.simulator import Fault
from tests.auth.plan.conftest import DISCOVERY, DUE, EXPIRED, KEYS, TOKEN, is_signed_out, renewals

pytestmark = pytest.mark.world("plan")


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=500),
        Fault(body={"keys": []}),
        Fault(body={"keys": "none"}),
        Fault(body="[" * 50_000),
        Fault(body={"keys": [{"kid": "other", "pad": "x" * 70_000}]}),
        Fault(drop_connection=True),
    ],
)
async def test_without_keys_renewed_tokens_stay_pending_and_are_not_lost(
    sim, connection, file, stored, fault
):
    before = stored(EXPIRED)
    sim.misbehave(KEYS, fault, times=None)
    for _ in range(2):
        with pytest.raises(ProviderUnavailableError, match="keys are not available") as raised:
            await connection.current()
        assert raised.value.retryable
    waiting = file.read()
    assert waiting.access_token == before.access_token
    assert waiting.pending.refresh_token != before.refresh_token
    sim.behave(KEYS)
    renewed = await connection.current()
    assert renewed.access_token == waiting.pending.access_token
    assert renewals(sim) == 1


async def test_without_keys_a_token_that_is_still_valid_is_used(sim, connection, file, stored):
    before = stored(DUE)
    sim.sharing.keys.published = "none"
    for _ in range(3):
        assert (await connection.current()).access_token == before.access_token
    assert renewals(sim) == len(sim.requests_to(KEYS)) == 1
    assert file.read().pending is not None


async def test_a_process_that_was_killed_with_pending_tokens_loses_nothing(sim, file, service, stored):
    stored(EXPIRED)
    sim.sharing.keys.published = "none"
    with pytest.raises(LLMError):
        await PlanConnection(file, service).current()
    sim.sharing.keys.published = "all"
    assert (await PlanConnection(file, service).current()).is_valid(time.time())
    assert renewals(sim) == 1


@pytest.mark.parametrize(
    "switches",
    [
        {"claims": {"sub": "user-other"}},
        {"claims": {"aud": "other"}},
        {"claims": {"azp": "other"}},
        {"claims": {"iss": "https://example.com"}},
        {"signature": "other-key"},
        {"signature": "HS256"},
        {"signature": "none"},
        {"token_header": {"kid": None}},
    ],
)
async def test_another_person_or_a_forged_token_ends_the_sign_in(sim, connection, file, stored, switches):
    stored(EXPIRED)
    for name, value in switches.items():
        setattr(sim.sharing, name, value)
    with pytest.raises(AuthenticationError):
        await connection.current()
    assert is_signed_out(file)


async def test_tokens_that_expired_while_they_waited_for_the_keys_are_renewed_again(
    sim, file, service, stored
):
    stored(EXPIRED)
    sim.sharing.keys.published, sim.sharing.claims = "none", {"exp": int(time.time()) + 1}
    with pytest.raises(ProviderUnavailableError):
        await PlanConnection(file, service).current()
    spent = file.read().pending.refresh_token
    sim.sharing.keys.published, sim.sharing.claims = "all", {"exp": int(time.time()) + 40_000}
    later = PlanConnection(file, service, clock=lambda: time.time() + 7_200)
    assert (await later.current()).pending is None
    assert [request.form["refresh_token"] for request in sim.requests_to(TOKEN)][1:] == [spent]


@pytest.mark.parametrize("drift", [-60, 7_200])
async def test_a_wrong_clock_loses_nothing(sim, file, service, stored, drift):
    """Behind, the new id token is from the future; ahead, it has expired."""
    before = stored(EXPIRED)
    wrong = PlanConnection(file, service, clock=lambda: time.time() + drift)
    with pytest.raises(ConfigurationError, match="machine's clock"):
        await wrong.current(before.access_token)
    assert file.read().is_connected
    right = await PlanConnection(file, service).current(before.access_token)
    assert right.is_valid(time.time())
    assert file.read().pending is None


@pytest.mark.parametrize("drift", [-60, 7_200])
async def test_with_a_wrong_clock_calls_do_not_renew_again_and_again(sim, file, service, stored, drift):
    stored(EXPIRED - 7_200)
    wrong = PlanConnection(file, service, clock=lambda: time.time() + drift)
    for _ in range(3):
        with pytest.raises(ConfigurationError, match="machine's clock"):
            await wrong.current()
    assert renewals(sim) == 1


async def test_with_a_wrong_clock_a_token_that_is_still_valid_is_used(sim, file, service, stored):
    before = stored(DUE)
    wrong = PlanConnection(file, service, clock=lambda: time.time() - 30)
    for _ in range(3):
        assert (await wrong.current()).access_token == before.access_token
    assert renewals(sim) == 1


@pytest.mark.parametrize("code", DEAD)
async def test_a_dead_refresh_token_ends_the_sign_in_and_keeps_the_registration(
    sim, connection, file, stored, code
):
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(status=400, body={"error": code}))
    with pytest.raises(AuthenticationError, match=r"login --plan: .* cannot be renewed"):
        await connection.current()
    assert is_signed_out(file)
    with pytest.raises(AuthenticationError, match="login --plan"):
        await connection.current()
    assert renewals(sim) == 1


@pytest.mark.parametrize(
    ("path", "fault", "error"),
    [
        (TOKEN, Fault(status=500), ProviderUnavailableError),
        (TOKEN, Fault(status=400, body={"error": "invalid_request"}), ProviderUnavailableError),
        (TOKEN, Fault(status=429), RateLimitError),
        (TOKEN, Fault(status=200, body="<html>"), ProviderUnavailableError),
        (TOKEN, Fault(drop_connection=True), LLMError),
        (DISCOVERY, Fault(status=503), ProviderUnavailableError),
        (DISCOVERY, Fault(drop_connection=True), LLMError),
    ],
)
async def test_everything_else_is_transient(sim, connection, file, stored, path, fault, error):
    before = stored(EXPIRED)
    sim.misbehave(path, fault)
    with pytest.raises(error) as raised:
        await connection.current()
    assert raised.value.retryable
    assert file.read() == before
    assert (await connection.current()).is_valid(time.time())


async def test_no_token_goes_to_an_address_that_is_not_the_issuers(sim, connection, file, stored):
    before = stored(EXPIRED)
    sim.sharing.discovery = {"token_endpoint": "http://127.0.0.2:1/token"}
    with pytest.raises(ProviderUnavailableError, match="not its own"):
        await connection.current()
    assert file.read() == before
    assert [request.path for request in sim.requests] == ["/.well-known/openid-configuration"]


async def test_a_renewal_that_brings_no_id_token_is_taken(sim, connection, file, stored):
    before = stored(EXPIRED)
    reply = {"access_token": "at_new", "refresh_token": "rt_new", "token_type": "Bearer", "expires_in": 3600}
    sim.misbehave(TOKEN, Fault(body=reply))
    renewed = await connection.current()
    assert (renewed.access_token, renewed.id_token) == ("at_new", before.id_token)
    assert file.read() == renewed


@pytest.mark.parametrize(
    "reply",
    [
        {"refresh_token": "rt_new"},
        {"access_token": "a b", "refresh_token": "rt_new"},
        {"access_token": "at_new", "refresh_token": "rt_new", "expires_in": 0},
    ],
)
async def test_a_renewal_without_a_token_that_can_be_used_keeps_the_new_refresh_token(
    sim, connection, file, stored, reply
):
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(body=reply))
    with pytest.raises(ProviderUnavailableError) as raised:
        await connection.current()
    assert raised.value.retryable
    assert (file.read().refresh_token, file.read().is_connected) == ("rt_new", True)


HOSTILE = [
    {"access_token": ["at_new"], "refresh_token": {"a": 1}},
    {"access_token": "at\r\nnew", "refresh_token": "rt_new"},
    {"access_token": "at_new", "refresh_token": "rt_new", "expires_in": -1},
    {"access_token": "at_new", "refresh_token": "rt_new", "expires_in": 1e308},
    {"access_token": "at_new", "refresh_token": "rt_new", "expires_in": "soon"},
    {"access_token": "at_new", "refresh_token": "rt_new", "scope": 7, "earliest_refresh_at": 1e308},
    {"access_token": "at_new", "refresh_token": "rt_new", "earliest_refresh_at": "9999-12-31T23:59:59-23:59"},
    {"access_token": "at_new", "refresh_token": "rt_new", "earliest_refresh_at": [1]},
    {"access_token": "at_new", "refresh_token": "rt_new", "id_token": "a.b.c"},
    {"access_token": "at_new", "refresh_token": "rt_new", "id_token": 7},
    {"access_token": "at_new", "refresh_token": "", "token_type": "mac"},
    {"access_token": "x" * 70_000},
    [{"access_token": "at_new"}],
    "[" * 50_000,
]


@pytest.mark.parametrize("reply", HOSTILE, ids=range(len(HOSTILE)))
async def test_whatever_the_issuer_answers_is_a_token_or_a_kernel_error(sim, connection, file, stored, reply):
    stored(EXPIRED)
    sim.misbehave(TOKEN, Fault(body=reply))
    outcome: Any = (await asyncio.gather(connection.current(), return_exceptions=True))[0]
    assert isinstance(outcome, LLMError) or outcome.is_valid(time.time())
    found = file.read()
    assert found.client_id
    assert found.subject
    later = found.earliest_refresh_at
    assert later is None or later < 1e12


async def test_a_renewal_that_may_only_happen_in_a_far_future_happens_when_the_token_expires(
    sim, file, connection, stored
):
    before = stored(EXPIRED)
    file.save(replace(before, earliest_refresh_at=time.time() + 1e9))
    assert (await connection.current()).access_token != before.access_token
    assert renewals(sim) == 1
