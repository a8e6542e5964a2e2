"""The codes added until November 2026; a known code takes precedence over the message."""

import json
from datetime import UTC, datetime

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
)
from amplifier_core.message_models import ChatRequest, Message

from amplifier_module_provider_openai_chatgpt.errors.kernel import ErrorContext, kernel_error
from amplifier_module_provider_openai_chatgpt.errors.refusal import read_event_refusal, read_refusal
from amplifier_module_provider_openai_chatgpt.errors.table import BY_CODE
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX, USAGE_PAGE
from amplifier_module_provider_openai_chatgpt.simulator import Fault

NOW = datetime(2026, 11, 28, 11, 52, tzinfo=UTC).timestamp()
CONTEXT = ErrorContext(service=CHATGPT_CODEX, now=NOW, model="gpt-6-sol", tz=UTC)
HELLO = ChatRequest(messages=[Message(role="user", content="Say hello.")])
EXHAUSTED = {
    "x-codex-plan-type": "plus",
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": str(int(NOW) + 7980),
}
CREDITS = {"x-codex-credits-has-credits": "True", "x-codex-credits-unlimited": "False"}
UNLIMITED = {"x-codex-credits-has-credits": "False", "x-codex-credits-unlimited": "1"}


def error_for_answer(status: int, body: object, headers: dict[str, str] | None = None) -> LLMError:
    sent = {"content-type": "application/json", **(headers or {})}
    refusal = read_refusal(status, sent, json.dumps(body).encode(), names=CHATGPT_CODEX.response, now=NOW)
    return kernel_error(refusal, CONTEXT)


def error_for_event(event: dict[str, object]) -> LLMError:
    return kernel_error(read_event_refusal(event, names=CHATGPT_CODEX.response, now=NOW), CONTEXT)


SPEND_LIMIT = (
    QuotaExceededError,
    (
        "The spend limit of this organization or project is reached: "
        f"ask its owner to raise it, see {USAGE_PAGE}."
    ),
)
NEW_CODES = {
    "organization_spend_limit_exceeded": SPEND_LIMIT,
    "project_spend_limit_exceeded": SPEND_LIMIT,
    "credit_balance_exhausted": (
        QuotaExceededError,
        f"The credits of this ChatGPT account are used up: add credits at {USAGE_PAGE}.",
    ),
    "flex_capacity_exceeded": (
        ProviderUnavailableError,
        "The flex tier has no capacity for the model gpt-6-sol: remove service_tier.",
    ),
    "string_above_max_length": (
        ContextLengthError,
        (
            "A message or tool result is longer than the backend accepts: "
            "compact the conversation, or start a new one."
        ),
    ),
    "misalignment_policy_violation": (
        ContentFilterError,
        "OpenAI's safety policy stopped this request: rephrase it, or start a new conversation.",
    ),
}


@pytest.mark.parametrize("code", NEW_CODES)
@pytest.mark.parametrize("status", [400, 403, 429, 503, None])
def test_a_new_code_has_its_class_and_sentence_with_any_status_and_is_not_retried(code, status):
    error = {"code": code, "type": "insufficient_quota", "message": "Bad request"}
    body = {"error": error}
    result = error_for_event({"type": "error", **body}) if status is None else error_for_answer(status, body)
    cls, sentence = NEW_CODES[code]
    assert (type(result), str(result), result.retryable) == (cls, sentence, False)
    assert result.status_code == status


def test_flex_capacity_is_reported_like_the_older_code():
    assert BY_CODE["flex_capacity_exceeded"] is BY_CODE["flex_unavailable"]


def test_without_a_code_a_text_that_is_too_long_is_recognised_by_the_message():
    message = "Invalid 'input[3].output': string too long. Expected a string with maximum length 1048576."
    error = error_for_answer(400, {"detail": message})
    assert type(error) is ContextLengthError
    assert str(error).endswith(f"The server says: {message}")


# What the message alone would mean.
MISLEADING = {
    "The usage limit has been reached": QuotaExceededError,
    "This model's maximum context length is 272000 tokens": ContextLengthError,
    "The request was blocked by a safety system": ContentFilterError,
    "Invalid 'input[0].content': string too long": ContextLengthError,
}


@pytest.mark.parametrize(("message", "by_message"), MISLEADING.items())
@pytest.mark.parametrize("code", ["unsupported_value", "too_many_requests"])
def test_the_message_never_overrules_a_known_code(message, by_message, code):
    status = 429 if by_message is QuotaExceededError else 400
    assert type(error_for_answer(status, {"error": {"message": message}})) is by_message
    error = error_for_answer(status, {"error": {"code": code, "message": message}})
    assert type(error) is BY_CODE[code].error


def test_the_message_decides_if_the_code_is_unknown():
    error = error_for_answer(400, {"error": {"code": "brand_new", "message": "maximum context length"}})
    assert type(error) is ContextLengthError


def test_a_known_code_takes_precedence_over_cloudflares_header():
    error = {"error": {"code": "cyber_policy", "message": "Stopped."}}
    assert type(error_for_answer(403, error, {"cf-mitigated": "challenge"})) is ContentFilterError
    assert type(error_for_answer(403, {"error": {"message": "x"}})) is AccessDeniedError


@pytest.mark.parametrize(
    "body", [{"detail": "Rate limit exceeded"}, {}, {"error": {"message": "Too many requests"}}]
)
def test_a_429_without_a_code_whose_headers_show_a_used_up_window_is_the_usage_limit(body):
    error = error_for_answer(429, body, EXHAUSTED)
    assert type(error) is QuotaExceededError
    assert str(error).startswith(
        "ChatGPT usage limit reached on the Plus plan (5-hour window): resets at 14:05, in 2 h 13 min. See "
    )
    assert (error.retryable, error.retry_after) == (False, 7980)


def test_a_429_without_a_code_whose_headers_name_the_reached_limit_is_the_usage_limit():
    error = error_for_answer(
        429, {}, {"x-codex-rate-limit-reached-type": "workspace_member_usage_limit_reached"}
    )
    assert type(error) is QuotaExceededError
    assert str(error).startswith("Your ChatGPT workspace is at its spend cap")


def test_a_used_up_window_in_the_headers_of_an_event_is_the_usage_limit():
    event = {
        "type": "error",
        "status_code": 429,
        "headers": EXHAUSTED,
        "error": {"message": "Rate limit exceeded"},
    }
    assert type(error_for_event(event)) is QuotaExceededError


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {}),
        ({}, {**EXHAUSTED, "x-codex-primary-used-percent": "99"}),
        ({}, {**EXHAUSTED, **CREDITS}),
        ({}, {**EXHAUSTED, **UNLIMITED}),
        ({"error": {"code": "rate_limit_exceeded"}}, EXHAUSTED),
        ({"error": {"type": "too_many_requests"}}, EXHAUSTED),
    ],
    ids=["no window", "room left", "credits", "unlimited", "known code", "known type"],
)
def test_any_other_429_is_too_many_requests(body, headers):
    error = error_for_answer(429, body, headers)
    assert type(error) is RateLimitError
    assert error.retryable


def test_a_used_up_window_matters_only_for_a_429():
    assert type(error_for_answer(400, {"detail": "Bad request"}, EXHAUSTED)) is InvalidRequestError
    assert error_for_answer(503, {}, EXHAUSTED).retryable


async def test_a_used_up_window_ends_a_call_after_one_request(sim, config, in_use):
    headers = {**EXHAUSTED, "x-codex-primary-reset-at": "4102444800"}
    sim.misbehave(
        "/codex/responses", Fault(status=429, headers=headers, body={"detail": "Slow down"}), times=None
    )
    with pytest.raises(QuotaExceededError, match="usage limit reached on the Plus plan"):
        await in_use(config).complete(HELLO)
    assert len(sim.requests_to("/codex/responses")) == 1
