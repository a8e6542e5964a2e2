"""Every refusal of the plan service, before the stream and in it: class, retries and sentence."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    InvalidRequestError,
    LLMError,
    ProviderUnavailableError,
    QuotaExceededError,
)

from amplifier_module_provider_openai_chatgpt.errors import table
from amplifier_module_provider_openai_chatgpt.errors.kernel import ErrorContext, kernel_error
from amplifier_module_provider_openai_chatgpt.errors.refusal import Refusal, read_event_refusal, read_refusal
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, CHATGPT_PLAN
from amplifier_module_provider_openai_chatgpt.simulator import Fault, Reply
from amplifier_module_provider_openai_chatgpt.simulator.plan.sharing import STATUSES
from tests.event_recorder import EventRecorder, ask, assert_coherent

pytestmark = pytest.mark.world("plan")

RESPONSES = "/responses"
MODEL = "gpt-6-sol"
USAGE = "https://chatgpt.com/settings/usage"
PREFIX = "subscription_sharing_"

# By code: the kernel's class, whether the call is retried, and what the sentence contains.
ROWS = {
    f"{PREFIX}usage_limit_exceeded": (QuotaExceededError, False, f"share of it, is reached.* See {USAGE}"),
    f"{PREFIX}usage_unavailable": (ProviderUnavailableError, True, "not available at the moment.*try again"),
    f"{PREFIX}user_unavailable": (ProviderUnavailableError, True, "not available at the moment.*try again"),
    f"{PREFIX}user_not_eligible": (AccessDeniedError, False, "only Plus and Pro.*Signing in again does not"),
    f"{PREFIX}unsupported_capability": (InvalidRequestError, False, r"does not support text\.format"),
    f"{PREFIX}route_not_supported": (InvalidRequestError, False, "does not offer this address.*base_url"),
    f"{PREFIX}invalid_user": (AuthenticationError, False, "sign.*no longer accepted"),
    "chatpass_v2_scope_not_authorized": (AuthenticationError, False, "may not use your ChatGPT plan"),
    "chatpass_v2_invalid_authorization_context": (
        AuthenticationError,
        False,
        "may not use your ChatGPT plan",
    ),
}


def param_of(code):
    return "text.format" if code.endswith("capability") else None


def test_every_code_of_the_service_has_a_row_here_and_in_the_documentation():
    assert set(ROWS) == set(STATUSES)
    assert set(ROWS) <= set(CHATGPT_PLAN.rules)
    page = (Path(__file__).parents[2] / "docs/backend-plan.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`(?:subscription_sharing|chatpass)_.+?) \| (\d+) \|", page, re.MULTILINE)
    documented = {code: int(status) for codes, status in rows for code in re.findall(r"\w{9,}", codes)}
    assert documented == STATUSES


@pytest.mark.parametrize("in_stream", [False, True], ids=["before the stream", "in the stream"])
@pytest.mark.parametrize("code", ROWS)
async def test_each_code_over_a_connection(sim, plan, in_use, code, in_stream):
    kind, retryable, words = ROWS[code]
    sim.sharing.refuse(code, in_stream=in_stream, param=param_of(code))
    recorder = EventRecorder()
    with pytest.raises(kind, match=words) as raised:
        await in_use({**plan, "max_retries": 1}, recorder.coordinator).complete(ask(), model=MODEL)
    assert raised.value.retryable is retryable
    assert raised.value.status_code == (None if in_stream else STATUSES[code])
    assert len(recorder.of("provider:retry")) == retryable
    assert_coherent(recorder.log)


@pytest.mark.parametrize("code", ROWS)
@pytest.mark.parametrize("shape", ["failed", "error, nested", "error, flat"])
def test_each_code_in_each_event_that_carries_one(code, shape):
    error = {"code": code, "message": "No.", "param": param_of(code)}
    event: dict[str, object] = {
        "failed": {"type": "response.failed", "response": {"error": error}},
        "error, nested": {"type": "error", "error": {"type": "invalid_request_error", **error}},
        "error, flat": {"type": "error", **error},
    }[shape]
    kind, retryable, words = ROWS[code]
    refusal = read_event_refusal(event, names=CHATGPT_PLAN.response, now=0.0)
    raised = kernel_error(refusal, ErrorContext(service=CHATGPT_PLAN, now=0.0, model=MODEL))
    with pytest.raises(kind, match=words):
        raise raised
    assert raised.retryable is retryable


async def test_a_limit_reached_in_mid_stream_leaves_nothing_of_the_answer(sim, plan, in_use):
    sim.sharing.refuse("usage_limit_exceeded", in_stream=True)
    recorder = EventRecorder()
    with pytest.raises(QuotaExceededError):
        await in_use(plan, recorder.coordinator).complete(ask(), model=MODEL)
    assert "llm:stream_aborted" in recorder.names
    assert_coherent(recorder.log)


async def test_a_transient_refusal_in_mid_stream_is_followed_by_a_whole_answer(sim, plan, in_use):
    failed = {"code": f"{PREFIX}usage_unavailable", "message": "No."}
    for end in ("failed", "error"):
        message = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Half"}],
        }
        sim.reply_with(Reply(items=[message], end=end, error=failed))
    recorder = EventRecorder()
    answer = await in_use({**plan, "max_retries": 2}, recorder.coordinator).complete(ask(), model=MODEL)
    assert "Half" not in answer.text
    assert len(recorder.of("provider:retry")) == 2
    assert_coherent(recorder.log)


@pytest.mark.parametrize(
    ("status", "kind", "retryable", "words"),
    [
        (401, AuthenticationError, False, "sign.*no longer accepted"),
        (403, AccessDeniedError, False, "policy does not allow.*country or region"),
        (503, ProviderUnavailableError, True, "not available at the moment"),
    ],
)
async def test_each_refusal_at_the_admission(sim, plan, in_use, status, kind, retryable, words):
    sim.sharing.admission = status
    before = len(sim.requests)
    with pytest.raises(kind, match=words) as raised:
        await in_use({**plan, "max_retries": 1}).complete(ask(), model=MODEL)
    assert raised.value.retryable is retryable
    calls = [one for one in sim.requests[before:] if one.path.endswith(RESPONSES)]
    assert len(calls) in {401: (2, 3), 403: (1,), 503: (2,)}[status], "a 401 is followed by renewed tokens"


async def test_a_refused_token_is_renewed_and_the_call_goes_on(sim, plan, in_use):
    sim.misbehave(RESPONSES, Fault(status=401, body={"detail": "Unauthorized"}))
    assert (await in_use(plan).complete(ask(), model=MODEL)).text
    tokens = {request.headers["authorization"] for request in sim.requests_to(RESPONSES)}
    assert len(tokens) == 2
    assert len(sim.requests_to("/oauth/token")) == 1


UNSUPPORTED = f"{PREFIX}unsupported_capability"
ODD: dict[str, Any] = {
    "a list of details": {"detail": [{"loc": ["body", "text"], "msg": "wrong", "type": "x"}]},
    "an error that is text": {"error": "unsupported"},
    "an error that is a sentence": {"error": "No such thing here."},
    "an error that is a list": {"error": [{"message": "No."}]},
    "an error that is a number": {"error": 7},
    "nothing": {},
    "a list": [1, {"message": "No."}],
    "a code that is a number": {"error": {"code": 400, "message": "No."}},
    "a param that is a list": {"error": {"code": UNSUPPORTED, "param": ["tools"]}},
    "a param that is a page": {
        "error": {"code": f"{PREFIX}unsupported_capability", "param": "<b>x</b>" * 900}
    },
    "a param with braces": {"error": {"code": UNSUPPORTED, "param": "{login}{0}"}},
    "a message that is an object": {"error": {"message": {"text": "No."}}},
    "a nested error": {"error": {"error": {"code": f"{PREFIX}route_not_supported", "message": "No."}}},
    "both shapes": {"detail": "No.", "error": {"code": f"{PREFIX}user_not_eligible"}},
    "an upper-case code": {"error": {"code": f"{PREFIX}user_not_eligible".upper()}},
    "a code in type": {"error": {"type": f"{PREFIX}user_not_eligible"}},
}
EXPECTED = {
    "both shapes": AccessDeniedError,
    "an upper-case code": AccessDeniedError,
    "a code in type": AccessDeniedError,
}


@pytest.mark.parametrize("status", [400, 401, 403, 422, 429, 503, 520])
@pytest.mark.parametrize("name", ODD)
def test_odd_refusals_have_a_class_and_a_sentence(name, status):
    body = json.dumps(ODD[name]).encode()
    refusal = read_refusal(status, {}, body, names=CHATGPT_PLAN.response, now=0.0)
    error = kernel_error(refusal, ErrorContext(service=CHATGPT_PLAN, now=0.0, model=MODEL))
    assert isinstance(error, EXPECTED.get(name, LLMError))
    text = str(error)
    assert text.isprintable()
    assert len(text) < 800
    assert "<b>" not in text
    assert error.retry_after is None


LIMIT = {"error": {"code": f"{PREFIX}usage_limit_exceeded", "message": "No."}}


@pytest.mark.parametrize(
    "media_type", ["", "application/json", "application/problem+json", "text/event-stream"]
)
@pytest.mark.parametrize(
    ("content", "kind", "retryable"),
    [
        (json.dumps(LIMIT), QuotaExceededError, False),
        (json.dumps(LIMIT, indent=2) + "\n", QuotaExceededError, False),
        ('\n {"detail":"Not now."}', ProviderUnavailableError, True),
        ("<!DOCTYPE html><html><title>Sign in</title></html>", AccessDeniedError, False),
    ],
    ids=["json", "json in lines", "a detail", "a page"],
)
async def test_a_document_instead_of_a_stream_is_read_as_a_refusal(
    sim, plan, in_use, content, kind, retryable, media_type
):
    """A stream may have no Content-Type, so a document may have none either."""
    pieces = tuple(content[at : at + 7].encode() for at in range(0, len(content), 7))
    sim.misbehave(RESPONSES, Fault(pieces=pieces, headers={"content-type": media_type}))
    with pytest.raises(kind) as raised:
        await in_use(plan).complete(ask(), model=MODEL)
    assert raised.value.retryable is retryable
    assert len(sim.requests_to(RESPONSES)) == 1


async def test_a_huge_document_is_read_to_a_limit(sim, plan, in_use):
    sim.misbehave(
        RESPONSES, Fault(body=b'{"detail":"' + b"x" * 3_000_000 + b'"}', headers={"content-type": ""})
    )
    with pytest.raises(LLMError) as raised:
        await in_use(plan).complete(ask(), model=MODEL)
    assert len(str(raised.value)) < 1_000


async def test_odd_refusals_over_a_connection_cost_one_request_each(sim, plan, in_use):
    provider = in_use(plan)
    for body in ODD.values():
        sim.misbehave(RESPONSES, Fault(status=400, body=body))
        with pytest.raises(LLMError):
            await provider.complete(ask(), model=MODEL)
    assert len(sim.requests_to(RESPONSES)) == len(ODD)


@pytest.mark.parametrize(
    "key",
    [key for key, rule in (*table.BY_CODE.items(), *table.BY_STATUS.items()) if "{login}" in rule.sentence],
)
def test_no_refusal_names_a_command_that_signs_in_to_the_other_service(key):
    refusal = Refusal(code=key) if isinstance(key, str) else Refusal(status=key)
    error = kernel_error(refusal, ErrorContext(service=CHATGPT_PLAN, now=0.0, model=MODEL))
    assert isinstance(error, AuthenticationError)
    assert not re.search(rf"{CHATGPT_CODEX.login}(?! --plan)", str(error))
