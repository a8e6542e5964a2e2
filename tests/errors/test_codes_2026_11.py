"""The codes that came up until November 2026, and the rule that a known code decides before any words."""

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
SPENT = {
    "x-codex-plan-type": "plus",
    "x-codex-primary-used-percent": "100",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": str(int(NOW) + 7980),
}
CREDITS = {"x-codex-credits-has-credits": "True", "x-codex-credits-unlimited": "False"}


def answered(status: int, body: object, headers: dict[str, str] | None = None) -> LLMError:
    sent = {"content-type": "application/json", **(headers or {})}
    refusal = read_refusal(status, sent, json.dumps(body).encode(), names=CHATGPT_CODEX.response, now=NOW)
    return kernel_error(refusal, CONTEXT)


def streamed(event: dict[str, object]) -> LLMError:
    return kernel_error(read_event_refusal(event, names=CHATGPT_CODEX.response, now=NOW), CONTEXT)


SPEND_LIMIT = (
    QuotaExceededError,
    (
        "The spend limit of this organization or project is reached: "
        f"ask its owner to raise it, see {USAGE_PAGE}."
    ),
)
NEW = {
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


@pytest.mark.parametrize("code", NEW)
@pytest.mark.parametrize("status", [400, 403, 429, 503, None])
def test_a_new_code_has_its_class_and_sentence_whatever_the_status_and_is_not_retried(code, status):
    error = {"code": code, "type": "insufficient_quota", "message": "Bad request"}
    found = (
        streamed({"type": "error", "error": error}) if status is None else answered(status, {"error": error})
    )
    cls, sentence = NEW[code]
    assert (type(found), str(found), found.retryable) == (cls, sentence, False)
    assert found.status_code == status


def test_flex_capacity_is_reported_like_the_older_code():
    assert BY_CODE["flex_capacity_exceeded"] is BY_CODE["flex_unavailable"]


def test_a_text_that_is_too_long_is_recognised_by_its_words_where_the_code_is_missing():
    words = "Invalid 'input[3].output': string too long. Expected a string with maximum length 1048576."
    found = answered(400, {"detail": words})
    assert type(found) is ContextLengthError
    assert str(found).endswith(f"The server says: {words}")


# What the words alone would mean, in the order of the statuses they come with.
MISLEADING = {
    "The usage limit has been reached": QuotaExceededError,
    "This model's maximum context length is 272000 tokens": ContextLengthError,
    "The request was blocked by a safety system": ContentFilterError,
    "Invalid 'input[0].content': string too long": ContextLengthError,
}


@pytest.mark.parametrize(("words", "by_words"), MISLEADING.items())
@pytest.mark.parametrize("code", ["unsupported_value", "too_many_requests"])
def test_words_never_overrule_a_known_code(words, by_words, code):
    status = 429 if by_words is QuotaExceededError else 400
    assert type(answered(status, {"error": {"message": words}})) is by_words
    found = answered(status, {"error": {"code": code, "message": words}})
    assert type(found) is BY_CODE[code].error


def test_words_decide_beside_a_code_that_is_not_known():
    found = answered(400, {"error": {"code": "brand_new", "message": "maximum context length"}})
    assert type(found) is ContextLengthError


def test_a_known_code_decides_on_an_answer_that_cloudflare_marked():
    error = {"error": {"code": "cyber_policy", "message": "Stopped."}}
    assert type(answered(403, error, {"cf-mitigated": "challenge"})) is ContentFilterError
    assert type(answered(403, {"error": {"message": "x"}})) is AccessDeniedError


@pytest.mark.parametrize(
    "body", [{"detail": "Rate limit exceeded"}, {}, {"error": {"message": "Too many requests"}}]
)
def test_a_bare_429_whose_headers_show_a_spent_window_is_the_usage_limit(body):
    found = answered(429, body, SPENT)
    assert type(found) is QuotaExceededError
    assert str(found).startswith(
        "ChatGPT usage limit reached on the Plus plan (5-hour window): resets at 14:05, in 2 h 13 min. See "
    )
    assert (found.retryable, found.retry_after) == (False, 7980)


def test_a_bare_429_whose_headers_name_the_reached_limit_is_the_usage_limit():
    found = answered(429, {}, {"x-codex-rate-limit-reached-type": "workspace_member_usage_limit_reached"})
    assert type(found) is QuotaExceededError
    assert str(found).startswith("Your ChatGPT workspace is at its spend cap")


def test_a_spent_window_in_an_event_of_a_stream_counts_as_well():
    event = {
        "type": "error",
        "status_code": 429,
        "headers": SPENT,
        "error": {"message": "Rate limit exceeded"},
    }
    assert type(streamed(event)) is QuotaExceededError


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {}),
        ({}, {**SPENT, "x-codex-primary-used-percent": "99"}),
        ({}, {**SPENT, **CREDITS}),
        ({}, {**SPENT, **CREDITS, "x-codex-credits-has-credits": "False", "x-codex-credits-unlimited": "1"}),
        ({"error": {"code": "rate_limit_exceeded"}}, SPENT),
        ({"error": {"type": "too_many_requests"}}, SPENT),
    ],
    ids=["no window", "room left", "credits", "unlimited", "known code", "known type"],
)
def test_any_other_429_is_too_many_requests(body, headers):
    found = answered(429, body, headers)
    assert type(found) is RateLimitError
    assert found.retryable


def test_a_spent_window_decides_only_about_a_429():
    assert type(answered(400, {"detail": "Bad request"}, SPENT)) is InvalidRequestError
    assert answered(503, {}, SPENT).retryable


async def test_a_spent_window_ends_a_call_after_one_request(sim, config, in_use):
    headers = {**SPENT, "x-codex-primary-reset-at": "4102444800"}
    sim.misbehave(
        "/codex/responses", Fault(status=429, headers=headers, body={"detail": "Slow down"}), times=None
    )
    with pytest.raises(QuotaExceededError, match="usage limit reached on the Plus plan"):
        await in_use(config).complete(HELLO)
    assert len(sim.requests_to("/codex/responses")) == 1
