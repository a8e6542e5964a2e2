"""Signing in by device code, at the simulator: every answer of a poll, time, and what is shown."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    LLMError,
    ProviderUnavailableError,
    RateLimitError,
)

from amplifier_module_provider_openai_chatgpt.auth.device import (
    DeviceCode,
    request_device_code,
    sign_in_by_device_code,
)
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.secret import Secret
from amplifier_module_provider_openai_chatgpt.simulator import Fault

POLL = "/deviceauth/token"
START = "/deviceauth/usercode"
CHALLENGE = "<!DOCTYPE html><title>Just a moment...</title>"


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now = 0.0
        self.naps = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@pytest.fixture
def clock(sim):
    """A clock that the simulator shares, which keeps the pace of polling."""
    sim.device.clock = Clock()
    return sim.device.clock


@pytest.fixture
async def client():
    async with new_client(connect=5, silence=5) as opened:
        yield opened


@pytest.fixture
def sign_in(service, client, clock):
    async def run(on_prompt=lambda device: None):
        return await sign_in_by_device_code(client, service, on_prompt, sleep=clock.sleep, clock=clock)

    return run


def coded(code):
    return {"error": {"message": "said by the server", "type": "invalid_request_error", "code": code}}


GO_ON = {
    "pending": (403, coded("deviceauth_authorization_pending")),
    "pending, whatever the status": (400, coded("deviceauth_authorization_pending")),
    "pending in capitals": (403, coded("DEVICEAUTH_AUTHORIZATION_PENDING")),
    "unknown to an older server": (404, coded("deviceauth_authorization_unknown")),
    "pending of the standard": (400, {"error": "authorization_pending"}),
    "pending at the top level": (403, {"code": "authorization_pending"}),
    "403 without a code": (403, {"error": {"message": "no code"}}),
    "403, empty": (403, ""),
    "404, empty": (404, ""),
    "404, a list": (404, []),
    "500": (500, "oops"),
    "502 with a page": (502, "<html>Bad gateway</html>"),
    "503 with a code": (503, coded("internal")),
}
SLOWER = {
    "429": (429, ""),
    "429 with an unknown code": (429, coded("too_many")),
    "slow_down": (400, {"error": "slow_down"}),
    "deviceauth_slow_down": (403, coded("deviceauth_slow_down")),
}
OVER = {
    "code expired": (403, coded("deviceauth_user_code_expired"), AuthenticationError, "expired"),
    "expired": (403, coded("deviceauth_expired"), AuthenticationError, "expired"),
    "expired of the standard": (400, {"error": "expired_token"}, AuthenticationError, "expired"),
    "not found": (404, coded("deviceauth_not_found"), AuthenticationError, "already used"),
    "refused": (403, coded("deviceauth_access_denied"), AuthenticationError, "refused in the browser"),
    "refused, of the standard": (403, {"error": "access_denied"}, AuthenticationError, "refused"),
    "denied": (403, coded("deviceauth_denied"), AuthenticationError, "refused"),
    "declined": (400, coded("authorization_declined"), AuthenticationError, "refused"),
    "policy": (403, coded("deviceauth_forbidden"), AccessDeniedError, r"deviceauth_forbidden.*workspace"),
    "challenge": (403, CHALLENGE, ProviderUnavailableError, "Cloudflare"),
    "challenge as 503": (503, CHALLENGE, ProviderUnavailableError, "Cloudflare"),
    "challenge as 429": (429, CHALLENGE, ProviderUnavailableError, "Cloudflare"),
    "a proxy's page": (403, "<html>Blocked by ACME</html>", AuthenticationError, r"HTTP 403\): start"),
    "400": (400, coded("bad_thing"), AuthenticationError, r"HTTP 400, bad_thing\).*said by the server"),
    "success without a code": (200, {"status": "success"}, ProviderUnavailableError, "cannot be read"),
    "success, unreadable": (200, "{", ProviderUnavailableError, "cannot be read"),
    "a redirect": (302, "", AuthenticationError, "HTTP 302"),
}


@pytest.mark.parametrize("row", GO_ON)
async def test_after_a_pending_answer_polling_goes_on_at_the_same_pace(sim, sign_in, clock, row):
    sim.device.pending, sim.device.interval = 0, "7"
    sim.device.outcome(*GO_ON[row])
    assert (await sign_in()).access_token in sim.secrets
    assert clock.naps == [7, 7]


@pytest.mark.parametrize("row", SLOWER)
async def test_slow_down_adds_five_seconds_to_every_later_wait(sim, sign_in, clock, row):
    sim.device.pending, sim.device.interval = 1, "7"
    sim.device.outcome(*SLOWER[row])
    await sign_in()
    assert clock.naps == [7, 12, 12]


@pytest.mark.parametrize("row", OVER)
async def test_a_final_answer_ends_the_sign_in_and_says_why(sim, sign_in, row):
    status, body, error, text = OVER[row]
    sim.device.outcome(status, body)
    with pytest.raises(error, match=text) as raised:
        await sign_in()
    assert type(raised.value) is error
    assert "<" not in str(raised.value)
    assert len(sim.requests_to(POLL)) == 1


async def test_lost_connections_and_timeouts_are_ignored(sim, service, clock):
    sim.device.pending = 0
    sim.misbehave(POLL, Fault(drop_connection=True), times=3)
    sim.misbehave(POLL, Fault(stall_before_headers=True))
    async with new_client(connect=5, silence=0.05) as client:
        tokens = await sign_in_by_device_code(
            client, service, lambda device: None, sleep=clock.sleep, clock=clock
        )
    assert tokens.access_token in sim.secrets
    assert len(clock.naps) == 5


async def test_after_fifteen_minutes_the_code_was_not_approved_in_time(sim, sign_in, clock):
    sim.device.approve_manually, sim.device.interval = True, "60"
    with pytest.raises(AuthenticationError, match=r"not approved in time.*security settings"):
        await sign_in()
    assert clock.naps == pytest.approx([60] * 15, abs=1)


async def test_a_shorter_lifetime_given_by_the_server_is_kept_and_the_last_wait_ends_on_time(
    sim, sign_in, clock
):
    sim.device.approve_manually = True
    sim.misbehave(
        START,
        Fault(
            status=200, body={"user_code": "AB-CD", "device_auth_id": "d", "interval": 7, "expires_in": 20}
        ),
    )
    sim.misbehave(POLL, Fault(status=403, body=""), times=3)
    with pytest.raises(AuthenticationError, match="not approved in time"):
        await sign_in()
    assert clock.naps == [7, 7, 6]


async def test_tokens_may_come_without_an_exchange(sim, sign_in):
    sim.device.outcome(
        200, {"access_token": "opaque", "refresh_token": "rt", "expires_at": "2031-01-01T00:00:00Z"}
    )
    tokens = await sign_in()
    assert (tokens.access_token, tokens.refresh_token) == ("opaque", "rt")
    assert tokens.expires_at.year == 2031
    assert not sim.requests_to("/oauth/token")


async def test_an_approval_without_its_verifier_cannot_be_read(sim, sign_in):
    sim.device.outcome(200, {"authorization_code": "ac_1"})
    with pytest.raises(ProviderUnavailableError, match="cannot be read"):
        await sign_in()


@pytest.mark.parametrize(
    ("body", "interval", "lifetime"),
    [
        ({"user_code": "A-B", "device_auth_id": "d"}, 5, 900),
        ({"usercode": "A-B", "device_code": "d", "interval": "3"}, 3, 900),
        ({"user_code": "A-B", "device_auth_id": "d", "interval": 0}, 1, 900),
        ({"user_code": "A-B", "device_auth_id": "d", "interval": "soon", "expires_in": "nan"}, 5, 900),
        ({"user_code": "A-B", "device_auth_id": "d", "interval": None, "expires_in": 10**9}, 5, 900),
        ({"user_code": "A-B", "device_auth_id": "d", "expires_in": "300"}, 5, 300),
        ({"user_code": "A-B", "device_auth_id": "d", "expires_at": "2001-01-01T00:00:00Z"}, 5, 900),
        ({"user_code": "A-B", "device_auth_id": "d", "expires_at": "later"}, 5, 900),
    ],
)
async def test_a_device_code_is_read_in_every_spelling(sim, service, client, body, interval, lifetime):
    sim.misbehave(START, Fault(status=200, body=body))
    device = await request_device_code(client, service.issuer)
    assert device == DeviceCode(
        f"{sim.auth_url}/codex/device", Secret("A-B"), Secret("d"), interval, lifetime
    )


async def test_a_lifetime_without_an_offset_is_utc_whatever_the_local_time_zone(
    sim, service, client, time_zone
):
    ends = (datetime.now(UTC) + timedelta(minutes=5)).replace(tzinfo=None).isoformat()
    sim.misbehave(
        START, Fault(status=200, body={"user_code": "A-B", "device_auth_id": "d", "expires_at": ends})
    )
    assert 200 < (await request_device_code(client, service.issuer)).lifetime <= 300


@pytest.mark.parametrize(
    ("fault", "error", "text"),
    [
        (Fault(status=404), AuthenticationError, "does not offer device codes.*--browser"),
        (Fault(status=429), RateLimitError, "HTTP 429"),
        (Fault(status=500, body="oops"), ProviderUnavailableError, "HTTP 500"),
        (Fault(status=400, body={"detail": [{"loc": ["body"]}]}), AuthenticationError, "HTTP 400"),
        (
            Fault(status=403, body=CHALLENGE, headers={"cf-ray": "r-1"}),
            ProviderUnavailableError,
            "cf-ray r-1",
        ),
        (Fault(status=403, headers={"cf-mitigated": "challenge"}), ProviderUnavailableError, "Cloudflare"),
        (Fault(status=200, body="<html>"), ProviderUnavailableError, "cannot be read"),
        (Fault(status=200, body={"user_code": ""}), ProviderUnavailableError, "cannot be read"),
        (Fault(status=200, body={"user_code": "\x1b[2J", "device_auth_id": "d"}), LLMError, "cannot be read"),
        (Fault(drop_connection=True), LLMError, "cannot be reached"),
    ],
    ids=range(10),
)
async def test_a_device_code_that_is_refused_is_an_error_that_says_why(sim, sign_in, fault, error, text):
    sim.misbehave(START, fault)
    with pytest.raises(error, match=text):
        await sign_in()


async def test_the_prompt_has_what_a_person_needs_and_the_code_appears_nowhere_else(sim, sign_in, caplog):
    caplog.set_level("DEBUG")
    shown: list = []
    await sign_in(shown.append)
    text = shown[0].text()
    (code,) = sim.user_codes
    for part in (code, f"{sim.auth_url}/codex/device", "15 minutes", "Enable device code", "Ctrl-C"):
        assert text.count(part) == 1
    assert "[" not in text
    assert max(map(len, text.splitlines())) < 80
    assert code not in repr(shown[0]) + caplog.text


async def test_cancelling_ends_a_sign_in_at_any_moment(sim, service, client):
    sim.misbehave(POLL, Fault(stall_before_headers=True))
    sim.device.interval = "1"

    async def no_sleep(seconds):
        await asyncio.sleep(0)

    task = asyncio.create_task(sign_in_by_device_code(client, service, lambda device: None, sleep=no_sleep))
    await asyncio.to_thread(sim.wait_until, lambda: sim.stalled)
    started = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 1
