"""What a refusal means: the error class, whether a retry may help, and the sentence for users.

``tests/faults/`` shows the same at the end of a call.
"""

import json
import string
from datetime import UTC, datetime

import pytest
from amplifier_core.llm_errors import (
    AccessDeniedError,
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    InvalidRequestError,
    LLMError,
    LLMTimeoutError,
    NetworkError,
    NotFoundError,
    ProviderUnavailableError,
    QuotaExceededError,
    RateLimitError,
    StreamError,
)

from amplifier_module_provider_openai_chatgpt.errors import table
from amplifier_module_provider_openai_chatgpt.errors.kernel import ErrorContext, kernel_error
from amplifier_module_provider_openai_chatgpt.errors.refusal import read_event_refusal, read_refusal
from amplifier_module_provider_openai_chatgpt.errors.transport import FAULTS, Fault
from amplifier_module_provider_openai_chatgpt.services import CHATGPT_CODEX

NOW = datetime(2026, 9, 21, 11, 52, tzinfo=UTC).timestamp()
MODEL = "gpt-5.5"
JSON = {"content-type": "application/json"}
TRANSIENT = {LLMTimeoutError, NetworkError, ProviderUnavailableError, RateLimitError, StreamError}
SERVER = ProviderUnavailableError
PLACEHOLDERS = {"param", "login", "usage", "model", "status", "account", "choose", "wait", "detail", "server"}


def error_for(refusal, **known):
    context = ErrorContext(service=CHATGPT_CODEX, now=NOW, model=MODEL, tz=UTC, **known)
    return kernel_error(refusal, context)


def error_for_answer(status, body=b"", headers=JSON, **known):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return error_for(read_refusal(status, headers, content, names=CHATGPT_CODEX.response, now=NOW), **known)


def error_for_event(error, **event):
    event = {"type": "error", "error": error, **event}
    return error_for(read_event_refusal(event, names=CHATGPT_CODEX.response, now=NOW))


def all_rules():
    tables = (table.BY_CODE, table.BY_STATUS, FAULTS, CHATGPT_CODEX.rules)
    return {*(rule for rules in tables for rule in rules.values()), *(rule for *_, rule in table.BY_MESSAGE)}


def test_every_fault_of_a_connection_has_a_rule():
    assert set(FAULTS) == set(Fault)


def test_every_rule_has_a_kernel_class_and_one_sentence_with_known_placeholders():
    for rule in all_rules():
        assert issubclass(rule.error, LLMError)
        assert rule.error in TRANSIENT or not rule.retryable, rule
        assert {name for _, name, *_ in string.Formatter().parse(rule.sentence) if name} <= PLACEHOLDERS
        sentence = rule.sentence.format_map(dict.fromkeys(PLACEHOLDERS, "X"))
        assert sentence[0].isupper()
        assert sentence.isprintable()
        assert len(sentence) < 200


def test_every_code_is_in_lower_case():
    """Refusals have their code in lower case."""
    assert all(code == code.lower().strip() for code in table.BY_CODE)


def test_every_status_that_http_allows_has_a_rule():
    assert set(table.BY_STATUS) >= set(range(200, 600))


@pytest.mark.parametrize(
    ("status", "error", "cls", "retryable"),
    [
        (400, {"code": "usage_limit_reached"}, QuotaExceededError, False),
        (403, {"type": "rate_limit_exceeded"}, RateLimitError, True),
        (500, {"code": "CONTEXT_LENGTH_EXCEEDED"}, ContextLengthError, False),
        (429, {"code": "server_is_overloaded", "type": "odd"}, ProviderUnavailableError, True),
        (None, {"code": "odd", "type": "cyber_policy"}, ContentFilterError, False),
        (None, {"code": "flex_unavailable"}, ProviderUnavailableError, False),
    ],
)
def test_a_known_code_in_either_field_takes_precedence_over_the_status(status, error, cls, retryable):
    result = error_for_event(error) if status is None else error_for_answer(status, {"error": error})
    assert (type(result), result.retryable, result.status_code) == (cls, retryable, status)
    assert (result.provider, result.model) == ("openai-chatgpt", MODEL)


BODIES = [
    b"",
    b"{}",
    b"not json",
    b"[1, 2]",
    b'{"error":{"message":"It broke."}}',
    b'{"detail":"It broke."}',
    b'{"detail":[{"loc":["body"],"msg":"It broke."}]}',
    b'{"error":7,"detail":{"message":[]}}',
    b'{"error":{"message":"' + b"x" * 500_000 + b'"}}',
    b"\xff" * 100,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_without_a_known_code_the_status_decides_with_any_body(body):
    error = error_for_answer(409, body)
    assert (type(error), error.retryable, error.status_code) == (ProviderUnavailableError, True, 409)
    assert len(str(error)) < 600
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("status", "cls", "retryable"),
    [
        (200, ProviderUnavailableError, True),
        (307, ProviderUnavailableError, False),
        (400, InvalidRequestError, False),
        (401, AuthenticationError, False),
        (418, InvalidRequestError, False),
        (429, RateLimitError, True),
        (520, ProviderUnavailableError, True),
        (700, LLMError, False),
    ],
)
def test_each_status_has_its_class(status, cls, retryable):
    error = error_for_answer(status)
    assert (type(error), error.retryable, error.status_code) == (cls, retryable, status)


MALFORMED = "rejects the request as malformed"
PARAMETER = "rejects the parameter"


@pytest.mark.parametrize(
    ("status", "detail", "cls", "part"),
    [
        (400, "Instructions are required", InvalidRequestError, MALFORMED),
        (400, "Unsupported parameter: safety_identifier", InvalidRequestError, PARAMETER),
        (400, "Unknown parameter: 'input[3].namespace'.", InvalidRequestError, PARAMETER),
        (400, "No tool output found for function call call_1.", InvalidRequestError, "has no result"),
        (
            400,
            "The image data you provided does not represent a valid image.",
            InvalidRequestError,
            "An image in this conversation",
        ),
        (400, "Your input exceeds the context window of this model.", ContextLengthError, "too long"),
        (400, "This model's maximum context length is 272000 tokens", ContextLengthError, "too long"),
        (400, "too many tokens", ContextLengthError, "too long"),
        (400, "Stopped by the content filter", ContentFilterError, "safety policy"),
        (400, "Rejected by the safety system", ContentFilterError, "safety policy"),
        (400, "Request was blocked", ContentFilterError, "safety policy"),
        (
            400,
            "The 'x' model is not supported when using Codex with a ChatGPT account.",
            NotFoundError,
            "does not offer the model",
        ),
        (400, "The 'x' model requires a newer version of Codex. Please upgrade", NotFoundError, "newer"),
        (404, "Model not found x-free-1p-codexswic-ev3", NotFoundError, "does not offer the model"),
        (404, "The usage limit has been reached", QuotaExceededError, "usage limit"),
        (503, "Selected model is at capacity. Please try a different model.", SERVER, "overloaded"),
        (500, "The content filter is down", SERVER, "backend failed"),
        (401, "The safety of this token was blocked", AuthenticationError, "sign-in"),
    ],
)
def test_without_a_known_code_the_message_takes_precedence_over_the_status(status, detail, cls, part):
    for body in ({"detail": detail}, {"error": {"message": detail, "code": None}}):
        error = error_for_answer(status, body)
        assert type(error) is cls
        assert part in str(error)


@pytest.mark.parametrize(
    ("error", "cls", "retryable"),
    [
        (None, SERVER, True),
        ({}, SERVER, True),
        ("It broke in some way", SERVER, True),
        ({"code": "never_heard_of"}, SERVER, True),
        ({"code": "engine_rate_limit", "message": "x"}, RateLimitError, True),
        ({"message": "Rate limit reached for gpt-5.5"}, RateLimitError, True),
        ({"message": "Selected model is at capacity."}, SERVER, True),
        ({"message": "exceeds the context window"}, ContextLengthError, False),
        ({"type": "invalid_request_error", "message": "no"}, InvalidRequestError, False),
    ],
)
def test_an_unknown_failure_in_a_stream_is_transient(error, cls, retryable):
    result = error_for_event(error)
    assert (type(result), result.retryable, result.status_code) == (cls, retryable, None)


def test_a_usage_limit_is_recognised_next_to_another_code_and_on_any_status():
    both = {"error": {"code": "rate_limit_exceeded", "type": "usage_limit_reached"}}
    for status in (403, 404, 429, 500):
        assert type(error_for_answer(status, both)) is QuotaExceededError


def window_headers(**windows):
    found = {"x-codex-plan-type": "plus", **JSON}
    for slot, (percent, minutes, reset) in windows.items():
        found[f"x-codex-{slot}-used-percent"] = str(percent)
        found[f"x-codex-{slot}-window-minutes"] = str(minutes)
        found[f"x-codex-{slot}-reset-at"] = str(int(NOW + reset))
    return found


PAGE = "See https://chatgpt.com/codex/settings/usage"


@pytest.mark.parametrize(
    ("error", "headers", "sentence"),
    [
        (
            {"plan_type": "plus", "resets_at": NOW + 7980},
            window_headers(primary=(100, 300, 7980), secondary=(40, 10080, 90000)),
            (
                "ChatGPT usage limit reached on the Plus plan (5-hour window): resets at 14:05, "
                f"in 2 h 13 min. {PAGE}"
            ),
        ),
        (
            {},
            window_headers(primary=(100, 10080, 200_000)),
            (
                "ChatGPT usage limit reached on the Plus plan (weekly window): resets on 23 Sep "
                f"at 19:25, in 2 days 7 h. {PAGE}"
            ),
        ),
        (
            {},
            window_headers(primary=(100, 300, 600), secondary=(100, 10080, 3600)),
            (
                "ChatGPT usage limit reached on the Plus plan (weekly window): resets at 12:52, "
                f"in 1 h. {PAGE}"
            ),
        ),
        (
            {"plan_type": "self_serve_business_usage_based", "resets_in_seconds": 45},
            JSON,
            f"ChatGPT usage limit reached on the Business plan: resets at 11:52, in 45 s. {PAGE}",
        ),
        (
            {},
            JSON,
            f"ChatGPT usage limit reached: the backend does not say when it resets. {PAGE}",
        ),
        (
            {"plan_type": "quorum", "resets_at": NOW - 10},
            JSON,
            f"ChatGPT usage limit reached on the quorum plan: resets any moment now. {PAGE}",
        ),
        (
            {"resets_at": "never", "plan_type": ["x"]},
            JSON,
            f"ChatGPT usage limit reached: the backend does not say when it resets. {PAGE}",
        ),
        (
            {"resets_in_seconds": 60},
            {
                "x-codex-active-limit": "codex_bengalfox",
                "x-codex-bengalfox-limit-name": "GPT-5.3-Codex-Spark",
                "x-codex-bengalfox-primary-used-percent": "100",
                "x-codex-bengalfox-primary-window-minutes": "1440",
            },
            (
                "ChatGPT usage limit for GPT-5.3-Codex-Spark reached (daily window): resets at 11:53, "
                f"in 1 min. {PAGE}"
            ),
        ),
        (
            {"plan_type": "team"},
            {"x-codex-rate-limit-reached-type": "workspace_member_credits_depleted"},
            f"Your ChatGPT workspace is out of credits: ask its owner for more. {PAGE}",
        ),
        (
            {"resets_in_seconds": 60},
            {"x-codex-rate-limit-reached-type": "workspace_owner_usage_limit_reached"},
            (
                "Your ChatGPT workspace is at its spend cap: raise it to go on; "
                f"resets at 11:53, in 1 min. {PAGE}"
            ),
        ),
    ],
)
def test_a_usage_limit_names_plan_window_and_local_reset_time(error, headers, sentence):
    body = {"error": {"type": "usage_limit_reached", "message": "The usage limit has been reached", **error}}
    error = error_for_answer(429, body, headers)
    assert str(error) == sentence
    assert error.retryable is False


def test_a_usage_limit_has_the_wait_in_seconds():
    error = {"type": "usage_limit_reached", "resets_at": NOW + 4321}
    assert error_for_answer(429, {"error": error}).retry_after == 4321
    assert error_for_event(error, status_code=429).retry_after == 4321
    assert error_for_answer(429, {"error": {"type": "usage_limit_reached"}}).retry_after is None


@pytest.mark.parametrize(
    ("status", "body", "known", "sentence"),
    [
        (
            401,
            {"detail": "Unauthorized"},
            {},
            "Run amplifier-openai-chatgpt login: the ChatGPT sign-in is no longer accepted.",
        ),
        (
            429,
            {"error": {"message": "Rate limit reached. Please try again in 11.054s."}},
            {},
            (
                "Too many requests in a short time (this is not the usage limit): try again in 12 s. "
                "The server says: Rate limit reached. Please try again in 11.054s."
            ),
        ),
        (500, b"", {}, "The ChatGPT backend failed (HTTP 500): try again in a few minutes."),
        (
            400,
            {"detail": "The 'gpt-5.5' model is not supported when using Codex with a ChatGPT account."},
            {"plan": "free", "alternatives": ["gpt-5.5", "gpt-5.2", "gpt-5.6-sol"]},
            (
                "This ChatGPT account (Free plan) does not offer the model gpt-5.5: choose another, "
                "such as gpt-5.2, gpt-5.6-sol. The server says: The 'gpt-5.5' model is not "
                "supported when using Codex with a ChatGPT account."
            ),
        ),
        (
            404,
            {"detail": "Model not found gpt-5.5"},
            {},
            (
                "This ChatGPT account does not offer the model gpt-5.5: choose one that "
                "`amplifier-openai-chatgpt models` lists. The server says: Model not found gpt-5.5"
            ),
        ),
        (
            400,
            {"detail": "Unsupported parameter: temperature"},
            {"extra_params": {"seed", "temperature"}},
            (
                "The backend rejects 'temperature', which the setting extra_request_params adds: remove it. "
                "The server says: Unsupported parameter: temperature"
            ),
        ),
        (
            400,
            {"detail": "Store must be set to false"},
            {"extra_params": {"store"}},
            (
                "The backend rejects 'store', which the setting extra_request_params adds: remove it. "
                "The server says: Store must be set to false"
            ),
        ),
        (
            400,
            {"detail": "Unsupported parameter: temperature"},
            {"extra_params": {"seed"}},
            (
                "The backend rejects the parameter 'temperature': update this provider, or report this. "
                "The server says: Unsupported parameter: temperature"
            ),
        ),
        (
            400,
            {"error": {"code": "unsupported_value", "param": "reasoning.context", "message": "No."}},
            {},
            (
                "The backend rejects the value of 'reasoning.context': check the settings, or report this. "
                "The server says: No."
            ),
        ),
        (
            429,
            {"error": {"type": "usage_not_included", "message": "x"}},
            {"plan": "free"},
            (
                "This ChatGPT account (Free plan) does not include Codex: you need a plan that does, "
                "see https://chatgpt.com/explore/plus."
            ),
        ),
        (
            400,
            {"error": {"code": "context_length_exceeded", "message": "Your input is too long."}},
            {},
            (
                "The conversation is too long for the model gpt-5.5: compact it, or start a new one. "
                "The server says: Your input is too long."
            ),
        ),
    ],
)
def test_the_sentence_says_what_happened_and_what_to_do(status, body, known, sentence):
    assert str(error_for_answer(status, body, **known)) == sentence


def test_the_sentence_ends_with_the_ids_for_support():
    error = error_for_answer(500, b"", {"x-request-id": "req_1", "cf-ray": "8f-FRA"})
    assert str(error).endswith("in a few minutes. (request id req_1, cf-ray 8f-FRA)")


def test_another_web_page_on_403_is_not_a_challenge():
    assert type(error_for_answer(403, b"<html>Blocked by Example Corp</html>", {})) is AccessDeniedError
