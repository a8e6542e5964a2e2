"""Answers of the issuer, of any shape, as data; no answer at all is a failure that names the host."""

import pytest

from amplifier_module_provider_openai_chatgpt.auth import issuer
from amplifier_module_provider_openai_chatgpt.auth.failures import Reason, SignInError
from amplifier_module_provider_openai_chatgpt.http import new_client
from amplifier_module_provider_openai_chatgpt.simulator import Fault

TOKEN = "/oauth/token"
CHALLENGE = "<!DOCTYPE html><title>Just a moment...</title>"


@pytest.fixture
def ask(sim):
    """Send one request and return what comes."""

    async def run(fault):
        sim.misbehave(TOKEN, fault)
        async with new_client(connect=5, silence=0.3) as client:
            return await issuer.post(client, sim.auth_url + TOKEN, json={})

    return run


@pytest.mark.parametrize(
    ("fault", "is_success", "code", "message"),
    [
        (Fault(status=200, body={"a": "b"}), True, "", ""),
        (Fault(status=200, body="[]"), False, "", ""),
        (Fault(status=200, body="<html>"), False, "", ""),
        (Fault(status=200, body=""), False, "", ""),
        (Fault(status=400, body={"error": "Slow_Down"}), False, "slow_down", "Slow_Down"),
        (Fault(status=400, body={"code": "odd", "message": "Why."}), False, "odd", "Why."),
        (Fault(status=400, body={"error": {"code": "odd", "message": "Why."}}), False, "odd", "Why."),
        (Fault(status=400, body={"error": "odd", "error_description": "<b>Why</b>"}), False, "odd", "Why"),
        (Fault(status=400, body={"error": ["odd"], "detail": 5}), False, "", "odd"),
        (Fault(status=500, body='{"message": "half'), False, "", "half"),
        (Fault(status=302, body=""), False, "", ""),
    ],
    ids=range(11),
)
async def test_an_answer_is_read_whatever_its_shape(ask, fault, is_success, code, message):
    answer = await ask(fault)
    assert answer.status == fault.status
    assert answer.is_success == is_success
    assert answer.refusal.code == code
    assert answer.refusal.message == message


async def test_fields_are_read_by_several_names_and_only_as_text(ask):
    answer = await ask(Fault(status=200, body={"first": "", "second": 5, "third": "yes", "fourth": "no"}))
    assert answer.word("first", "second", "missing", "third", "fourth") == "yes"
    assert answer.word("second", "missing") == ""
    assert answer.get("second") == 5
    assert answer.get("missing") is None


@pytest.mark.parametrize("status", [403, 429, 503])
async def test_a_cloudflare_page_is_known_and_so_is_its_ray(ask, status):
    answer = await ask(Fault(status=status, body=CHALLENGE, headers={"cf-ray": "r-1"}))
    assert answer.refusal.cloudflare
    failure = issuer.failure(answer, "trying")
    assert failure.reason is Reason.CHALLENGED
    assert "(cf-ray r-1)" in str(failure)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(429, Reason.BUSY), (500, Reason.SERVER_TROUBLE), (403, Reason.REFUSED), (302, Reason.REFUSED)],
)
async def test_a_refusal_is_judged_by_its_status(ask, status, reason):
    assert issuer.failure(await ask(Fault(status=status)), "trying").reason is reason


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(drop_connection=True), Reason.UNREACHABLE),
        (Fault(stall_before_headers=True), Reason.NO_ANSWER),
    ],
    ids=["hung up", "silence"],
)
async def test_no_answer_is_a_failure_that_names_the_host(ask, fault, reason):
    with pytest.raises(SignInError, match=r"127\.0\.0\.1") as raised:
        await ask(fault)
    assert raised.value.reason is reason


async def test_what_an_answer_holds_is_in_no_repr_of_it(ask):
    answer = await ask(Fault(status=200, body={"access_token": "SECRET"}))
    assert "SECRET" not in repr(answer)


@pytest.mark.parametrize(("announce_after", "lines"), [(0.01, 1), (60, 0)])
async def test_a_long_wait_for_an_answer_is_announced_once(sim, caplog, announce_after, lines):
    sim.misbehave(TOKEN, Fault(stall_before_headers=True))
    async with new_client(connect=5, silence=60) as client:
        with pytest.raises(SignInError):
            await issuer.post(client, sim.auth_url + TOKEN, json={}, limit=0.2, announce_after=announce_after)
    assert caplog.messages == ["Waiting for an answer of 127.0.0.1 …"] * lines
